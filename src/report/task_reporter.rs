// SPDX-License-Identifier: GPL-3.0-or-later

//! Writes the report of one task.

use std::path::Path;
use std::time::SystemTime;

use tracing::warn;

use super::error_line::ErrorLine;
use super::orphaned_run;
use super::preview::PreviewQueue;
use super::program_end::{one_line, program_end, program_use};
use super::task_totals::{Counts, TaskTotals};
use crate::clock;
use crate::metrics::{BlenderStart, Metrics};
use crate::outcome::{Incomplete, Outcome};
use crate::process::{EndNote, Finished};
use crate::progress::{Progress, Unit};
use crate::protocol::AssignedTask;
use crate::spool::{Cause, Spool, SpoolError, TaskWriter};

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
    counts: Counts,
    metrics: Metrics,
    /// What the task counts.
    unit: Unit,
    /// Why the last program failed, as it printed.
    error_line: ErrorLine,
    /// `pid=N > ` of the program that printed last.
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
            counts: Counts::default(),
            metrics: metrics.clone(),
            unit: Progress::of(task).unit,
            error_line: ErrorLine::default(),
            prefix: (0, String::new()),
        })
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
        self.pictures.produced(&self.task, self.began, path);
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
        warn!(
            task = self.task,
            "task {} failed: {why}.{} `flamenco-worker history {id}` shows its log",
            self.name,
            printed.unwrap_or_default()
        );
    }
}
