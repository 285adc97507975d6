// SPDX-License-Identifier: GPL-3.0-or-later

//! Nothing said is lost: a folder per task, one sender.
//!
//! ```text
//!  report ── Entry: lines, steps, activity, one outcome ──► spool/<task>/{task.json, log-*, report.json}
//!  worker ◄── holds? waiting, delivered, notices                           │ oldest task first
//!                                     Sender ── log, then the rest, then the outcome ──► Manager
//!                                       └► history/   set-aside/   damaged/
//! ```
//!
//! A report is a state, not a stream: a log and how far of it the Manager has, steps that are absolute,
//! one outcome. So a folder can be picked up at any point, by any process, and what is sent twice is
//! at most the piece whose answer was lost. `completed` is always sent; `failed` only if the Manager, asked
//! anew, still wants the task run: late, it would bring a cancelled job back; `active` never.
//!
//! The disk may be full, read-only, or stand still: then what is said waits in memory, bounded, and what does not fit is
//! counted. No file is touched on the event loop, but in a thread that is not waited for long.

mod count;
mod cut_short;
mod disk;
mod end;
mod entry;
mod folder;
mod history;
mod housekeeping;
mod limits;
mod log;
mod look;
mod name;
mod record;
mod sender;
mod shared;
mod trouble;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::blocking::run_blocking;
use crate::protocol::{AssignedTask, Id};
use crate::timings::Timings;

pub use count::Count;
pub use end::{Cause, End, ProgramEnd, millis};
pub use entry::Entry;
pub use limits::Limits;
pub use look::{Found, Kept, Standing, Stretch, look};
pub use sender::Sender;

pub use shared::Contents;
use shared::Shared;

/// The spool of this home. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Spool(Rc<Shared>);

/// How much waits for the Manager, of tasks that do not run any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Tasks with anything unsent; those with an outcome are among them.
    pub tasks: usize,
    pub outcomes: usize,
}

/// A run that ended with its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    pub task: Id,
    /// Tells it from other runs of the same task.
    pub begun: u64,
    /// Where a guard may have noted how the program ended.
    pub note: PathBuf,
}

/// What the Manager said about a running task when it was sent an update of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another worker has it. With the task's id.
    NotOurs(Id),
    /// It was deleted. With the task's id.
    Gone(Id),
}

/// Why something cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder of the spool cannot be made, read or written.
    #[error("cannot use the spool folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The folder of a task cannot be made: a full disk, most likely.
    #[error("cannot make a folder for the task in {}", path.display())]
    Task {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Too much waits already.
    #[error("{waiting} MB of log wait for the Manager; no new task begins above {most} MB")]
    TooMuchWaits { waiting: u64, most: u64 },
    /// The disk is nearly full.
    #[error("only {free} MB are free at {}; {least} MB are needed", path.display())]
    NoRoom { path: PathBuf, free: u64, least: u64 },
    /// An outcome of this task waits already. One that was set aside waits again from now on.
    #[error("an outcome of task {0} waits to be delivered")]
    Held(String),
}

impl Spool {
    /// Opens the spool in `folder`, made if it is not there, and finds what earlier processes left. A damaged
    /// folder is moved to `damaged/` and reported; it never keeps the worker from starting. Blocks on the disk.
    ///
    /// # Errors
    /// [`SpoolError::Folder`], when the folder cannot be used at all.
    pub fn open(folder: &Path, limits: Limits, timings: &Timings) -> Result<(Self, Sender), SpoolError> {
        let read = Contents::read(folder, limits, timings);
        read.map(Self::of).map_err(|source| SpoolError::Folder {
            path: folder.to_owned(),
            source,
        })
    }

    /// The part of [`open`](Self::open) that blocks, done in another thread: it may take long or, where the home stands
    /// still, for ever.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn read(folder: &Path, limits: Limits, timings: &Timings) -> Result<Contents, SpoolError> {
        let (path, timings) = (folder.to_owned(), timings.clone());
        let read = run_blocking(move || Contents::read(&path, limits, &timings)).await;
        read.map_err(|source| SpoolError::Folder {
            path: folder.to_owned(),
            source,
        })
    }

    /// The rest of it.
    pub fn of(contents: Contents) -> (Self, Sender) {
        let shared = Rc::new(Shared::of(contents));
        (Self(Rc::clone(&shared)), Sender::new(shared))
    }

    /// A task was handed out: what is noticed from now on is about this run of it.
    pub fn handed_out(&self, task: &str) {
        self.0.forget_notices(task);
    }

    /// Makes the folder of a task that is about to run. One that was aborted here, and came back before all of
    /// its log was sent, goes on in the folder it has.
    ///
    /// # Errors
    /// [`SpoolError::Held`] for a task that must not run, [`SpoolError::Task`] when the disk says no,
    /// [`SpoolError::TooMuchWaits`] and [`SpoolError::NoRoom`] before it would.
    pub fn begin(&self, task: &AssignedTask) -> Result<Entry, SpoolError> {
        let folder = self.0.begin(task)?;
        Ok(Entry::new(Rc::clone(&self.0), folder))
    }

    /// A line of the worker's own in the log of a task that runs.
    pub fn remark(&self, task: &str, line: &str) {
        self.0.remark(task, line);
    }

    /// The same in the log of one that an earlier process left, if not all of it is sent.
    pub fn remark_later(&self, task: &str, line: &str) {
        self.0.remark_later(task, line);
    }

    /// Runs that ended with an earlier worker, and were not looked at since. Each is to be settled or counted.
    pub fn unseen(&self) -> Vec<Unseen> {
        self.0.unseen()
    }

    /// Such a run is over all the same: its outcome waits, with the time of its end and its last program.
    pub fn settle(&self, run: &Unseen, cause: Cause, (ended, program): (u64, ProgramEnd), lines: &[String]) {
        let end = End {
            cause,
            ended,
            took_ms: ended.saturating_sub(run.begun),
            programs: vec![program],
        };
        self.0.settle(run, end, lines);
    }

    /// Nothing is known of its end: it counts for [`cut_short`](Self::cut_short).
    pub fn count_unseen(&self, run: &Unseen) {
        self.0.count_unseen(run);
    }

    /// Whether this task is done, and the Manager has not heard of it.
    pub fn is_completed(&self, task: &str) -> bool {
        self.0.is_completed(task)
    }

    /// How often in a row the worker ended while it ran this task: killed, or told to stop as soon as it had begun.
    pub fn cut_short(&self, task: &str) -> u32 {
        self.0.cut_short.borrow().times(task)
    }

    /// The worker has to end, and this task had hardly begun.
    pub fn count_cut_short(&self, task: &str) {
        self.0.cut_short.borrow_mut().add(task);
    }

    /// A run of this task ended, and the worker did not end with it.
    pub fn forget_cut_short(&self, task: &str) {
        self.0.cut_short.borrow_mut().forget(task);
    }

    /// Steps that a task has done so far; none for one that is not here.
    pub fn steps(&self, task: &str) -> u32 {
        self.0.steps(task)
    }

    pub fn waiting(&self) -> Waiting {
        *self.0.waiting.borrow()
    }

    /// Returns when no outcome waits; at once if none does. Cancel safe.
    pub async fn outcomes_delivered(&self) {
        self.wait_until(|waiting| waiting.outcomes == 0).await;
    }

    /// Returns when nothing waits of tasks that are over; at once if nothing does. Cancel safe.
    pub async fn drained(&self) {
        self.wait_until(|waiting| waiting.tasks == 0).await;
    }

    /// The next notice about a running task. Cancel safe; for one listener.
    pub async fn next_notice(&self) -> Notice {
        self.0.next_notice().await
    }

    /// Whether a task could begin now. Waits for the disk, shortly.
    pub fn is_writable(&self) -> bool {
        let spool = self.0.places.spool.clone();
        self.0.room().is_ok() && self.0.means.files.run(move || history::try_write(&spool)).is_ok()
    }

    async fn wait_until(&self, enough: impl Fn(&Waiting) -> bool) {
        // It cannot end: the other side is in `self`.
        drop(self.0.waiting.subscribe().wait_for(enough).await);
    }
}
