// SPDX-License-Identifier: GPL-3.0-or-later

//! What is measured.

#![expect(clippy::disallowed_methods, reason = "programs are started to compare with")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, JobSpec, Options, StandIn, TaskSpec, TaskStatus};
use tokio::time::Instant;

use crate::figures::{Table, mebibytes, median, milliseconds};
use crate::printer::{self, LINE};
use crate::worker::{Worker, wait};

/// What a case gives up with.
type Result = std::result::Result<(), String>;

/// How the Manager behaves while a program prints.
#[derive(Clone, Copy)]
enum Mood {
    Fast,
    /// 4 s for every update.
    Slow,
    /// Gone as soon as the task runs.
    Absent,
}

impl Mood {
    const ALL: [Self; 3] = [Self::Fast, Self::Slow, Self::Absent];

    fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast Manager",
            Self::Slow => "slow Manager (4 s per update)",
            Self::Absent => "absent Manager",
        }
    }
}

fn manager() -> std::result::Result<StandIn, String> {
    StandIn::start(Options::default()).map_err(|error| error.to_string())
}

/// From exec to the first request.
pub(crate) fn start(table: &mut Table) -> Result {
    let mut times = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..10 {
        let begin = Instant::now();
        let _status = Command::new("true").status();
        plain.push(begin.elapsed());
        let manager = manager()?;
        // The binary is built (or found) before the clock starts.
        drop(Worker::awake(&manager)?);
        let manager = self::manager()?;
        let begin = manager.now();
        let worker = Worker::start(&manager, "")?;
        let first = wait(&manager, "a first request", |farm| {
            farm.requests().first().map(|seen| seen.received)
        })?;
        times.push(first.saturating_sub(begin));
        drop(worker);
    }
    let beside = format!("goal 20 ms; starting `true`: {}", milliseconds(median(plain)));
    table.row("start to first request", milliseconds(median(times)), beside);
    Ok(())
}

/// Memory and CPU of a worker with nothing to do.
pub(crate) fn idle(table: &mut Table) -> Result {
    const LOOK: Duration = Duration::from_secs(20);
    let manager = manager()?;
    let worker = Worker::awake(&manager)?;
    let before = (worker.cpu(), manager.requests().len());
    let begin = Instant::now();
    while begin.elapsed() < LOOK {
        std::thread::park_timeout(LOOK.saturating_sub(begin.elapsed()));
    }
    let used = worker.cpu().saturating_sub(before.0);
    let share = used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
    table.row("idle: resident memory", mebibytes(worker.memory("VmRSS")), "goal 8 MB");
    let requests = manager.requests().len() - before.1;
    table.row(
        "idle: CPU",
        format!("{share:.3} %"),
        format!("{requests} requests in {} s", LOOK.as_secs()),
    );
    Ok(())
}

/// From the end of one task's program to the start of the next one's.
pub(crate) fn between_tasks(table: &mut Table) -> Result {
    const TASKS: usize = 21;
    let manager = manager()?;
    let worker = Worker::awake(&manager)?;
    let script = |index: usize| format!("echo $EPOCHREALTIME > start-{index}; echo $EPOCHREALTIME > end-{index}");
    let command = |index| CommandSpec::new("exec", json!({ "exe": "bash", "args": ["-c", script(index)] }));
    let job = (0..TASKS).fold(JobSpec::new("job"), |job, index| {
        job.task(TaskSpec::new("t").command(command(index)))
    });
    let job = manager.submit(job).map_err(|refused| format!("{refused:?}"))?;
    wait(&manager, "all tasks to be completed", |farm| {
        farm.tasks(&job)
            .all(|task| task.status == TaskStatus::Completed)
            .then_some(())
    })?;
    let stamp = |name: String| -> std::result::Result<Duration, String> {
        let text = std::fs::read_to_string(worker.folder.path().join(name)).map_err(|error| error.to_string())?;
        text.trim().parse().map(Duration::from_secs_f64).map_err(|_| text)
    };
    let mut gaps = Vec::new();
    for index in 1..TASKS {
        gaps.push(stamp(format!("start-{index}"))?.saturating_sub(stamp(format!("end-{}", index - 1))?));
    }
    let bare = bare_gap()?;
    let worst = gaps.iter().max().copied().unwrap_or_default();
    let beside = format!(
        "goal 20 ms; worst {}; a shell loop: {}",
        milliseconds(worst),
        milliseconds(bare)
    );
    table.row("end of a task to start of the next", milliseconds(median(gaps)), beside);
    Ok(())
}

/// The same pause when a shell starts one bash after the other: what no worker can beat.
fn bare_gap() -> std::result::Result<Duration, String> {
    let script = "for i in $(seq 21); do bash -c 'echo $EPOCHREALTIME; echo $EPOCHREALTIME'; done";
    let output = Command::new("bash")
        .args(["-c", script])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stamps: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let pairs = stamps.iter().skip(1).step_by(2).zip(stamps.iter().skip(2).step_by(2));
    Ok(median(
        pairs.map(|(end, start)| Duration::from_secs_f64(start - end)).collect(),
    ))
}

/// A program that prints 20 MB/s.
pub(crate) fn paced(table: &mut Table) -> Result {
    const RATE: u64 = 20_000_000;
    const BYTES: u64 = 5 * RATE;
    let alone = into_cat(BYTES, RATE)?;
    for mood in Mood::ALL {
        let printed = print_as_task(mood, BYTES, RATE)?;
        let ratio = printed.took.as_secs_f64() / alone.as_secs_f64();
        let what = format!("20 MB/s, {}", mood.name());
        table.row(
            what,
            format!("{ratio:.3} x"),
            format!("goal 1.05; {}", printed.account()),
        );
    }
    Ok(())
}

/// A program that only writes.
pub(crate) fn flood(table: &mut Table) -> Result {
    const BYTES: u64 = 200_000_000;
    for mood in Mood::ALL {
        let alone = into_cat(BYTES, 0)?;
        let printed = print_as_task(mood, BYTES, 0)?;
        let ratio = printed.took.as_secs_f64() / alone.as_secs_f64();
        let beside = format!(
            "goal 4; {} beside {}; {}",
            milliseconds(printed.took),
            milliseconds(alone),
            printed.account()
        );
        table.row(
            format!("200 MB at once, {}", mood.name()),
            format!("{ratio:.2} x"),
            beside,
        );
    }
    Ok(())
}

/// How long the printer takes when `cat` reads it.
fn into_cat(bytes: u64, rate: u64) -> std::result::Result<Duration, String> {
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
        .args([printer::ROLE, &bytes.to_string(), &rate.to_string()])
        .arg(&file)
        .stdout(pipe)
        .status()
        .map_err(|error| error.to_string())?;
    let _status = cat.wait();
    if printed.success() {
        nanoseconds(&file)
    } else {
        Err(format!("the printer failed: {printed}"))
    }
}

fn nanoseconds(file: &Path) -> std::result::Result<Duration, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    text.parse().map(Duration::from_nanos).map_err(|_| text)
}

/// What a printed task left.
struct Printed {
    took: Duration,
    /// KiB, the most the worker ever had.
    peak: u64,
    printed: u64,
    kept: u64,
    counted: u64,
}

impl Printed {
    fn account(&self) -> String {
        let Self {
            printed, kept, counted, ..
        } = self;
        let sum = if kept + counted == *printed { "=" } else { "NOT" };
        format!(
            "worker at most {}; lines: {kept} kept + {counted} counted {sum} {printed}",
            mebibytes(self.peak)
        )
    }
}

fn print_as_task(mood: Mood, bytes: u64, rate: u64) -> std::result::Result<Printed, String> {
    let manager = manager()?;
    let worker = Worker::awake(&manager)?;
    if matches!(mood, Mood::Slow) {
        let slow = FaultKind::Delay(Duration::from_secs(4));
        manager.inject(Fault::at(Endpoint::TaskUpdate, slow).forever());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let took = worker.folder.path().join("took");
    let arguments = json!([printer::ROLE, bytes.to_string(), rate.to_string(), took]);
    let print = CommandSpec::new("exec", json!({ "exe": own, "args": arguments }));
    let job = JobSpec::new("print").task(TaskSpec::new("print").command(print));
    let job = manager.submit(job).map_err(|refused| format!("{refused:?}"))?;
    let task = manager
        .tasks(&job)
        .first()
        .map(|task| task.id.clone())
        .ok_or("no task")?;
    wait(&manager, "the task to run", |farm| {
        farm.task(&task)
            .filter(|task| task.status == TaskStatus::Active)
            .map(|_| ())
    })?;
    if matches!(mood, Mood::Absent) {
        manager.stop();
    }
    let begin = Instant::now();
    while !took.exists() && begin.elapsed() < Duration::from_secs(120) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let time = nanoseconds(&took)?;
    manager.clear_faults();
    manager.start_again().map_err(|error| error.to_string())?;
    wait(&manager, "the task to be completed", |farm| {
        farm.task(&task)
            .filter(|task| task.status == TaskStatus::Completed)
            .map(|_| ())
    })?;
    let log = manager.task_log(&task);
    let kept = log.lines().filter(|line| line.contains(" > line ")).count() as u64;
    let counted = log.lines().filter_map(counted_lines).sum();
    let block = 50 * LINE;
    Ok(Printed {
        took: time,
        peak: worker.memory("VmHWM"),
        printed: bytes.div_ceil(block) * 50,
        kept,
        counted,
    })
}

/// The number in a line that says how many are missing there.
fn counted_lines(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("[... ")?;
    rest.split_whitespace().next()?.parse().ok()
}
