// SPDX-License-Identifier: GPL-3.0-or-later

//! `history`: the last tasks of this node, and one of them with its log.
//!
//! ```text
//! WHEN                 TASK      NAME         JOB       OUTCOME    TOOK  EXIT
//! 2026-03-01 10:58:03  3b241101  render-1-10  7c1a6a52  completed  62 s  0
//! ```

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Serialize;

use super::table;
use crate::cli::HistoryArguments;
use crate::home::{LockHolder, spool_of};
use crate::printable::escape_line;
use crate::progress::and_paused;
use crate::spool::{Cause, LineCount, LogSpan, ProgramEnd, ReportState, StoredTask, list};
use crate::{clock, files};

/// How many characters of an id are shown in a table. The start of an id is enough to ask for a task.
const SHORT_ID: usize = 8;

/// Why nothing, or not all, was shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    #[error("there is no worker's home at {}", .0.display())]
    NoHome(PathBuf),
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no task whose id begins with {0:?} is kept on this node; `flamenco-worker history` shows those that are")]
    Unknown(String),
    #[error("several tasks begin with {start:?}: {}", ids.join(", "))]
    Ambiguous { start: String, ids: Vec<String> },
    /// Nothing could be shown.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
}

/// How often the spool is read at most, where a folder had moved meanwhile.
const TRIES: usize = 5;

/// Shows what `wanted` asks for of the worker that lives in `home`.
///
/// # Errors
/// [`HistoryError`]; some of it may have been shown.
pub(super) fn show(wanted: &HistoryArguments, home: &Path, out: &mut impl Write) -> Result<(), HistoryError> {
    for _ in 1..TRIES {
        match show_once(wanted, home, out) {
            // The worker moves a folder when its report is delivered. Nothing was written yet.
            Err(HistoryError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            shown => return shown,
        }
    }
    show_once(wanted, home, out)
}

fn show_once(wanted: &HistoryArguments, home: &Path, out: &mut impl Write) -> Result<(), HistoryError> {
    if !home.is_dir() {
        return Err(HistoryError::NoHome(home.to_owned()));
    }
    let spool = spool_of(home);
    let found = list(&spool).map_err(|source| HistoryError::Unreadable { path: spool, source })?;
    let alive = LockHolder::of(home).is_some_and(|holder| holder.is_alive());
    for (path, error) in &found.unreadable {
        super::say(&format!("passed over {}: {error}", path.display()));
    }
    let rows: Vec<_> = found.tasks.iter().map(|kept| HistoryRow::of(kept, alive)).collect();
    match &wanted.task {
        None if wanted.json => rows.iter().try_for_each(|row| row.json(out)),
        None if rows.is_empty() => Ok(writeln!(out, "No task has run here yet.")?),
        None => {
            let heading = ["WHEN", "TASK", "NAME", "JOB", "OUTCOME", "TOOK", "EXIT"];
            let cells: Vec<_> = rows.iter().map(HistoryRow::cells).collect();
            Ok(table::write(heading, &cells, out)?)
        }
        Some(start) => {
            let runs = of_one_task(&rows, start)?;
            match (wanted.json, runs.last()) {
                (true, _) => runs.iter().try_for_each(|row| row.json(out)),
                (false, Some(last)) => last.whole(runs.len(), out),
                (false, None) => Err(HistoryError::Unknown(start.clone())),
            }
        }
    }
}

/// The runs of the one task whose id begins with `start`.
fn of_one_task<'a, 'b>(rows: &'a [HistoryRow<'b>], start: &str) -> Result<Vec<&'a HistoryRow<'b>>, HistoryError> {
    let runs: Vec<_> = rows.iter().filter(|row| row.kept.task.starts_with(start)).collect();
    let mut ids: Vec<_> = runs.iter().map(|row| row.kept.task.clone()).collect();
    ids.sort();
    ids.dedup();
    match ids.len() {
        0 => Err(HistoryError::Unknown(start.to_owned())),
        1 => Ok(runs),
        _ => Err(HistoryError::Ambiguous {
            start: start.to_owned(),
            ids,
        }),
    }
}

/// A task as it is shown.
struct HistoryRow<'a> {
    kept: &'a StoredTask,
    /// Whether it runs now.
    running: bool,
}

/// A task as JSON, for programs.
#[derive(Serialize)]
struct TaskJson<'a> {
    task: &'a str,
    name: &'a str,
    job: &'a str,
    /// `completed`, `failed`, `aborted`, `handed-back`, `cut-off` or `running`.
    cause: &'a str,
    why: &'a str,
    report: &'a str,
    begun: String,
    ended: Option<String>,
    took_ms: Option<u64>,
    paused_ms: Option<u64>,
    programs: &'a [ProgramEnd],
    steps: u32,
    said: LineCount,
    lost: LineCount,
    folder: &'a Path,
}

impl<'a> HistoryRow<'a> {
    fn of(kept: &'a StoredTask, worker_lives: bool) -> Self {
        let running = worker_lives && kept.end.is_none() && kept.report == ReportState::Waiting;
        Self { kept, running }
    }

    /// Why it is over: one word, and what more is known.
    fn cause(&self) -> (&'static str, &'a str) {
        match self.kept.end.as_ref().map(|end| &end.cause) {
            None if self.running => ("running", ""),
            None | Some(Cause::CutOff) => ("cut-off", ""),
            Some(Cause::Completed) => ("completed", ""),
            Some(Cause::Failed(why)) => ("failed", why),
            Some(Cause::Aborted(why)) => ("aborted", why),
            Some(Cause::HandedBack(why)) => ("handed-back", why),
        }
    }

    fn programs(&self) -> &'a [ProgramEnd] {
        self.kept.end.as_ref().map_or(&[], |end| &end.programs)
    }

    fn json(&self, out: &mut impl Write) -> Result<(), HistoryError> {
        let kept = self.kept;
        let (cause, why) = self.cause();
        let json = TaskJson {
            task: &kept.task,
            name: &kept.name,
            job: &kept.job,
            cause,
            why,
            report: kept.report.as_str(),
            begun: utc(kept.begun),
            ended: kept.end.as_ref().map(|end| utc(end.ended)),
            took_ms: kept.end.as_ref().map(|end| end.took_ms),
            paused_ms: kept.end.as_ref().map(|end| end.paused_ms),
            programs: self.programs(),
            steps: kept.steps,
            said: kept.printed,
            lost: kept.lost,
            folder: &kept.folder,
        };
        let text = serde_json::to_string(&json).map_err(io::Error::from)?;
        Ok(writeln!(out, "{text}")?)
    }

    fn cells(&self) -> [String; 7] {
        let kept = self.kept;
        let short = |id: &str| id.chars().take(SHORT_ID).collect();
        [
            local(kept.begun),
            short(&kept.task),
            kept.name.clone(),
            short(&kept.job),
            self.outcome(),
            kept.end.as_ref().map_or_else(|| "-".into(), |end| seconds(end.took_ms)),
            self.programs().last().map_or_else(|| "-".into(), exit),
        ]
    }

    fn outcome(&self) -> String {
        let cause = self.cause().0.replace('-', " ");
        let report = match self.kept.report {
            ReportState::Delivered => return cause,
            ReportState::Waiting if self.running => return cause,
            ReportState::Waiting => "not sent yet",
            ReportState::Withdrawn(_) => "not wanted any more",
            ReportState::NotOurs => "no longer this worker's",
            ReportState::Gone => "deleted",
            ReportState::SetAside => "set aside",
            ReportState::Damaged => "damaged",
        };
        format!("{cause}, {report}")
    }

    /// Everything about it, then its log.
    fn whole(&self, runs: usize, out: &mut impl Write) -> Result<(), HistoryError> {
        let kept = self.kept;
        let log = self.log()?;
        writeln!(out, "Task     {}  {}", escape_line(&kept.task), escape_line(&kept.name))?;
        writeln!(out, "Job      {}", escape_line(&kept.job))?;
        writeln!(out, "Begun    {}", local(kept.begun))?;
        if let Some(end) = &kept.end {
            writeln!(out, "Ended    {}, after {}", local(end.ended), seconds(end.took_ms))?;
        }
        writeln!(out, "Outcome  {}", self.outcome())?;
        let why = self.cause().1;
        if !why.is_empty() {
            writeln!(out, "Why      {}", escape_line(why))?;
        }
        for program in self.programs() {
            writeln!(out, "Program  {}", program_line(program))?;
        }
        let LineCount { lines, bytes } = kept.printed;
        let lost = match kept.lost.lines {
            0 => String::new(),
            lost => format!("; the Manager does not get {lost} of the lines"),
        };
        writeln!(out, "Log      {lines} lines, {bytes} bytes{lost}")?;
        writeln!(out, "Folder   {}", escape_line(&kept.folder.to_string_lossy()))?;
        if runs > 1 {
            writeln!(out, "Runs     {runs} are kept, this is the last; --json shows all")?;
        }
        writeln!(out)?;
        for mut piece in log {
            io::copy(&mut piece, out)?;
        }
        Ok(())
    }

    /// Its whole log, opened: it can be read whatever becomes of the folder.
    fn log(&self) -> Result<Vec<Box<dyn Read>>, HistoryError> {
        let unreadable = |path: &Path, source| HistoryError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let spans = self.kept.log().map_err(|error| unreadable(&self.kept.folder, error))?;
        let open = |span| match span {
            LogSpan::Note(note) => Ok(Box::new(io::Cursor::new(note)) as Box<dyn Read>),
            LogSpan::Lines(path) => match files::open(&path) {
                Ok(file) => Ok(Box::new(file) as Box<dyn Read>),
                Err(error) => Err(unreadable(&path, error)),
            },
        };
        spans.into_iter().map(open).collect()
    }
}

/// A program in one line.
fn program_line(program: &ProgramEnd) -> String {
    let mut text = format!(
        "{} (pid {}): exit {}, {}{}, {} of CPU time, peak memory {} MB",
        escape_line(&program.program),
        program.pid,
        exit(program),
        seconds(program.wall_ms),
        and_paused(Duration::from_millis(program.paused_ms)),
        seconds(program.cpu_ms),
        program.peak_memory / 1_000_000
    );
    if let Some(task) = program.kept_task {
        text.push_str(&format!(", kept between tasks (this was number {task})"));
    }
    for (what, names) in [
        ("left behind", &program.strays),
        ("cannot be ended", &program.unkillable),
    ] {
        if !names.is_empty() {
            text.push_str(&format!(", {what}: {}", escape_line(&names.join(", "))));
        }
    }
    text
}

fn exit(program: &ProgramEnd) -> String {
    match (program.exit_code, program.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.to_string());
            if program.oom {
                format!("{name}, out of memory")
            } else {
                name
            }
        }
        (None, None) => "stopped".to_owned(),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

fn utc(millis: u64) -> String {
    let time = clock::timestamp_of_millis(millis);
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The time in the time zone of the node.
fn local(millis: u64) -> String {
    let zoned = clock::timestamp_of_millis(millis).to_zoned_datetime(clock::zone());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
