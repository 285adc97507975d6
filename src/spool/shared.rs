// SPDX-License-Identifier: GPL-3.0-or-later

//! What the handles, the entries and the sender of one spool have in common. One thread; nothing here is
//! borrowed over an `await`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::rc::Rc;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::cut_short::CutShort;
use super::folder::{Folder, Means};
use super::history::Places;
use super::limits::Limits;
use super::name::folder_name;
use super::record::{ASSIGNED, Assigned, END_NOTE, now_millis};
use super::{End, Notice, SpoolError, Unseen, Waiting};
use crate::files::{self, Thread};
use crate::protocol::{AssignedTask, Id};
use crate::timings::Timings;

pub(super) type SharedFolder = Rc<RefCell<Folder>>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) places: Places,
    pub(super) means: Means,
    /// Oldest first.
    folders: RefCell<Vec<SharedFolder>>,
    /// Names of folders whose outcome could not be delivered.
    set_aside: RefCell<BTreeSet<String>>,
    pub(super) cut_short: RefCell<CutShort>,
    /// No two folders begin at the same time, however the clock jumps.
    last_begun: Cell<u64>,
    notices: RefCell<VecDeque<Notice>>,
    noticed: Notify,
    /// There is something to send.
    pub(super) work: Notify,
    /// There is something to prune.
    pub(super) untidy: Notify,
    pub(super) waiting: watch::Sender<Waiting>,
}

impl Shared {
    pub(super) fn of(contents: Contents) -> Self {
        let Contents {
            places,
            means,
            found,
            set_aside,
            cut_short,
        } = contents;
        let shared = Self {
            places,
            means,
            last_begun: Cell::new(found.last().map_or(0, |folder| folder.begun)),
            folders: RefCell::new(found.into_iter().map(|folder| Rc::new(RefCell::new(folder))).collect()),
            set_aside: RefCell::new(set_aside),
            cut_short: RefCell::new(cut_short),
            notices: RefCell::default(),
            noticed: Notify::new(),
            work: Notify::new(),
            untidy: Notify::new(),
            waiting: watch::Sender::new(Waiting::default()),
        };
        shared.publish();
        let waiting = *shared.waiting.borrow();
        if waiting.tasks > 0 {
            info!(
                tasks = waiting.tasks,
                outcomes = waiting.outcomes,
                "an earlier run left reports to deliver"
            );
        }
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
        let path = self.places.spool.join(&name);
        let failed = |source| SpoolError::Task {
            path: self.places.spool.clone(),
            source,
        };
        let begun = now_millis().max(self.last_begun.get().saturating_add(1));
        self.last_begun.set(begun);
        let assigned = serde_json::to_vec(&Assigned { begun, task }).map_err(|error| failed(error.into()))?;
        if let Some(folder) = self.folder(id) {
            if folder.borrow().fate().is_none() && !folder.borrow().is_running() {
                let known = path.join(ASSIGNED);
                let noted = self.means.files.run(move || files::replace(&known, &assigned));
                noted.map_err(failed)?;
                folder.borrow_mut().reopen(begun);
                self.publish();
                return Ok(folder);
            }
            self.shelve(&folder);
        }
        let places = self.places.clone();
        let made = self.means.files.run(move || places.make_folder(&name, &assigned));
        made.map_err(failed)?;
        let folder = Rc::new(RefCell::new(Folder::new(id, &path, begun, &self.means)));
        self.folders.borrow_mut().push(Rc::clone(&folder));
        Ok(folder)
    }

    /// See [`Spool::unseen`](super::Spool::unseen).
    pub(super) fn unseen(&self) -> Vec<Unseen> {
        let folders = self.folders.borrow();
        let folders = folders.iter().map(|folder| folder.borrow());
        folders
            .filter(|folder| folder.ended_unseen())
            .map(|folder| Unseen {
                task: folder.task.clone(),
                begun: folder.begun,
                note: folder.path.join(END_NOTE),
            })
            .collect()
    }

    pub(super) fn count_unseen(&self, run: &Unseen) {
        if let Some(folder) = self.folder(&run.task) {
            self.cut_short.borrow_mut().add(&run.task);
            folder.borrow_mut().end_seen();
        }
    }

    pub(super) fn settle(&self, run: &Unseen, end: End, lines: &[String]) {
        if let Some(folder) = self.folder(&run.task) {
            folder.borrow_mut().settle(end, lines);
            self.cut_short.borrow_mut().forget(&run.task);
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
        if !folder.is_running() && folder.fate().is_none() {
            folder.append("", line, self.means.limits.early_send);
            folder.log.close();
            self.work.notify_one();
        }
    }

    /// Whether there is room for one more task.
    pub(super) fn room(&self) -> Result<(), SpoolError> {
        const MB: u64 = 1_000_000;
        let folders = self.folders.borrow();
        let waiting: u64 = folders.iter().map(|folder| folder.borrow().log.unsent()).sum();
        if waiting > self.means.limits.waiting_bytes {
            return Err(SpoolError::TooMuchWaits {
                waiting: waiting / MB,
                most: self.means.limits.waiting_bytes / MB,
            });
        }
        let spool = self.places.spool.clone();
        match self
            .means
            .files
            .run(move || Ok(files::free_space(&spool).ok()))
            .unwrap_or_default()
        {
            Some(free) if free < self.means.limits.free_bytes => {
                // The history is the first to go.
                self.untidy.notify_one();
                Err(SpoolError::NoRoom {
                    path: self.places.spool.clone(),
                    free: free / MB,
                    least: self.means.limits.free_bytes / MB,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn remark(&self, task: &str, line: &str) {
        let running = self.folder(task).filter(|folder| folder.borrow().is_running());
        if running.is_some_and(|folder| folder.borrow_mut().append("", line, self.means.limits.early_send)) {
            self.work.notify_one();
        }
    }

    /// Whether this task must not be run (again) here: its outcome waits to be delivered, or could not be and was
    /// set aside. One that was delivered does not count: a user may have requeued the task since.
    pub(super) fn holds(&self, task: &Id) -> bool {
        let set_aside = || self.set_aside.borrow().contains(&folder_name(task));
        self.folder(task).is_some_and(|folder| folder.borrow().has_outcome()) || set_aside()
    }

    pub(super) fn steps(&self, task: &str) -> u32 {
        self.folder(task).map_or(0, |folder| folder.borrow().steps())
    }

    /// The Manager asks for a task whose outcome it did not take: perhaps it takes it now.
    fn take_back(&self, name: &str) {
        if !self.set_aside.borrow().contains(name) {
            return;
        }
        let (places, means, back) = (self.places.clone(), self.means.clone(), name.to_owned());
        let found = self.means.files.run(move || {
            places.take_back(&back)?;
            Folder::found(&places.spool.join(&back), &means)
        });
        match found {
            Ok(mut folder) => {
                info!(
                    task = %folder.task,
                    "the Manager asks for a task whose outcome was set aside: sending that again"
                );
                folder.unseal();
                self.set_aside.borrow_mut().remove(name);
                self.folders.borrow_mut().push(Rc::new(RefCell::new(folder)));
                self.publish();
                self.work.notify_one();
            }
            Err(error) => warn!(name, %error, "cannot take back what was set aside"),
        }
    }

    fn folder(&self, task: &str) -> Option<SharedFolder> {
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
    pub(super) fn least<K: Ord>(&self, key: impl Fn(&Folder) -> Option<K>) -> Option<(K, SharedFolder)> {
        let folders = self.folders.borrow();
        let keyed = folders
            .iter()
            .filter_map(|folder| Some((key(&folder.borrow())?, folder)));
        let (key, folder) = keyed.min_by(|(one, _), (other, _)| one.cmp(other))?;
        Some((key, Rc::clone(folder)))
    }

    /// Nothing more of this folder is sent: moves it to where its fate belongs.
    pub(super) fn shelve(&self, folder: &SharedFolder) {
        self.folders.borrow_mut().retain(|other| !Rc::ptr_eq(other, folder));
        let mut folder = folder.borrow_mut();
        let hold = folder.is_set_aside();
        if hold {
            self.set_aside.borrow_mut().insert(folder_name(&folder.task));
        }
        let (places, path, begun) = (self.places.clone(), folder.path.clone(), folder.begun);
        let shelved = self.means.files.run(move || places.shelve(&path, begun, hold));
        if let Err(error) = shelved {
            warn!(task = %folder.task, path = %folder.path.display(), %error, "cannot move the folder of a task");
            folder.save();
        }
        drop(folder);
        self.publish();
        self.untidy.notify_one();
    }

    /// Tells everyone how much waits.
    pub(super) fn publish(&self) {
        let folders = self.folders.borrow();
        let over = folders.iter().filter(|folder| !folder.borrow().is_running());
        let outcomes = folders.iter().filter(|folder| folder.borrow().has_outcome()).count();
        let now = Waiting {
            tasks: over.count(),
            outcomes,
        };
        self.waiting
            .send_if_modified(|waiting| std::mem::replace(waiting, now) != now);
    }

    /// What was noticed of an earlier run of this task is of no more use.
    pub(super) fn forget_notices(&self, task: &str) {
        self.notices.borrow_mut().retain(|notice| notice.task() != task);
    }

    pub(super) fn notice(&self, notice: Notice) {
        self.notices.borrow_mut().push_back(notice);
        self.noticed.notify_one();
    }

    pub(super) async fn next_notice(&self) -> Notice {
        loop {
            if let Some(notice) = self.take_notice() {
                return notice;
            }
            self.noticed.notified().await;
        }
    }

    fn take_notice(&self) -> Option<Notice> {
        self.notices.borrow_mut().pop_front()
    }

    /// Holds the bounds of what is kept for people. Slow: not for the event loop.
    pub(super) fn pruning(&self) -> impl FnOnce() + Send + 'static {
        let (places, limits) = (self.places.clone(), self.means.limits.clone());
        move || places.prune(&limits)
    }
}

/// What was found in the folder of a spool.
#[derive(Debug)]
pub struct Contents {
    places: Places,
    means: Means,
    found: Vec<Folder>,
    set_aside: BTreeSet<String>,
    cut_short: CutShort,
}

impl Contents {
    /// Makes what is not there. Blocks.
    pub(super) fn read(folder: &Path, limits: Limits, timings: &Timings) -> io::Result<Self> {
        let means = Means {
            limits,
            timings: timings.clone(),
            files: Thread::start()?,
        };
        let places = Places::make(folder)?;
        let (found, set_aside) = places.scan(&means)?;
        let cut_short = CutShort::read(folder, means.files.clone());
        Ok(Self {
            places,
            means,
            found,
            set_aside,
            cut_short,
        })
    }
}

impl Notice {
    /// The task it is about.
    pub fn task(&self) -> &str {
        match self {
            Self::NotOurs(task) | Self::Gone(task) => task,
        }
    }
}
