// SPDX-License-Identifier: GPL-3.0-or-later

//! One task's folder: what it said so far, and what of that the Manager has.
//!
//! The reporter fills it, the sender empties it. Both are on one thread and hold it for no longer than
//! a call; neither keeps it borrowed over an `await`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::disk;
use super::end::{self, Cause, End, ProgramEnd};
use super::limits::Limits;
use super::log::{self, Log, Piece};
use super::record::{ASSIGNED, Assigned, Fate, REPORT, Record, now_millis};
use super::trouble::Trouble;
use crate::files::{self, is_full};
use crate::protocol::{Id, TaskUpdate};
use crate::timings::Timings;

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) task: Id,
    pub(super) path: PathBuf,
    pub(super) begun: u64,
    pub(super) log: Log,
    files: files::Thread,
    /// Not said yet.
    steps: Option<u32>,
    activity: Option<String>,
    log_since: Option<Instant>,
    said_since: Option<Instant>,
    /// Bytes printed since the last delivery; enough of them are sent early.
    fresh: u64,
    /// When this run began; `None` once it is over.
    running: Option<Instant>,
    programs: Vec<ProgramEnd>,
    record: Record,
    /// When the outcome came, or was found at the start.
    over_since: Option<Instant>,
    pub(super) synced: bool,
    pub(super) trouble: Trouble,
}

/// What folders are made with: the same for all of a spool.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) limits: Limits,
    pub(super) timings: Timings,
    /// Does what is to be done on the disk.
    pub(super) files: files::Thread,
}

/// What is to be done for a folder, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Instant),
    Never,
}

/// What is to be sent next of a folder.
#[derive(Debug)]
pub(super) enum Parcel {
    Said(Said),
    /// Everything before it was accepted.
    Outcome(TaskUpdate),
    /// Nothing waits, and nothing will come.
    Empty,
    /// What is next is on a disk that does not answer now.
    OutOfReach,
}

/// Log, activity and steps. Together they are one update, which the Manager takes in that order.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) piece: Option<Piece>,
    activity: Option<String>,
    steps: Option<u32>,
}

impl Said {
    pub(super) fn update(&self) -> TaskUpdate {
        TaskUpdate {
            status: None,
            activity: self.activity.clone(),
            log: self.piece.as_ref().map(|piece| piece.text.clone()),
            steps_completed: self.steps,
        }
    }

    /// Less of its log can be sent.
    pub(super) fn can_be_halved(&self) -> bool {
        self.piece.as_ref().is_some_and(|piece| piece.lines() > 1)
    }

    /// More than a log: refused, it does not say which part displeased.
    pub(super) fn is_mixed(&self) -> bool {
        self.piece.is_some() && (self.activity.is_some() || self.steps.is_some())
    }
}

impl Folder {
    /// The folder of a task that is about to run.
    pub(super) fn new(task: &Id, path: &Path, begun: u64, means: &Means) -> Self {
        Self {
            task: task.clone(),
            path: path.to_owned(),
            begun,
            log: Log::new(path, &means.limits, means.files.clone()),
            files: means.files.clone(),
            steps: None,
            activity: None,
            log_since: None,
            said_since: None,
            fresh: 0,
            running: Some(Instant::now()),
            programs: Vec::new(),
            record: Record::default(),
            over_since: None,
            synced: false,
            trouble: Trouble::new(&means.timings),
        }
    }

    /// A folder that an earlier process left; its task does not run any more.
    ///
    /// # Errors
    /// When anything in it cannot be read: then it is damaged.
    pub(super) fn found(path: &Path, means: &Means) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Identified {
            uuid: Id,
        }
        let assigned: Assigned<Identified> = disk::read(&path.join(ASSIGNED))?.ok_or(io::ErrorKind::NotFound)?;
        let record: Record = disk::read(&path.join(REPORT))?.unwrap_or_default();
        let mut folder = Self::new(&assigned.task.uuid, path, assigned.begun, means);
        folder.log = log::scan(path, folder.log, record.log)?;
        folder.running = None;
        folder.over_since = Some(Instant::now());
        folder.record = record;
        Ok(folder)
    }

    /// The task runs again here before the rest of its log was sent: it goes on in the same folder.
    pub(super) fn reopen(&mut self, begun: u64) {
        self.begun = begun;
        self.running = Some(Instant::now());
        self.record.end = None;
        self.record.seen = false;
        self.over_since = None;
        self.synced = false;
        self.log.reopen();
        // As it stood on disk, an earlier run was seen to have ended with the worker: this one is to be seen, too.
        self.save();
    }

    /// Whether an outcome waits to be delivered.
    pub(super) fn has_outcome(&self) -> bool {
        self.record.has_outcome() && self.record.fate.is_none()
    }

    pub(super) fn is_completed(&self) -> bool {
        self.has_outcome() && matches!(&self.record.end, Some(end) if end.cause == Cause::Completed)
    }

    /// Whether its outcome was given up: the task must not run here again.
    pub(super) fn is_set_aside(&self) -> bool {
        self.record.has_outcome() && self.record.fate == Some(Fate::SetAside)
    }

    /// Whether the worker ended with this task, and no start has noted that yet.
    pub(super) fn ended_unseen(&self) -> bool {
        let end = self.record.end.as_ref().map(|end| &end.cause);
        matches!(end, None | Some(Cause::CutOff)) && !self.is_running() && !self.record.seen
    }

    /// It is noted.
    pub(super) fn end_seen(&mut self) {
        self.record.seen = true;
        self.save();
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn fate(&self) -> Option<&Fate> {
        self.record.fate.as_ref()
    }

    /// Since when an outcome waits that was not made safe against a power cut.
    pub(super) fn unsynced_since(&self) -> Option<Instant> {
        self.over_since.filter(|_| self.has_outcome() && !self.synced)
    }

    /// Whether it cannot be delivered for `limit` although the Manager answers other calls.
    pub(super) fn is_hopeless(&self, limit: Duration) -> bool {
        self.over_since
            .is_some_and(|since| !self.is_running() && self.trouble.is_hopeless(since, limit))
    }

    /// Adds to the log. True when the sender should know.
    pub(super) fn append(&mut self, prefix: &str, text: &str, early_send: u64) -> bool {
        self.log.append(prefix, text);
        let before = self.fresh;
        self.fresh += (prefix.len() + text.len() + 1) as u64;
        let first = self.log_since.is_none();
        if first {
            self.log_since = Some(Instant::now());
        }
        first || (before < early_send && self.fresh >= early_send)
    }

    pub(super) fn set_activity(&mut self, activity: String) {
        self.record.activity.clone_from(&activity);
        self.activity = Some(activity);
        self.said_since.get_or_insert_with(Instant::now);
    }

    /// Steps done so far.
    pub(super) fn steps(&self) -> u32 {
        self.record.steps
    }

    pub(super) fn set_steps(&mut self, steps: u32) {
        self.record.steps = steps;
        self.steps = Some(steps);
        self.said_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn remember(&mut self, program: ProgramEnd) {
        end::remember(&mut self.programs, program);
    }

    /// The task is over. Writes its end to disk; where that fails it is kept in memory.
    pub(super) fn close(&mut self, cause: Cause) {
        let took = self.running.take().map_or(Duration::ZERO, |begun| begun.elapsed());
        self.over_since = Some(Instant::now());
        self.log.close();
        self.record.end = Some(End {
            cause,
            ended: now_millis(),
            took_ms: end::millis(took),
            programs: std::mem::take(&mut self.programs),
        });
        self.save();
    }

    /// The run that ended with the worker is over like this.
    pub(super) fn settle(&mut self, end: End, lines: &[String]) {
        for line in lines {
            self.log.append("", line);
        }
        self.log.close();
        self.record.end = Some(end);
        self.save();
    }

    /// Decides what becomes of the folder; nothing more of it is sent. That it was delivered is said by where it
    /// goes: lost in between, the outcome is sent again, which does no harm and is cheaper than a file each time.
    pub(super) fn seal(&mut self, fate: Fate) {
        let delivered = fate == Fate::Delivered;
        self.record.fate.get_or_insert(fate);
        if !delivered {
            self.save();
        }
    }

    /// Gives what was set aside another chance.
    pub(super) fn unseal(&mut self) {
        self.record.fate = None;
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
            warn!(task = %self.task, path = %self.path.display(), %error, "cannot save how far a task was reported");
        }
    }

    fn try_save(&mut self, path: &Path) -> io::Result<()> {
        self.record.log = self.log.progress();
        let (path, bytes) = (path.to_owned(), serde_json::to_vec(&self.record)?);
        self.files.run(move || files::replace(&path, &bytes))
    }

    /// When something is to be sent, the back-off of this folder left aside.
    pub(super) fn due(&self, early_send: u64, timings: &Timings) -> Due {
        match (self.is_running(), &self.record.fate) {
            (false, _) => return Due::Now,
            (true, Some(_)) => return Due::Never,
            (true, None) => {}
        }
        if self.fresh >= early_send {
            return Due::Now;
        }
        let log = self.log_since.map(|since| since + timings.log_flush);
        let said = self.said_since.map(|since| since + timings.said_flush);
        log.into_iter().chain(said).min().map_or(Due::Never, Due::At)
    }

    /// Takes what is to be sent next; at most one parcel is on its way.
    pub(super) fn pack(&mut self, most: usize) -> Parcel {
        if self.record.fate.is_some() {
            return Parcel::Empty;
        }
        let Ok(piece) = self.log.next_piece(self.trouble.most.unwrap_or(most)) else {
            return Parcel::OutOfReach;
        };
        let mut said = Said {
            piece,
            ..Said::default()
        };
        let together = said.piece.is_none() || !self.trouble.apart;
        if together && !self.has_outcome() {
            said.activity = self.activity.take();
            said.steps = self.steps.take();
        }
        if said.piece.is_some() || said.activity.is_some() || said.steps.is_some() {
            return Parcel::Said(said);
        }
        match self.record.last_update(self.steps) {
            Some(update) => Parcel::Outcome(update),
            None => {
                // What was printed past the limit of the log wakes the sender too.
                (self.fresh, self.log_since, self.said_since) = (0, None, None);
                Parcel::Empty
            }
        }
    }

    /// The Manager has it.
    pub(super) fn accepted(&mut self, said: &Said) {
        if let Some(piece) = &said.piece {
            self.log.accepted(piece);
        }
        self.sent(said);
    }

    /// The Manager will never have it.
    pub(super) fn refused(&mut self, said: &Said) {
        if let Some(piece) = &said.piece {
            self.log.refused(piece);
        }
        self.sent(said);
    }

    /// It was too large: the next piece is half of it.
    pub(super) fn halve(&mut self, said: &Said) {
        self.trouble.most = said.piece.as_ref().map(|piece| piece.bytes() / 2);
    }

    fn sent(&mut self, said: &Said) {
        self.trouble.most = None;
        self.fresh = self.log.unsent();
        self.log_since = (self.fresh > 0).then(Instant::now);
        self.said_since = (self.activity.is_some() || self.steps.is_some()).then(Instant::now);
        if said.piece.is_some() {
            self.save();
        }
    }

    /// It did not arrive; what was said since replaces it.
    pub(super) fn give_back(&mut self, said: Said) {
        if let Some(piece) = said.piece {
            self.log.give_back(piece);
        }
        self.activity = self.activity.take().or(said.activity);
        self.steps = self.steps.take().or(said.steps);
    }
}
