// SPDX-License-Identifier: GPL-3.0-or-later

//! One task's folder: what was reported so far, and what of that the Manager has.
//!
//! ```text
//! TaskWriter: append, step, ..., close ──► TaskFolder ──► next_batch ──► Sender ──► accepted, refused, give_back
//! ```
//!
//! The task fills it, the sender empties it. Both are on one thread and hold it for no longer than
//! a call; neither keeps it borrowed over an `await`.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::batch::{Batch, ProgressUpdate};
use super::context::SpoolContext;
use super::delivery_state::DeliveryState;
use super::disk;
use super::log::{self, SegmentedLog};
use super::paths::Shelf;
use super::records::{ASSIGNED, AssignmentRecord, REPORT, ReportRecord, ReportState, now_millis};
use super::run_end::{self, Cause, ProgramEnd, RunEnd};
use super::run_state::RunState;
use super::unsent::Unsent;
use crate::chain::chain;
use crate::files::{self, is_full};
use crate::progress::Progress;
use crate::protocol::{AssignedTask, Id};
use crate::timings::Timings;

/// A folder, in memory.
#[derive(Debug)]
pub(super) struct TaskFolder {
    pub(super) task: Id,
    pub(super) path: PathBuf,
    /// Of the last run, in milliseconds since 1970.
    pub(super) begun: u64,
    pub(super) log: SegmentedLog,
    /// Writes the record.
    pub(super) files: files::Thread,
    pub(super) record: ReportRecord,
    pub(super) run: RunState,
    pub(super) unsent: Unsent,
    /// Not answered yet; it is in no other place now. The sender takes it with the answer, and what it leaves is sent again.
    pub(super) on_its_way: Option<ProgressUpdate>,
    pub(super) delivery: DeliveryState,
}

/// When something of a folder is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendTime {
    Now,
    At(Instant),
    Never,
}

impl TaskFolder {
    /// The folder of a task that is about to run.
    pub(super) fn new(task: &AssignedTask, path: &Path, begun: u64, context: &SpoolContext) -> Self {
        Self {
            run: RunState::begun(task),
            ..Self::idle(&task.uuid, path, begun, context)
        }
    }

    pub(super) fn idle(task: &Id, path: &Path, begun: u64, context: &SpoolContext) -> Self {
        Self {
            task: task.clone(),
            path: path.to_owned(),
            begun,
            log: SegmentedLog::new(path, &context.limits, context.files.clone()),
            files: context.files.clone(),
            record: ReportRecord::default(),
            run: RunState::over(),
            unsent: Unsent::default(),
            on_its_way: None,
            delivery: DeliveryState::new(&context.timings),
        }
    }

    /// Reads a folder that an earlier process left; its task does not run any more. Blocks.
    ///
    /// # Errors
    /// When anything in it cannot be read: then it is damaged.
    pub(super) fn read(path: &Path, context: &SpoolContext) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct TaskId {
            uuid: Id,
        }
        let assigned: AssignmentRecord<TaskId> = disk::read(&path.join(ASSIGNED))?.ok_or(io::ErrorKind::NotFound)?;
        let record: ReportRecord = disk::read(&path.join(REPORT))?.unwrap_or_default();
        let mut folder = Self::idle(&assigned.task.uuid, path, assigned.begun, context);
        folder.log = log::scan(path, folder.log, record.log)?;
        folder.record = record;
        Ok(folder)
    }

    /// The task runs again here before the rest of its log was sent: it goes on in the same folder.
    pub(super) fn reopen(&mut self, task: &AssignedTask, begun: u64) {
        self.begun = begun;
        self.run = RunState::begun(task);
        self.record.end = None;
        self.record.orphan_noted = false;
        self.log.reopen();
        // The record on disk may say that the worker ended with an earlier run, and that this was noted. Should the worker
        // end with this run too, that has to be noted again.
        self.save();
    }

    /// Whether an outcome waits to be delivered.
    pub(super) fn has_outcome(&self) -> bool {
        self.record.has_outcome() && self.is_waiting()
    }

    pub(super) fn is_completed(&self) -> bool {
        self.has_outcome() && matches!(&self.record.end, Some(end) if end.cause == Cause::Completed)
    }

    /// Where it goes when nothing more of it is sent. A task whose outcome was set aside must not run here again.
    pub(super) fn shelf(&self) -> Shelf {
        match self.record.has_outcome() && self.record.state == ReportState::SetAside {
            true => Shelf::SetAside,
            false => Shelf::History,
        }
    }

    /// Whether the worker ended with this task, and no start has noted that yet.
    pub(super) fn is_orphaned(&self) -> bool {
        let end = self.record.end.as_ref().map(|end| &end.cause);
        matches!(end, None | Some(Cause::CutOff)) && !self.is_running() && !self.record.orphan_noted
    }

    /// It is noted that the worker ended with this task.
    pub(super) fn note_orphaned(&mut self) {
        self.record.orphan_noted = true;
        self.save();
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.run, RunState::Running { .. })
    }

    /// Whether anything of it may still be sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.record.state == ReportState::Waiting
    }

    /// Since when an outcome waits that was not made safe against a power cut.
    pub(super) fn unsynced_since(&self) -> Option<Instant> {
        match self.run {
            RunState::Over { since, synced: false } if self.has_outcome() => Some(since),
            RunState::Over { .. } | RunState::Running { .. } => None,
        }
    }

    /// From now on it counts as safe against a power cut.
    pub(super) fn mark_synced(&mut self) {
        if let RunState::Over { synced, .. } = &mut self.run {
            *synced = true;
        }
    }

    /// Whether it cannot be delivered for `limit` although the Manager answers other calls.
    pub(super) fn is_hopeless(&self, limit: Duration) -> bool {
        match self.run {
            RunState::Over { since, .. } => self.delivery.is_hopeless(since, limit),
            RunState::Running { .. } => false,
        }
    }

    /// Adds to the log. True when the sender should know.
    pub(super) fn append(&mut self, prefix: &str, text: &str, early_send: u64) -> bool {
        self.log.append(prefix, text);
        let bytes = prefix.len() + text.len() + 1;
        self.unsent.print(bytes as u64, early_send)
    }

    /// While the task stands still, that is told instead.
    pub(super) fn set_activity(&mut self, activity: String) {
        self.record.activity.clone_from(&activity);
        if !self.is_paused() {
            self.unsent.set_activity(activity);
        }
    }

    /// The task stands still from now on, which is told as `activity`.
    pub(super) fn pause(&mut self, activity: String) {
        if let RunState::Running { progress, .. } = &mut self.run {
            progress.pause();
            self.unsent.set_activity(activity);
        }
    }

    /// It goes on. Returns how long it stood still; `None` if it did not.
    pub(super) fn end_pause(&mut self) -> Option<Duration> {
        let RunState::Running { progress, .. } = &mut self.run else {
            return None;
        };
        let time = progress.resume()?;
        self.unsent.set_activity(self.record.activity.clone());
        self.unsent.tell_progress_again();
        Some(time)
    }

    fn is_paused(&self) -> bool {
        self.progress().is_some_and(|progress| progress.is_paused())
    }

    /// How far the task is, while it runs.
    pub(super) fn progress(&self) -> Option<Progress> {
        match self.run {
            RunState::Running { progress, .. } => Some(progress),
            RunState::Over { .. } => None,
        }
    }

    /// One more step is done.
    pub(super) fn step(&mut self) {
        let RunState::Running { progress, .. } = &mut self.run else {
            return;
        };
        progress.step();
        self.record.steps = progress.done;
        self.unsent.set_progress(progress);
    }

    /// Remembers what became of a program of the run.
    pub(super) fn remember(&mut self, program: ProgramEnd) {
        if let RunState::Running { programs, .. } = &mut self.run {
            run_end::remember(programs, program);
        }
    }

    /// The run is over. Writes its end to disk; where that fails it is kept in memory.
    pub(super) fn close(&mut self, cause: Cause) {
        let (took, paused, programs) = match mem::replace(&mut self.run, RunState::over()) {
            RunState::Running { progress, programs } => (progress.took(), progress.stood_still(), programs),
            RunState::Over { .. } => Default::default(),
        };
        self.log.close();
        self.record.end = Some(RunEnd {
            cause,
            ended: now_millis(),
            took_ms: run_end::millis(took),
            paused_ms: run_end::millis(paused),
            programs,
        });
        self.save();
    }

    /// The run that ended with the worker is over like this.
    pub(super) fn settle(&mut self, end: RunEnd, lines: &[String]) {
        for line in lines {
            self.log.append("", line);
        }
        self.log.close();
        self.record.end = Some(end);
        self.save();
    }

    /// Decides what becomes of the folder; nothing more of it is sent. The first decision counts. That it was delivered is
    /// not written: where the folder goes tells it. Should the worker be lost in between, the outcome is sent again, which
    /// does no harm and is cheaper than a file each time.
    pub(super) fn finish(&mut self, state: ReportState) {
        let delivered = state == ReportState::Delivered;
        if self.is_waiting() {
            self.record.state = state;
        }
        if !delivered {
            self.save();
        }
    }

    /// Gives what was set aside another chance.
    pub(super) fn take_back(&mut self) {
        self.record.state = ReportState::Waiting;
        self.save();
    }

    /// Puts on disk how far it was reported.
    pub(super) fn save(&mut self) {
        let path = self.path.join(REPORT);
        let mut saved = self.try_save(&path);
        // A result is worth more than a log.
        while saved.as_ref().is_err_and(is_full) && self.log.give_way() {
            saved = self.try_save(&path);
        }
        if let Err(error) = saved {
            warn!(
                task = %self.task,
                path = %self.path.display(),
                error = chain(&error),
                "cannot save how far a task was reported"
            );
        }
    }

    fn try_save(&mut self, path: &Path) -> io::Result<()> {
        self.record.log = self.log.progress();
        let (path, bytes) = (path.to_owned(), serde_json::to_vec(&self.record)?);
        self.files.run(move || files::replace(&path, &bytes))
    }

    /// When something is to be sent, the pauses after failures left aside.
    pub(super) fn send_time(&self, early_send: u64, timings: &Timings) -> SendTime {
        match (self.is_running(), self.is_waiting()) {
            (false, _) => SendTime::Now,
            (true, false) => SendTime::Never,
            (true, true) => self.unsent.send_time(early_send, timings),
        }
    }

    /// Takes what is to be sent next; at most one batch is on its way. It has about `most` bytes of log.
    pub(super) fn next_batch(&mut self, most: usize) -> Batch {
        if let Some(update) = self.on_its_way.take() {
            self.give_back(update);
        }
        if !self.is_waiting() {
            return Batch::Empty;
        }
        let Ok(log) = self.log.next_chunk(self.delivery.most.unwrap_or(most)) else {
            return Batch::OutOfReach;
        };
        let together = log.is_none() || !self.delivery.apart;
        let mut update = ProgressUpdate {
            log,
            ..ProgressUpdate::default()
        };
        if together && !self.has_outcome() {
            let progress = self.progress().filter(|progress| !progress.is_paused());
            self.unsent.take(&mut update, progress);
            if let (Some(activity), Some(_)) = (&update.activity, progress) {
                self.record.activity.clone_from(activity);
            }
        }
        if !update.is_empty() {
            let words = update.update();
            self.on_its_way = Some(update);
            return Batch::Progress(words);
        }
        if let Some(update) = self.record.last_update(self.unsent.steps()) {
            return Batch::Outcome(update);
        }
        // What was printed past the limit of the log wakes the sender too.
        self.unsent.clear();
        Batch::Empty
    }

    /// The Manager has it.
    pub(super) fn accepted(&mut self, update: &ProgressUpdate) {
        if let Some(chunk) = &update.log {
            self.log.accepted(chunk);
        }
        self.answered(update);
    }

    /// The Manager will never have it.
    pub(super) fn refused(&mut self, update: &ProgressUpdate) {
        if let Some(chunk) = &update.log {
            self.log.refused(chunk);
        }
        self.answered(update);
    }

    /// It was too large: the next chunk of log is half of it.
    pub(super) fn halve(&mut self, update: &ProgressUpdate) {
        self.delivery.most = update.log.as_ref().map(|chunk| chunk.bytes() / 2);
    }

    fn answered(&mut self, update: &ProgressUpdate) {
        self.delivery.most = None;
        self.unsent.answered(self.log.unsent());
        if update.log.is_some() {
            self.save();
        }
    }

    /// It did not arrive. Of activity and steps, what was reported since replaces it.
    pub(super) fn give_back(&mut self, update: ProgressUpdate) {
        if let Some(chunk) = update.log {
            self.log.give_back(chunk);
        }
        self.unsent.give_back(update.activity, update.steps);
    }
}
