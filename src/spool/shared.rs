// SPDX-License-Identifier: GPL-3.0-or-later

//! What the handles, the task writers and the sender of one spool have in common. One thread; nothing here is
//! borrowed over an `await`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::context::SpoolContext;
use super::error::SpoolError;
use super::interrupted_runs::InterruptedRuns;
use super::limits::Limits;
use super::name::folder_name;
use super::notices::{Notice, Notices};
use super::paths::{Shelf, SpoolPaths};
use super::records::{ASSIGNED, AssignmentRecord, END_NOTE, now_millis};
use super::request_gate::RequestGate;
use super::run_end::RunEnd;
use super::task_folder::TaskFolder;
use crate::chain::chain;
use crate::files::{self, Thread};
use crate::progress::{Progress, precise};
use crate::protocol::{AssignedTask, Id};
use crate::timings::Timings;

pub(super) type SharedFolder = Rc<RefCell<TaskFolder>>;

/// How much waits for the Manager, of tasks that do not run any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PendingReports {
    /// Tasks with anything unsent; those with an outcome are among them.
    pub tasks: usize,
    /// Outcomes that were not delivered.
    pub outcomes: usize,
}

/// A run that ended with its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrphanedRun {
    /// The id of its task.
    pub task: Id,
    /// Tells it from other runs of the same task.
    pub begun: u64,
    /// Where a guard may have noted how the program ended.
    pub note: PathBuf,
}

/// The content of a spool.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) paths: SpoolPaths,
    pub(super) context: SpoolContext,
    /// Oldest first.
    pub(super) folders: RefCell<Vec<SharedFolder>>,
    /// Names of folders whose outcome could not be delivered.
    pub(super) set_aside: RefCell<BTreeSet<String>>,
    pub(super) interrupted: RefCell<InterruptedRuns>,
    /// No two folders begin at the same time, however the clock jumps.
    pub(super) last_begun: Cell<u64>,
    pub(super) notices: Notices,
    /// Each request of the sender goes through it.
    pub(super) requests: RequestGate,
    /// There is something to send.
    pub(super) work: Notify,
    /// The pause since the Manager was away is over.
    pub(super) is_back: Cell<bool>,
    /// Something came to the history, or there is little space: it is to be pruned.
    pub(super) to_prune: Notify,
    pub(super) pending: watch::Sender<PendingReports>,
}

impl Shared {
    pub(super) fn of(contents: Contents) -> Self {
        let Contents {
            paths,
            context,
            found,
            set_aside,
            interrupted,
            last_begun,
            notices,
        } = contents;
        let shared = Self {
            paths,
            context,
            last_begun: Cell::new(last_begun),
            folders: RefCell::new(found.into_iter().map(|folder| Rc::new(RefCell::new(folder))).collect()),
            set_aside: RefCell::new(set_aside),
            interrupted: RefCell::new(interrupted),
            notices: Notices::take_over(notices),
            requests: RequestGate::new(),
            work: Notify::new(),
            is_back: Cell::new(false),
            to_prune: Notify::new(),
            pending: watch::Sender::new(PendingReports::default()),
        };
        shared.publish();
        shared
    }

    pub(super) fn begin(&self, task: &AssignedTask) -> Result<SharedFolder, SpoolError> {
        let id = &task.uuid;
        let name = folder_name(id);
        if self.holds(id) {
            self.take_back(&name);
            return Err(SpoolError::Held(id.to_string()));
        }
        self.room()?;
        let path = self.paths.spool.join(&name);
        let failed = |source| SpoolError::Task {
            path: self.paths.spool.clone(),
            source,
        };
        let begun = now_millis().max(self.last_begun.get().saturating_add(1));
        self.last_begun.set(begun);
        let assigned = serde_json::to_vec(&AssignmentRecord { begun, task }).map_err(|error| failed(error.into()))?;
        if let Some(folder) = self.folder(id) {
            if folder.borrow().is_waiting() && !folder.borrow().is_running() {
                let known = path.join(ASSIGNED);
                let noted = self.context.files.run(move || files::replace(&known, &assigned));
                noted.map_err(failed)?;
                folder.borrow_mut().reopen(task, begun);
                self.publish();
                return Ok(folder);
            }
            self.shelve(&folder);
        }
        let paths = self.paths.clone();
        let made = self.context.files.run(move || paths.make_folder(&name, &assigned));
        made.map_err(failed)?;
        let folder = Rc::new(RefCell::new(TaskFolder::new(task, &path, begun, &self.context)));
        self.folders.borrow_mut().push(Rc::clone(&folder));
        Ok(folder)
    }

    /// Runs that ended with an earlier worker, and that were not settled or counted since.
    pub(super) fn orphaned_runs(&self) -> Vec<OrphanedRun> {
        let folders = self.folders.borrow();
        let folders = folders.iter().map(|folder| folder.borrow());
        folders
            .filter(|folder| folder.is_orphaned())
            .map(|folder| OrphanedRun {
                task: folder.task.clone(),
                begun: folder.begun,
                note: folder.path.join(END_NOTE),
            })
            .collect()
    }

    pub(super) fn count_orphaned(&self, run: &OrphanedRun) {
        if let Some(folder) = self.folder(&run.task) {
            self.interrupted.borrow_mut().add(&run.task);
            folder.borrow_mut().note_orphaned();
        }
    }

    pub(super) fn settle(&self, run: &OrphanedRun, end: RunEnd, lines: &[String]) {
        if let Some(folder) = self.folder(&run.task) {
            folder.borrow_mut().settle(end, lines);
            self.interrupted.borrow_mut().forget(&run.task);
            self.publish();
            self.work.notify_one();
        }
    }

    pub(super) fn is_completed(&self, task: &str) -> bool {
        self.folder(task).is_some_and(|folder| folder.borrow().is_completed())
    }

    pub(super) fn remark_later(&self, task: &str, line: &str) {
        let Some(folder) = self.folder(task) else { return };
        let mut folder = folder.borrow_mut();
        if !folder.is_running() && folder.is_waiting() {
            folder.append("", line, self.context.limits.early_send);
            folder.log.close();
            self.work.notify_one();
        }
    }

    /// Bytes of log that the Manager does not have, of all folders.
    pub(super) fn unsent_log(&self) -> u64 {
        let folders = self.folders.borrow();
        folders.iter().map(|folder| folder.borrow().log.unsent()).sum()
    }

    /// Whether there is room for one more task.
    pub(super) fn room(&self) -> Result<(), SpoolError> {
        const MB: u64 = 1_000_000;
        let waiting = self.unsent_log();
        if waiting > self.context.limits.waiting_bytes {
            return Err(SpoolError::TooMuchWaits {
                waiting: waiting / MB,
                most: self.context.limits.waiting_bytes / MB,
            });
        }
        let spool = self.paths.spool.clone();
        match self
            .context
            .files
            .run(move || Ok(files::free_space(&spool).ok()))
            .unwrap_or_default()
        {
            Some(free) if free < self.context.limits.free_bytes => {
                // The history is the first to go.
                self.to_prune.notify_one();
                Err(SpoolError::NoRoom {
                    path: self.paths.spool.clone(),
                    free: free / MB,
                    least: self.context.limits.free_bytes / MB,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn remark(&self, task: &str, line: &str) {
        let running = self.running(task);
        if running.is_some_and(|folder| folder.borrow_mut().append("", line, self.context.limits.early_send)) {
            self.work.notify_one();
        }
    }

    pub(super) fn pause(&self, task: &str, why: &str) {
        if let Some(folder) = self.running(task) {
            folder.borrow_mut().pause(format!("paused: {why}"));
            self.remark(task, &format!("Paused: {why}"));
            self.work.notify_one();
        }
    }

    pub(super) fn end_pause(&self, task: &str) -> Option<Duration> {
        let time = self.running(task)?.borrow_mut().end_pause()?;
        self.remark(task, &format!("Resumed after {}", precise(time)));
        self.work.notify_one();
        Some(time)
    }

    fn running(&self, task: &str) -> Option<SharedFolder> {
        self.folder(task).filter(|folder| folder.borrow().is_running())
    }

    /// Whether this task must not be run (again) here: its outcome waits to be delivered, or could not be and was
    /// set aside. One that was delivered does not count: a user may have requeued the task since.
    pub(super) fn holds(&self, task: &Id) -> bool {
        let set_aside = || self.set_aside.borrow().contains(&folder_name(task));
        self.folder(task).is_some_and(|folder| folder.borrow().has_outcome()) || set_aside()
    }

    pub(super) fn progress(&self, task: &str) -> Option<Progress> {
        self.folder(task)?.borrow().progress()
    }

    /// The Manager asks for a task whose outcome it did not take: perhaps it takes it now.
    fn take_back(&self, name: &str) {
        if !self.set_aside.borrow().contains(name) {
            return;
        }
        let (paths, context, back) = (self.paths.clone(), self.context.clone(), name.to_owned());
        let found = self.context.files.run(move || {
            paths.take_back(&back)?;
            TaskFolder::read(&paths.spool.join(&back), &context)
        });
        match found {
            Ok(mut folder) => {
                info!(
                    task = %folder.task,
                    "the Manager asks for a task whose outcome was set aside: sending that again"
                );
                folder.take_back();
                self.set_aside.borrow_mut().remove(name);
                self.folders.borrow_mut().push(Rc::new(RefCell::new(folder)));
                self.publish();
                self.work.notify_one();
            }
            Err(error) => warn!(name, error = chain(&error), "cannot take back what was set aside"),
        }
    }

    pub(super) fn folder(&self, task: &str) -> Option<SharedFolder> {
        self.folders
            .borrow()
            .iter()
            .find(|folder| *folder.borrow().task == *task)
            .cloned()
    }

    /// The first folder that `choose` says something about.
    pub(super) fn find<T>(&self, mut choose: impl FnMut(&SharedFolder) -> Option<T>) -> Option<T> {
        self.folders.borrow().iter().find_map(&mut choose)
    }

    /// The folder for which `key` is least, and that.
    pub(super) fn least<K: Ord>(&self, key: impl Fn(&TaskFolder) -> Option<K>) -> Option<(K, SharedFolder)> {
        let folders = self.folders.borrow();
        let keyed = folders
            .iter()
            .filter_map(|folder| Some((key(&folder.borrow())?, folder)));
        let (key, folder) = keyed.min_by(|(one, _), (other, _)| one.cmp(other))?;
        Some((key, Rc::clone(folder)))
    }

    /// Nothing more of this folder is sent: moves it to where it belongs then.
    pub(super) fn shelve(&self, folder: &SharedFolder) {
        self.folders.borrow_mut().retain(|other| !Rc::ptr_eq(other, folder));
        let mut folder = folder.borrow_mut();
        let shelf = folder.shelf();
        if shelf == Shelf::SetAside {
            self.set_aside.borrow_mut().insert(folder_name(&folder.task));
        }
        let (paths, path, begun) = (self.paths.clone(), folder.path.clone(), folder.begun);
        let shelved = self.context.files.run(move || paths.shelve(&path, begun, shelf));
        if let Err(error) = shelved {
            warn!(
                task = %folder.task,
                path = %folder.path.display(),
                error = chain(&error),
                "cannot move the folder of a task"
            );
            folder.save();
        }
        drop(folder);
        self.publish();
        self.to_prune.notify_one();
    }

    /// Tells all who wait for it how much waits.
    pub(super) fn publish(&self) {
        let folders = self.folders.borrow();
        let over = folders.iter().filter(|folder| !folder.borrow().is_running());
        let outcomes = folders.iter().filter(|folder| folder.borrow().has_outcome()).count();
        let now = PendingReports {
            tasks: over.count(),
            outcomes,
        };
        self.pending
            .send_if_modified(|pending| mem::replace(pending, now) != now);
    }

    /// Holds the bounds of what is kept for people. Slow: not for the event loop.
    pub(super) fn pruning(&self) -> impl FnOnce() + Send + 'static {
        let (paths, limits) = (self.paths.clone(), self.context.limits.clone());
        move || paths.prune(&limits)
    }
}

/// What was found in the folder of a spool, or was handed over by an earlier process.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(super) paths: SpoolPaths,
    pub(super) context: SpoolContext,
    /// Oldest first.
    pub(super) found: Vec<TaskFolder>,
    pub(super) set_aside: BTreeSet<String>,
    pub(super) interrupted: InterruptedRuns,
    pub(super) last_begun: u64,
    pub(super) notices: VecDeque<Notice>,
}

impl Contents {
    /// Makes what is not there. Blocks.
    pub(super) fn read(folder: &Path, limits: Limits, timings: &Timings) -> io::Result<Self> {
        let context = SpoolContext {
            limits,
            timings: timings.clone(),
            files: Thread::start()?,
        };
        let paths = SpoolPaths::make(folder)?;
        let (found, set_aside) = paths.scan(&context)?;
        if !found.is_empty() {
            let outcomes = found.iter().filter(|folder| folder.has_outcome()).count();
            info!(tasks = found.len(), outcomes, "an earlier run left reports to deliver");
        }
        Ok(Self {
            interrupted: InterruptedRuns::read(folder, context.files.clone()),
            last_begun: found.last().map_or(0, |folder| folder.begun),
            notices: VecDeque::new(),
            paths,
            context,
            found,
            set_aside,
        })
    }
}
