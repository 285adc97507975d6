// SPDX-License-Identifier: GPL-3.0-or-later

//! Writes the report of one task.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::error_line::{ErrorLine, HandedErrorLine};
use super::orphaned_run;
use super::preview::{Candidate, PreviewQueue};
use super::program_end::{one_line, program_end, program_use};
use super::task_totals::{Counts, TaskTotals};
use crate::clock;
use crate::metrics::{BlenderStart, Metrics};
use crate::outcome::{Incomplete, Outcome};
use crate::process::{EndNote, Finished};
use crate::progress::{Progress, Unit};
use crate::protocol::AssignedTask;
use crate::spool::{Cause, Spool, SpoolError, TaskWriter, millis};

/// So much of an id is enough to ask for a task.
const SHORT: usize = 8;

/// The report of one task. It is lent to the commands of the task; the outcome consumes it, so that nothing can be reported
/// after it. Dropped without one, the task counts as cut off.
#[derive(Debug)]
pub(crate) struct TaskReporter {
    task: String,
    name: String,
    writer: TaskWriter,
    pictures: PreviewQueue,
    began: SystemTime,
    /// Where its programs put what is of use to them alone.
    tmpdir: Option<PathBuf>,
    counts: Counts,
    metrics: Metrics,
    /// What the task counts.
    unit: Unit,
    /// Why the last program failed, as it printed.
    error_line: ErrorLine,
    /// `pid=N > ` of the program that printed last.
    prefix: (i32, String),
}

/// What the reporter of a running task knows, for the process that goes on with it. The rest is in the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HandedReport {
    /// Milliseconds since 1970.
    began: u64,
    counts: Counts,
    error_line: HandedErrorLine,
    prefix: (i32, String),
}

impl TaskReporter {
    /// Opens the task's folder in the spool: what was assigned is on disk before anything runs.
    ///
    /// # Errors
    /// As [`Spool::begin`]; then the task must not be run.
    pub(crate) fn begin(
        spool: &Spool,
        pictures: &PreviewQueue,
        metrics: &Metrics,
        task: &AssignedTask,
    ) -> Result<Self, SpoolError> {
        let writer = spool.begin(task)?;
        Ok(Self {
            task: task.uuid.to_string(),
            name: task.name.clone(),
            writer,
            pictures: pictures.clone(),
            began: clock::system_time(),
            tmpdir: None,
            counts: Counts::default(),
            metrics: metrics.clone(),
            unit: Progress::of(task).unit,
            error_line: ErrorLine::default(),
            prefix: (0, String::new()),
        })
    }

    /// Lets go of a task that goes on. The spool is to be handed over after it.
    pub(crate) fn hand_over(self) -> HandedReport {
        self.writer.hand_over();
        HandedReport {
            began: millis(self.began.duration_since(UNIX_EPOCH).unwrap_or_default()),
            counts: self.counts,
            error_line: self.error_line.hand_over(),
            prefix: self.prefix,
        }
    }

    /// Goes on with the report of a task that was handed over; `None` where the spool does not know it as running.
    pub(crate) fn take_over(
        spool: &Spool,
        pictures: &PreviewQueue,
        metrics: &Metrics,
        task: &AssignedTask,
        handed: HandedReport,
    ) -> Option<Self> {
        Some(Self {
            writer: spool.resume(&task.uuid)?,
            began: UNIX_EPOCH
                .checked_add(Duration::from_millis(handed.began))
                .unwrap_or(UNIX_EPOCH),
            tmpdir: None,
            counts: handed.counts,
            error_line: ErrorLine::take_over(handed.error_line),
            prefix: handed.prefix,
            task: task.uuid.to_string(),
            name: task.name.clone(),
            pictures: pictures.clone(),
            metrics: metrics.clone(),
            unit: Progress::of(task).unit,
        })
    }

    /// The task has this temporary directory now.
    pub(crate) fn runs_in(&mut self, tmpdir: &Path) {
        self.tmpdir = Some(tmpdir.to_owned());
    }

    /// Adds one line to the log, without its end; line ends inside make several lines of it. Never waits.
    pub(crate) fn line(&mut self, text: &str) {
        self.metrics.logged(text.len());
        self.writer.line("", text);
    }

    /// Adds one line of a program's output: `pid=N > text`, as the Go worker writes it. Never waits.
    pub(crate) fn output(&mut self, pid: i32, text: &str) {
        if self.prefix.0 != pid {
            self.prefix = (pid, format!("pid={pid} > "));
            self.error_line = ErrorLine::default();
        }
        self.error_line.add(text);
        self.metrics.logged(text.len());
        self.writer.line(&self.prefix.1, text);
    }

    /// Tells what is being done now, in place of what was told before. Shown on the Manager's page, as one line.
    pub(crate) fn activity(&mut self, text: &str) {
        self.writer.activity(one_line(text));
    }

    /// Counts one more step as done.
    pub(crate) fn step(&mut self) {
        if self.unit == Unit::Frame {
            self.metrics.frame_done();
        }
        self.writer.step();
    }

    /// Tells of a picture that was written: a candidate for the "last rendered" view. A relative path is the worker's.
    pub(crate) fn produced(&mut self, path: &Path) {
        self.metrics.picture_written();
        self.pictures.produced(Candidate {
            task: self.task.clone(),
            path: path.to_owned(),
            began: self.began,
            tmpdir: self.tmpdir.clone(),
        });
        self.counts.picture();
    }

    /// A program of the task runs.
    pub(crate) fn started(&mut self) {
        self.metrics.program_started();
    }

    /// Remembers what became of a program of the task; `name` is the task's own word for it.
    pub(crate) fn ended(&mut self, name: &str, finished: &Finished) {
        self.metrics.program_ended(&program_use(finished));
        self.remember(name, finished, None);
    }

    /// Remembers what a Blender that is kept used for the task, which was the how many-th of its tasks. It has not ended.
    pub(crate) fn rendered_in_kept(&mut self, name: &str, finished: &Finished, kept_task: u32) {
        let start = match kept_task {
            1 => BlenderStart::Cold,
            _ => BlenderStart::Warm,
        };
        self.metrics.rendered_in_kept(start, &program_use(finished));
        self.remember(name, finished, Some(kept_task));
    }

    fn remember(&mut self, name: &str, finished: &Finished, kept_task: Option<u32>) {
        self.counts.program(finished);
        self.writer.program(program_end(name, finished, kept_task));
    }

    /// Where the end of a program is to be noted should the worker go before it is told; the task is done if the program
    /// `is_last` and ends well.
    pub(crate) fn end_note(&self, name: &str, is_last: bool) -> EndNote {
        let (file, run) = self.writer.end_note();
        orphaned_run::note(&file, run, &one_line(name), is_last)
    }

    /// Ends the report. On return the end is on disk and on its way, not yet with the Manager, which is told only of a task
    /// that is completed or has failed; of a failed one, only if it still wants the task run. The last line of the log says
    /// why a task is not completed, and so does the activity, but for a task that was stopped. Returns what the run came to.
    pub(crate) fn close(mut self, outcome: &Outcome) -> Option<TaskTotals> {
        let totals = self.writer.progress().map(|progress| self.counts.total(&progress));
        let cause = match outcome {
            Ok(()) => Cause::Completed,
            Err(Incomplete::Failed(why) | Incomplete::SuspectNode(why)) => {
                self.warn_failed(why);
                self.line(&format!("Failed: {why}"));
                Cause::Failed(one_line(why))
            }
            Err(Incomplete::Aborted(reason)) => {
                let reason = reason.to_string();
                self.line(&format!("Stopped: {reason}"));
                Cause::Aborted(one_line(&reason))
            }
            Err(Incomplete::Requeued(reason)) => {
                let reason = reason.to_string();
                let text = format!("Handed back: {reason}");
                self.line(&text);
                self.activity(&text);
                Cause::HandedBack(one_line(&reason))
            }
        };
        self.writer.close(cause);
        totals
    }

    fn warn_failed(&self, why: &str) {
        let printed = self.error_line.line().map(|line| format!(" It said: {line:?}."));
        let id: String = self.task.chars().take(SHORT).collect();
        let end = if why.ends_with(['.', '?', '!']) { "" } else { "." };
        warn!(
            task = self.task,
            "task {} failed: {why}{end}{} `flamenco-worker history {id}` shows its log",
            self.name,
            printed.unwrap_or_default()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Limits, Sender};
    use crate::timings::Timings;

    /// The spool becomes that of the successor.
    fn hand_over(home: &Path, spool: &Spool) -> (Spool, Sender) {
        let text = serde_json::to_string(&spool.hand_over()).unwrap();
        let handed = serde_json::from_str(&text).unwrap();
        Spool::of(Spool::take_over(home, handed, Limits::default(), &Timings::default()).unwrap())
    }

    #[test]
    fn a_report_that_is_handed_over_goes_on_where_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (spool, _sender) = Spool::open(home.path(), Limits::default(), &Timings::default()).unwrap();
        let (pictures, _pictures_sender) = PreviewQueue::new(home.path(), &Timings::default());
        let metrics = Metrics::new("1").unwrap();
        let task = serde_json::from_str(r#"{"uuid":"t","name":"n","commands":[],"steps_total":2}"#).unwrap();
        let mut reporter = TaskReporter::begin(&spool, &pictures, &metrics, &task).unwrap();
        reporter.output(7, "Error: no such scene");
        reporter.produced(Path::new("/1.png"));
        reporter.step();
        let began = reporter.began;

        let text = serde_json::to_string(&reporter.hand_over()).unwrap();
        let (spool, _sender) = hand_over(home.path(), &spool);
        let handed = serde_json::from_str(&text).unwrap();
        let mut reporter = TaskReporter::take_over(&spool, &pictures, &metrics, &task, handed).unwrap();
        reporter.output(7, "Blender quit");
        assert_eq!(reporter.error_line.line(), Some("Error: no such scene"));
        assert!(began.duration_since(reporter.began).unwrap() < Duration::from_millis(1));
        reporter.produced(Path::new("/2.png"));
        reporter.step();
        let totals = reporter.close(&Ok(())).unwrap().to_string();
        assert!(
            totals.starts_with("2 steps in ") && totals.ends_with(", 2 pictures"),
            "{totals}"
        );
        assert!(spool.is_completed("t"));
        let gone = TaskReporter::take_over(&spool, &pictures, &metrics, &task, HandedReport::default());
        assert!(gone.is_none(), "it does not run");
    }
}
