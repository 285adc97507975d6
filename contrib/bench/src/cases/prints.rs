// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs that print, held against the same program printing into `cat`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, TaskStatus};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, mebibytes, span};
use crate::node::Node;
use crate::printer::{self, LINE};
use crate::proc;
use crate::waiting::pass;

/// 20 MB/s: more than any renderer says.
const PACE: u64 = 20_000_000;

/// A program that prints for longer is not waited for.
const LIMIT: Duration = Duration::from_secs(120);

/// How the Manager behaves while a program prints.
#[derive(Clone, Copy)]
enum Mood {
    Fast,
    /// Some seconds for every update.
    Slow,
    /// Gone as soon as the task runs.
    Absent,
}

impl Mood {
    const ALL: [Self; 3] = [Self::Fast, Self::Slow, Self::Absent];

    fn name(self, print: Print) -> String {
        match self {
            Self::Fast => "fast Manager".to_owned(),
            Self::Slow => format!("slow Manager ({} per update)", span(print.slow_update)),
            Self::Absent => "absent Manager".to_owned(),
        }
    }
}

/// What is printed: bytes, and bytes per second (0 is as fast as it can); and how slow a slow Manager is.
#[derive(Clone, Copy)]
struct Print {
    bytes: u64,
    rate: u64,
    slow_update: Duration,
}

pub(super) fn paced(bench: &Bench, table: &mut Table) -> Result {
    let print = Print {
        bytes: bench.scale.paced,
        rate: PACE,
        slow_update: bench.scale.slow_update,
    };
    compare(bench, table, print, "1.05 x")
}

pub(super) fn flood(bench: &Bench, table: &mut Table) -> Result {
    let print = Print {
        bytes: bench.scale.flood,
        rate: 0,
        slow_update: bench.scale.slow_update,
    };
    compare(bench, table, print, "4 x")
}

fn compare(bench: &Bench, table: &mut Table, print: Print, goal: &str) -> Result {
    for mood in Mood::ALL {
        let name = mood.name(print);
        for (column, contender) in bench.contenders.iter().enumerate() {
            let alone = into_cat(print)?;
            let printed = as_task(contender, mood, print)?;
            let ratio = match printed.took {
                Some(took) => format!("{:.3} x", took.as_secs_f64() / alone.as_secs_f64()),
                None => format!("over {}", span(LIMIT)),
            };
            let row = table.row(&format!("{name}: the program's time against `cat`"));
            row.goal(goal).alone(span(alone)).cell(column, ratio);
            let row = table.row(&format!("{name}: the worker's memory at most"));
            row.cell(column, mebibytes(printed.peak));
            if let Some(lines) = printed.lines {
                let row = table.row(&format!("{name}: lines in the log"));
                row.goal("all, or counted").cell(column, lines.account());
            }
        }
    }
    Ok(())
}

/// How long the printer takes when `cat` reads it.
fn into_cat(print: Print) -> Result<Duration> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = folder.path().join("took");
    let mut cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let pipe = cat.stdin.take().ok_or("cat has no input")?;
    let printed = Command::new(own)
        .args([printer::ROLE, &print.bytes.to_string(), &print.rate.to_string()])
        .arg(&file)
        .stdout(pipe)
        .status()
        .map_err(|error| error.to_string())?;
    cat.wait().ok();
    if printed.success() {
        nanoseconds(&file)
    } else {
        Err(format!("the printer failed: {printed}"))
    }
}

fn nanoseconds(file: &Path) -> Result<Duration> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    text.parse().map(Duration::from_nanos).map_err(|_| text)
}

/// What a printed task left.
struct Printed {
    /// `None`: longer than [`LIMIT`].
    took: Option<Duration>,
    /// KiB, the most the worker ever had.
    peak: u64,
    /// For our own worker, which says how many it left out.
    lines: Option<Lines>,
}

fn as_task(contender: &Contender, mood: Mood, print: Print) -> Result<Printed> {
    let node = Node::awake(contender)?;
    if matches!(mood, Mood::Slow) {
        let slow = FaultKind::Delay(print.slow_update);
        node.manager.inject(Fault::at(Endpoint::TaskUpdate, slow).forever());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let file = node.worker.folder().join("took");
    let arguments = json!([printer::ROLE, print.bytes.to_string(), print.rate.to_string(), file]);
    let job = node.submit(&CommandSpec::new("exec", json!({ "exe": own, "args": arguments })))?;
    let reached = |status| {
        node.wait(&format!("the task to be {status}"), |farm| {
            farm.tasks(&job).all(|task| task.status == status).then_some(())
        })
    };
    reached(TaskStatus::Active)?;
    if matches!(mood, Mood::Absent) {
        node.manager.stop();
    }
    let begin = Instant::now();
    while !file.exists() && begin.elapsed() < LIMIT {
        pass(Duration::from_millis(5));
    }
    let took = file.exists().then(|| nanoseconds(&file)).transpose()?;
    node.manager.clear_faults();
    node.manager.start_again().map_err(|error| error.to_string())?;
    let lines = match took {
        Some(_) if contender.is_ours() => {
            reached(TaskStatus::Completed)?;
            let task = node.manager.tasks(&job).pop().ok_or("no task")?;
            Some(Lines::of(&node.manager.task_log(&task.id), print.bytes))
        }
        Some(_) | None => None,
    };
    Ok(Printed {
        took,
        peak: proc::status(node.worker.pid(), "VmHWM"),
        lines,
    })
}

/// What became of the lines that were printed.
struct Lines {
    printed: u64,
    kept: u64,
    /// Left out, and said so.
    counted: u64,
}

impl Lines {
    fn of(log: &str, bytes: u64) -> Self {
        let block = 50 * LINE;
        Self {
            printed: bytes.div_ceil(block) * 50,
            kept: log.lines().filter(|line| line.contains(" > line ")).count() as u64,
            counted: log.lines().filter_map(counted_lines).sum(),
        }
    }

    fn account(&self) -> String {
        let Self { printed, kept, counted } = self;
        if kept == printed {
            return "all".to_owned();
        }
        match printed.checked_sub(kept + counted) {
            Some(0) => format!("{} %, the rest counted", 100 * kept / printed),
            Some(lost) => format!("{lost} of {printed} LOST"),
            None => format!("{kept} + {counted} of {printed}"),
        }
    }
}

/// The number in a line that says how many are missing there.
fn counted_lines(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("[... ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_accounted_for() {
        let log = "pid=1 > line 1 xxx\n[... 48 lines ...]\n";
        assert_eq!(Lines::of(log, 4000).account(), "1 of 50 LOST");
        let all = "pid=1 > line 1 xxx\n".repeat(50);
        assert_eq!(Lines::of(&all, 4000).account(), "all");
        let counted = "pid=1 > line 1 xxx\n[... 49 lines ...]\n";
        assert_eq!(Lines::of(counted, 4000).account(), "2 %, the rest counted");
    }
}
