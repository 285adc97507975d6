// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps what tasks report until the Manager has it: a folder per task, one sender.
//!
//! ```text
//!  report ── TaskWriter: lines, steps, activity, one outcome ──► spool/<task>/{task.json, log-*, report.json}
//!  worker ◄── pending, delivered, notices                                  │ oldest task first
//!                                     Sender ── log, then the rest, then the outcome ──► Manager
//!                                       └► history/   set-aside/   damaged/
//! ```
//!
//! A report is a state, not a stream: a log and how far of it the Manager has, steps that are absolute,
//! one outcome. So a folder can be picked up at any point, by any process, and what is sent twice is
//! at most the update whose answer was lost. `completed` is always sent; `failed` only if the Manager, asked
//! anew, still wants the task run: late, it would bring a cancelled job back; `active` never.
//!
//! The disk may be full, read-only, or stand still: then reports wait in memory, bounded, and lines that do not fit are
//! counted. No file is touched on the event loop, but in a thread that is not waited for long.

mod batch;
mod context;
mod delivery_state;
mod disk;
mod error;
mod handed;
mod history;
mod housekeeping;
mod interrupted_runs;
mod limits;
mod line_count;
mod listing;
mod log;
mod name;
mod notices;
mod paths;
mod progress;
mod records;
mod request_gate;
mod run_end;
mod run_state;
mod sender;
mod shared;
mod task_folder;
mod task_writer;
mod unsent;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use self::shared::Shared;
use crate::blocking::run_blocking;
use crate::progress::Progress;
use crate::protocol::AssignedTask;
use crate::timings::Timings;

pub(crate) use self::error::SpoolError;
pub(crate) use self::handed::HandedSpool;
pub(crate) use self::limits::Limits;
pub(crate) use self::line_count::LineCount;
pub(crate) use self::listing::{SpoolListing, StoredTask, list};
pub(crate) use self::log::LogSpan;
pub(crate) use self::notices::Notice;
pub(crate) use self::records::ReportState;
pub(crate) use self::run_end::{Cause, ProgramEnd, RunEnd, millis};
pub(crate) use self::sender::Sender;
pub(crate) use self::shared::{Contents, OrphanedRun, PendingReports};
pub(crate) use self::task_writer::TaskWriter;

/// The spool of this home. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Rc<Shared>);

impl Spool {
    /// Opens the spool in `folder`. Blocks on the disk.
    #[cfg(test)]
    pub(crate) fn open(folder: &Path, limits: Limits, timings: &Timings) -> Result<(Self, Sender), SpoolError> {
        let read = Contents::read(folder, limits, timings);
        read.map(Self::of).map_err(|source| SpoolError::Folder {
            path: folder.to_owned(),
            source,
        })
    }

    /// Reads the spool in `folder`, made if it is not there, and finds what earlier processes left. A damaged folder is moved
    /// to `damaged/` and reported; it never keeps the worker from starting. Done in another thread: it may take long or,
    /// where the home stands still, for ever.
    ///
    /// # Errors
    /// [`SpoolError::Folder`], when the folder cannot be used at all.
    pub(crate) async fn read(folder: &Path, limits: Limits, timings: &Timings) -> Result<Contents, SpoolError> {
        let (path, timings) = (folder.to_owned(), timings.clone());
        let read = run_blocking(move || Contents::read(&path, limits, &timings)).await;
        read.map_err(|source| SpoolError::Folder {
            path: folder.to_owned(),
            source,
        })
    }

    /// The spool with what [`read`](Self::read) found.
    pub(crate) fn of(contents: Contents) -> (Self, Sender) {
        let shared = Rc::new(Shared::of(contents));
        (Self(Rc::clone(&shared)), Sender::new(shared))
    }

    /// A task was handed out: notices from now on are about this run of it, and earlier ones are forgotten.
    pub(crate) fn handed_out(&self, task: &str) {
        self.0.notices.forget(task);
    }

    /// Makes the folder of a task that is about to run. One that was aborted here, and came back before all of
    /// its log was sent, goes on in the folder it has.
    ///
    /// # Errors
    /// [`SpoolError::Held`] for a task that must not run, [`SpoolError::Task`] when the disk says no,
    /// [`SpoolError::TooMuchWaits`] and [`SpoolError::NoRoom`] before it would.
    pub(crate) fn begin(&self, task: &AssignedTask) -> Result<TaskWriter, SpoolError> {
        let folder = self.0.begin(task)?;
        Ok(TaskWriter::new(Rc::clone(&self.0), folder))
    }

    /// Adds a line of the worker's own to the log of a task that runs.
    pub(crate) fn remark(&self, task: &str, line: &str) {
        self.0.remark(task, line);
    }

    /// The task stands still from now on. The Manager's page shows that and `why`, until it goes on or ends.
    pub(crate) fn pause(&self, task: &str, why: &str) {
        self.0.pause(task, why);
    }

    /// The task goes on. Returns how long it stood still; `None` if it did not.
    pub(crate) fn end_pause(&self, task: &str) -> Option<Duration> {
        self.0.end_pause(task)
    }

    /// Adds a line of the worker's own to the log of a task that an earlier process left, if not all of it is sent.
    pub(crate) fn remark_later(&self, task: &str, line: &str) {
        self.0.remark_later(task, line);
    }

    /// Runs that ended with an earlier worker, and that were not settled or counted since. Each is to be.
    pub(crate) fn orphaned_runs(&self) -> Vec<OrphanedRun> {
        self.0.orphaned_runs()
    }

    /// An orphaned run is over all the same: its outcome waits from now on, with the time of its end and its last program.
    pub(crate) fn settle(
        &self,
        run: &OrphanedRun,
        cause: Cause,
        (ended, program): (u64, ProgramEnd),
        lines: &[String],
    ) {
        let end = RunEnd {
            cause,
            ended,
            took_ms: ended.saturating_sub(run.begun),
            paused_ms: 0,
            programs: vec![program],
        };
        self.0.settle(run, end, lines);
    }

    /// Nothing is known of the end of an orphaned run: it counts for [`interruptions`](Self::interruptions).
    pub(crate) fn count_orphaned(&self, run: &OrphanedRun) {
        self.0.count_orphaned(run);
    }

    /// Whether this task is completed, and the Manager does not know that yet.
    pub(crate) fn is_completed(&self, task: &str) -> bool {
        self.0.is_completed(task)
    }

    /// How often in a row the worker ended while it ran this task: killed, or told to stop as soon as it had begun.
    pub(crate) fn interruptions(&self, task: &str) -> u32 {
        self.0.interrupted.borrow().times(task)
    }

    /// Counts for [`interruptions`](Self::interruptions) that the worker has to end, and this task had hardly begun.
    pub(crate) fn count_interruption(&self, task: &str) {
        self.0.interrupted.borrow_mut().add(task);
    }

    /// A run of this task ended, and the worker did not end with it.
    pub(crate) fn forget_interruptions(&self, task: &str) {
        self.0.interrupted.borrow_mut().forget(task);
    }

    /// How far a task is; `None` for one that does not run here.
    pub(crate) fn progress(&self, task: &str) -> Option<Progress> {
        self.0.progress(task)
    }

    /// How much waits for the Manager now.
    pub(crate) fn pending(&self) -> PendingReports {
        *self.0.pending.borrow()
    }

    /// Bytes of log that the Manager does not have.
    pub(crate) fn unsent_log(&self) -> u64 {
        self.0.unsent_log()
    }

    /// The Manager has accepted a sign-on: what it did not take before is tried again now.
    pub(crate) fn deliver_now(&self) {
        self.0.is_back.set(true);
        self.0.work.notify_one();
    }

    /// Returns when no outcome waits; at once if none does. Cancel safe.
    pub(crate) async fn outcomes_delivered(&self) {
        self.wait_until(|pending| pending.outcomes == 0).await;
    }

    /// Returns when nothing waits of tasks that are over; at once if nothing does. Cancel safe.
    pub(crate) async fn drained(&self) {
        self.wait_until(|pending| pending.tasks == 0).await;
    }

    /// The next notice about a running task. Cancel safe; for one listener.
    pub(crate) async fn next_notice(&self) -> Notice {
        self.0.notices.next().await
    }

    /// Whether a task could begin now. Waits for the disk, shortly.
    pub(crate) fn is_writable(&self) -> bool {
        let spool = self.0.paths.spool.clone();
        self.0.room().is_ok() && self.0.context.files.run(move || paths::try_write(&spool)).is_ok()
    }

    async fn wait_until(&self, enough: impl Fn(&PendingReports) -> bool) {
        // An error would say that the other side is gone, which is in `self`.
        self.0.pending.subscribe().wait_for(enough).await.ok();
    }
}
