// SPDX-License-Identifier: GPL-3.0-or-later

//! The one sender: oldest task first, of each the log, then the rest, then the outcome.
//!
//! ```text
//! next ── which folder, or wait how long ──► pack ──► Manager ──► what the answer means
//!   ▲                                                                   │
//!   └──────────── accepted, refused, back-off, set aside, over ─────────┘
//! ```
//!
//! One request at a time, and the outcome only after all before it was accepted, in a request of its own: an
//! answer 500 may stand for a log that was written and a status that was not, and it costs a millisecond.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Notice;
use super::folder::{Due, Parcel, Said};
use super::housekeeping::{sync_outcomes, tidy};
use super::record::Fate;
use super::shared::{Shared, SharedFolder};
use crate::chain::chain;
use crate::manager::{Backoff, Delivery, Manager, ManagerError, Verdict, denial};
use crate::protocol::{Id, TaskStatus};
use crate::timings::until;

/// Answers 413 make all requests smaller down to this: 16 KiB fit through any proxy that lets work through at all.
/// Below it, one piece of one log is in the way: it alone is halved further, down to the line that is set aside.
const REQUEST_LEAST: usize = 16 << 10;
/// "Catching up" is said at most this often,
const SAY_EVERY: Duration = Duration::from_secs(2);
/// and in so many steps, however long it takes.
const SAY_STEPS: usize = 20;

/// Sends what the spool holds, for as long as [`run`](Self::run) is polled.
#[derive(Debug)]
pub struct Sender {
    shared: Rc<Shared>,
    /// Log bytes in one request; less after an answer 413.
    most: usize,
    /// For when nothing gets through at all.
    outage: Backoff,
    pause_until: Option<Instant>,
    /// The task whose report failed last, without a success since.
    last_failed: Option<Id>,
    backlog: Backlog,
}

/// What an earlier process left to be delivered.
#[derive(Debug)]
struct Backlog {
    total: usize,
    said: Instant,
    /// How much was left then.
    left: usize,
}

enum Next {
    Send(SharedFolder),
    Wait(Option<Instant>),
}

impl Sender {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let timings = &shared.means.timings;
        let total = shared.waiting.borrow().tasks;
        Self {
            most: shared.means.limits.request_bytes,
            outage: Backoff::new(timings.backoff_min, timings.backoff_max),
            pause_until: None,
            last_failed: None,
            backlog: Backlog {
                total,
                said: Instant::now(),
                left: total,
            },
            shared,
        }
    }

    /// Sends until it is dropped. Dropped at any point, nothing is lost: what was on its way is sent again by
    /// whoever opens the spool next.
    pub async fn run<M: Manager>(mut self, manager: &M) -> Infallible {
        let shared = Rc::clone(&self.shared);
        tokio::select! {
            never = self.deliver(manager) => never,
            never = sync_outcomes(&shared) => never,
            never = tidy(&shared) => never,
        }
    }

    async fn deliver<M: Manager>(&mut self, manager: &M) -> Infallible {
        loop {
            match self.next(Instant::now()) {
                Next::Send(folder) => self.send(manager, &folder).await,
                Next::Wait(until) => self.wait(until).await,
            }
        }
    }

    /// The oldest folder with something due that does not rest after a failure of its own.
    fn next(&self, now: Instant) -> Next {
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            return Next::Wait(Some(until));
        }
        let mut earliest: Option<Instant> = None;
        let found = self.shared.find(|folder| {
            let at = {
                let folder = folder.borrow();
                let rests = folder.trouble.rests_until(now);
                match folder.due(self.shared.means.limits.early_send, &self.shared.means.timings) {
                    Due::Never => return None,
                    Due::Now => rests.unwrap_or(now),
                    Due::At(at) => rests.unwrap_or(at).max(at),
                }
            };
            if at <= now {
                return Some(Rc::clone(folder));
            }
            earliest = Some(earliest.map_or(at, |other| other.min(at)));
            None
        });
        found.map_or(Next::Wait(earliest), Next::Send)
    }

    async fn wait(&self, due: Option<Instant>) {
        tokio::select! {
            () = until(due) => {}
            () = self.shared.work.notified() => {}
        }
    }

    async fn send<M: Manager>(&mut self, manager: &M, folder: &SharedFolder) {
        let (task, parcel) = {
            let mut folder = folder.borrow_mut();
            (folder.task.clone(), folder.pack(self.most))
        };
        match parcel {
            Parcel::Said(said) => {
                let answer = manager.update(&task, &said.update()).await;
                if let Some(error) = self.said(folder, said, answer) {
                    self.troubled(manager, folder, &error).await;
                }
            }
            Parcel::Outcome(update) => {
                if update.status != Some(TaskStatus::Failed) || self.wanted(manager, folder).await {
                    let answer = manager.update(&task, &update).await;
                    if let Some(error) = self.told(folder, answer) {
                        self.troubled(manager, folder, &error).await;
                    }
                }
            }
            Parcel::Empty if folder.borrow().is_running() => {}
            Parcel::Empty => self.over(folder, Fate::Delivered),
            Parcel::OutOfReach => folder.borrow_mut().trouble.rest(self.shared.means.timings.backoff_min),
        }
    }

    /// What the answer to log, activity and steps means.
    fn said(
        &mut self,
        folder: &SharedFolder,
        said: Said,
        answer: Result<Delivery, ManagerError>,
    ) -> Option<ManagerError> {
        let mut open = folder.borrow_mut();
        match answer {
            Ok(Delivery::Accepted) => {
                open.accepted(&said);
                drop(open);
                self.succeeded(folder);
            }
            Ok(Delivery::NotOurs) => {
                drop(open);
                self.over(folder, Fate::NotOurs);
            }
            Ok(Delivery::Gone) => {
                drop(open);
                self.over(folder, Fate::Gone);
            }
            Ok(Delivery::TooLarge) if self.most > REQUEST_LEAST => {
                let size = said.piece.as_ref().map_or(self.most, |piece| piece.text.len());
                self.most = (self.most.min(size) / 2).max(REQUEST_LEAST);
                info!(bytes = self.most, "an update was too large: sending smaller ones");
                open.give_back(said);
            }
            Ok(Delivery::TooLarge) if said.can_be_halved() => {
                open.halve(&said);
                open.give_back(said);
            }
            Ok(Delivery::TooLarge) => {
                warn!(
                    task = %open.task,
                    "a line of log is too large for the Manager: set aside"
                );
                open.refused(&said);
            }
            Ok(Delivery::Refused(words)) if said.is_mixed() => {
                debug!(task = %open.task, words, "an update was refused: trying its parts");
                open.trouble.apart = true;
                open.give_back(said);
            }
            Ok(Delivery::Refused(words)) => {
                warn!(
                    task = %open.task,
                    words, "the Manager refuses a part of a report: set aside"
                );
                open.refused(&said);
            }
            Err(error) => {
                open.give_back(said);
                return Some(error);
            }
        }
        None
    }

    /// Whether the Manager is to hear that a task failed; asked first, as a late `failed` would bring a cancelled job back.
    async fn wanted<M: Manager>(&mut self, manager: &M, folder: &SharedFolder) -> bool {
        let task = folder.borrow().task.clone();
        match manager.may_i_run(&task).await {
            Ok(Verdict::Continue) => return true,
            Ok(Verdict::Stop(no)) => {
                info!(
                    %task,
                    reason = no.reason,
                    "the Manager does not want this task any more: not reporting that it failed"
                );
                self.over(folder, Fate::Withdrawn(no.reason));
            }
            Ok(Verdict::Denied) => self.out_of_reach(folder, &denial()),
            Err(error) => self.out_of_reach(folder, &error),
        }
        false
    }

    /// What the answer to an outcome means.
    fn told(&mut self, folder: &SharedFolder, answer: Result<Delivery, ManagerError>) -> Option<ManagerError> {
        match answer {
            Ok(Delivery::Accepted) => {
                self.succeeded(folder);
                self.over(folder, Fate::Delivered);
                None
            }
            Ok(Delivery::NotOurs) => {
                self.over(folder, Fate::NotOurs);
                None
            }
            Ok(Delivery::Gone) => {
                self.over(folder, Fate::Gone);
                None
            }
            Ok(Delivery::TooLarge) => Some(ManagerError::said(413, "too large")),
            Ok(Delivery::Refused(words)) => Some(ManagerError::said(400, words)),
            Err(error) => Some(error),
        }
    }

    fn succeeded(&mut self, folder: &SharedFolder) {
        let mut folder = folder.borrow_mut();
        let what = format!("deliver the report of task {}", folder.task);
        folder.trouble.over(&what);
        self.outage.succeeded("deliver reports");
        self.last_failed = None;
    }

    /// Something did not get through. Whether that is this folder's trouble or everybody's, a small question tells.
    async fn troubled<M: Manager>(&mut self, manager: &M, folder: &SharedFolder, error: &ManagerError) {
        if error.retry_after().is_some() {
            return self.out_of_reach(folder, error);
        }
        let task = folder.borrow().task.clone();
        match manager.may_i_run(&task).await {
            Ok(Verdict::Continue | Verdict::Stop(_)) => self.out_of_order(folder, error),
            Ok(Verdict::Denied) | Err(_) => self.out_of_reach(folder, error),
        }
    }

    /// The Manager answers, but not to this: the others go on, and one day this folder is given up.
    fn out_of_order(&mut self, folder: &SharedFolder, error: &ManagerError) {
        let mut open = folder.borrow_mut();
        let what = format!("deliver the report of task {}", open.task);
        open.trouble.ours(&what, error);
        let task = open.task.clone();
        let hopeless = open.is_hopeless(self.shared.means.timings.set_aside);
        drop(open);
        self.outage.succeeded("deliver reports");
        // Two in a row: perhaps all of them. A thousand folders must not become a flood.
        if self.last_failed.as_ref().is_some_and(|last| *last != task) {
            self.pause_until = Some(Instant::now() + self.shared.means.timings.backoff_min);
        }
        self.last_failed = Some(task.clone());
        if hopeless {
            error!(
                %task,
                error = chain(error),
                "the report of a task cannot be delivered: set aside"
            );
            self.over(folder, Fate::SetAside);
        }
    }

    /// Nothing gets through: everything waits, and the order stays.
    fn out_of_reach(&mut self, folder: &SharedFolder, error: &ManagerError) {
        folder.borrow_mut().trouble.everywhere();
        let pause = self.outage.failed("deliver reports", error);
        self.pause_until = Some(Instant::now() + pause);
    }

    /// Nothing more of this folder will be sent. One that still runs is told, and put away when it ends.
    fn over(&mut self, folder: &SharedFolder, fate: Fate) {
        let (task, running) = {
            let folder = folder.borrow();
            match fate {
                Fate::Gone => warn!(
                    task = %folder.task,
                    "the Manager does not know this task, or no longer: discarding what it still had to say"
                ),
                Fate::Delivered | Fate::NotOurs | Fate::Withdrawn(_) | Fate::SetAside => {
                    debug!(task = %folder.task, ?fate, "the report of a task is over");
                }
            }
            (folder.task.clone(), folder.is_running())
        };
        if running {
            match fate {
                Fate::NotOurs => self.shared.notice(Notice::NotOurs(task)),
                Fate::Gone => self.shared.notice(Notice::Gone(task)),
                Fate::Delivered | Fate::Withdrawn(_) | Fate::SetAside => {}
            }
        }
        folder.borrow_mut().seal(fate);
        if running {
            self.shared.publish();
        } else {
            self.shared.shelve(folder);
            self.backlog.one_less(self.shared.waiting.borrow().tasks);
        }
    }
}

impl Backlog {
    fn one_less(&mut self, left: usize) {
        let end = left == 0 && self.total > 1;
        let step = self.left.saturating_sub(left) >= self.total.div_ceil(SAY_STEPS).max(1);
        if end || (step && left > 0 && self.said.elapsed() >= SAY_EVERY) {
            info!("catching up: {} of {} tasks delivered", self.total - left, self.total);
            (self.said, self.left) = (Instant::now(), left);
        }
        if left == 0 {
            self.total = 0;
        }
    }
}
