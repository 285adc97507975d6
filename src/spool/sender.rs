// SPDX-License-Identifier: GPL-3.0-or-later

//! The one sender: oldest task first, of each the log, then the rest, then the outcome.
//!
//! ```text
//! next ── which folder, or wait how long ──► next_batch ──► Manager ──► what the answer means
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

use super::batch::Batch;
use super::housekeeping::{prune_history, sync_outcomes};
use super::notices::Notice;
use super::records::ReportState;
use super::shared::{Shared, SharedFolder};
use super::task_folder::SendTime;
use crate::chain::chain;
use crate::manager::{Backoff, Delivery, Manager, ManagerError, Verdict};
use crate::protocol::{Id, TaskStatus};
use crate::timings::until;

/// Answers 413 make all requests smaller down to this: 16 KiB fit through any proxy that lets work through at all.
/// Below it, one chunk of one log is in the way: it alone is halved further, down to the line that is set aside.
const REQUEST_LEAST: usize = 16 << 10;
/// "Catching up" is logged at most this often.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// "Catching up" is logged in at most so many steps, however long it takes.
const TELL_STEPS: usize = 20;

/// Sends what the spool holds, for as long as [`run`](Self::run) is polled.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Rc<Shared>,
    /// Log bytes in one request; less after an answer 413.
    most: usize,
    /// For when nothing gets through at all.
    outage: Backoff,
    pause_until: Option<Instant>,
    /// The task whose report failed last, without a success since.
    last_failed: Option<Id>,
    catch_up: CatchUp,
}

/// How far what an earlier process left is delivered.
#[derive(Debug)]
struct CatchUp {
    /// Tasks that were left; 0 once none is.
    total: usize,
    /// When the log last told of it.
    told: Instant,
    /// How much was left then.
    left: usize,
}

/// What the sender does next.
enum Next {
    Send(SharedFolder),
    /// Until this time, or until there is something new; `None`: only for something new.
    Wait(Option<Instant>),
}

impl Sender {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let timings = &shared.context.timings;
        let total = shared.pending.borrow().tasks;
        Self {
            most: shared.context.limits.request_bytes,
            outage: Backoff::new(timings.backoff_min, timings.backoff_max),
            pause_until: None,
            last_failed: None,
            catch_up: CatchUp {
                total,
                told: Instant::now(),
                left: total,
            },
            shared,
        }
    }

    /// Sends until it is dropped. It may be dropped at any point, and nothing is lost: what was on its way is sent again, by
    /// the process that takes over the spool or the next that opens it.
    pub(crate) async fn run<M: Manager>(mut self, manager: &M) -> Infallible {
        let shared = Rc::clone(&self.shared);
        tokio::select! {
            never = self.deliver(manager) => never,
            never = sync_outcomes(&shared) => never,
            never = prune_history(&shared) => never,
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

    /// The oldest folder with something due that does not pause after a failure of its own.
    fn next(&mut self, now: Instant) -> Next {
        if self.shared.is_back.take() {
            self.pause_until = None;
        }
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            return Next::Wait(Some(until));
        }
        let mut earliest: Option<Instant> = None;
        let found = self.shared.find(|folder| {
            let at = {
                let folder = folder.borrow();
                let paused_until = folder.delivery.paused_until(now);
                match folder.send_time(self.shared.context.limits.early_send, &self.shared.context.timings) {
                    SendTime::Never => return None,
                    SendTime::Now => paused_until.unwrap_or(now),
                    SendTime::At(at) => paused_until.unwrap_or(at).max(at),
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
        let (task, batch) = {
            let mut folder = folder.borrow_mut();
            (folder.task.clone(), folder.next_batch(self.most))
        };
        match batch {
            Batch::Progress(update) => {
                let answer = self.shared.requests.pass(manager.update(&task, &update)).await;
                if let Some(error) = self.on_progress_answer(folder, answer) {
                    self.on_failure(manager, folder, &error).await;
                }
            }
            Batch::Outcome(update) => {
                if update.status != Some(TaskStatus::Failed) || self.is_failure_wanted(manager, folder).await {
                    let answer = self.shared.requests.pass(manager.update(&task, &update)).await;
                    if let Some(error) = self.on_outcome_answer(folder, answer) {
                        self.on_failure(manager, folder, &error).await;
                    }
                }
            }
            Batch::Empty if folder.borrow().is_running() => {}
            Batch::Empty => self.finish(folder, ReportState::Delivered),
            Batch::OutOfReach => folder
                .borrow_mut()
                .delivery
                .pause(self.shared.context.timings.backoff_min),
        }
    }

    /// Does what the answer to log, activity and steps asks for. An error is given back where something did not get through.
    fn on_progress_answer(
        &mut self,
        folder: &SharedFolder,
        answer: Result<Delivery, ManagerError>,
    ) -> Option<ManagerError> {
        let mut open = folder.borrow_mut();
        let update = open.on_its_way.take()?;
        match answer {
            Ok(Delivery::Accepted) => {
                open.accepted(&update);
                drop(open);
                self.succeeded(folder);
            }
            Ok(Delivery::NotOurs) => {
                // The log of it stays for people to look at.
                open.give_back(update);
                drop(open);
                self.finish(folder, ReportState::NotOurs);
            }
            Ok(Delivery::Gone) => {
                open.give_back(update);
                drop(open);
                self.finish(folder, ReportState::Gone);
            }
            Ok(Delivery::TooLarge) if self.most > REQUEST_LEAST => {
                let size = update.log.as_ref().map_or(self.most, |chunk| chunk.text.len());
                self.most = (self.most.min(size) / 2).max(REQUEST_LEAST);
                info!(bytes = self.most, "an update was too large: sending smaller ones");
                open.give_back(update);
            }
            Ok(Delivery::TooLarge) if update.can_be_halved() => {
                open.halve(&update);
                open.give_back(update);
            }
            Ok(Delivery::TooLarge) => {
                warn!(
                    task = %open.task,
                    "a line of log is too large for the Manager: set aside"
                );
                open.refused(&update);
            }
            Ok(Delivery::Refused(words)) if update.is_mixed() => {
                debug!(task = %open.task, words, "an update was refused: trying its parts");
                open.delivery.apart = true;
                open.give_back(update);
            }
            Ok(Delivery::Refused(words)) => {
                warn!(
                    task = %open.task,
                    words, "the Manager refuses a part of a report: set aside"
                );
                open.refused(&update);
            }
            Err(error) => {
                open.give_back(update);
                return Some(error);
            }
        }
        None
    }

    /// Whether the Manager is to hear that a task failed. It is asked first: a late `failed` would bring a cancelled job
    /// back.
    async fn is_failure_wanted<M: Manager>(&mut self, manager: &M, folder: &SharedFolder) -> bool {
        let task = folder.borrow().task.clone();
        match self.shared.requests.pass(manager.may_i_run(&task)).await {
            Ok(Verdict::Continue) => return true,
            Ok(Verdict::Stop(no)) => {
                info!(
                    %task,
                    reason = no.reason,
                    "the Manager does not want this task any more: not reporting that it failed"
                );
                self.finish(folder, ReportState::Withdrawn(no.reason));
            }
            Err(error) => self.manager_is_away(folder, &error),
        }
        false
    }

    /// Does what the answer to an outcome asks for. An error is given back where it did not get through.
    fn on_outcome_answer(
        &mut self,
        folder: &SharedFolder,
        answer: Result<Delivery, ManagerError>,
    ) -> Option<ManagerError> {
        match answer {
            Ok(Delivery::Accepted) => {
                self.succeeded(folder);
                self.finish(folder, ReportState::Delivered);
                None
            }
            Ok(Delivery::NotOurs) => {
                self.finish(folder, ReportState::NotOurs);
                None
            }
            Ok(Delivery::Gone) => {
                self.finish(folder, ReportState::Gone);
                None
            }
            Ok(Delivery::TooLarge) => Some(ManagerError::from_status(413, "too large")),
            Ok(Delivery::Refused(words)) => Some(ManagerError::from_status(400, words)),
            Err(error) => Some(error),
        }
    }

    fn succeeded(&mut self, folder: &SharedFolder) {
        let mut folder = folder.borrow_mut();
        let what = format!("deliver the report of task {}", folder.task);
        folder.delivery.succeeded(&what);
        self.outage.succeeded("deliver reports");
        self.last_failed = None;
    }

    /// Something did not get through. A small question tells whether the Manager refuses this report, or answers nothing.
    async fn on_failure<M: Manager>(&mut self, manager: &M, folder: &SharedFolder, error: &ManagerError) {
        if error.retry_after().is_some() {
            return self.manager_is_away(folder, error);
        }
        let task = folder.borrow().task.clone();
        match self.shared.requests.pass(manager.may_i_run(&task)).await {
            Ok(Verdict::Continue | Verdict::Stop(_)) => self.one_is_refused(folder, error),
            Err(_) => self.manager_is_away(folder, error),
        }
    }

    /// The Manager answers, but not to this: the others go on, and one day this folder is given up.
    fn one_is_refused(&mut self, folder: &SharedFolder, error: &ManagerError) {
        let mut open = folder.borrow_mut();
        let what = format!("deliver the report of task {}", open.task);
        open.delivery.failed(&what, error);
        let task = open.task.clone();
        let hopeless = open.is_hopeless(self.shared.context.timings.set_aside);
        drop(open);
        self.outage.succeeded("deliver reports");
        // Two in a row: perhaps all of them. A thousand folders must not become a flood.
        if self.last_failed.as_ref().is_some_and(|last| *last != task) {
            self.pause_until = Some(Instant::now() + self.shared.context.timings.backoff_min);
        }
        self.last_failed = Some(task.clone());
        if hopeless {
            error!(
                %task,
                error = chain(error),
                "the report of a task cannot be delivered: set aside"
            );
            self.finish(folder, ReportState::SetAside);
        }
    }

    /// Nothing gets through: everything waits, and the order stays.
    fn manager_is_away(&mut self, folder: &SharedFolder, error: &ManagerError) {
        folder.borrow_mut().delivery.reset();
        let pause = self.outage.failed("deliver reports", error);
        self.pause_until = Some(Instant::now() + pause);
    }

    /// Nothing more of this folder will be sent. The worker is told of one that still runs; it is put away when it ends.
    fn finish(&mut self, folder: &SharedFolder, state: ReportState) {
        let (task, running) = {
            let folder = folder.borrow();
            (folder.task.clone(), folder.is_running())
        };
        if state == ReportState::Gone {
            warn!(
                %task,
                "the Manager does not know this task, or no longer: discarding what it still had to say"
            );
        } else if state == ReportState::NotOurs && !running {
            warn!(
                %task,
                "the Manager has given this task to another worker, or does not know this one any more: what was not sent stays in `history`"
            );
        } else {
            debug!(%task, ?state, "the report of a task is over");
        }
        let notice = match state {
            ReportState::NotOurs => Some(Notice::NotOurs(task)),
            ReportState::Gone => Some(Notice::Gone(task)),
            ReportState::Waiting
            | ReportState::Delivered
            | ReportState::Withdrawn(_)
            | ReportState::SetAside
            | ReportState::Damaged => None,
        };
        folder.borrow_mut().finish(state);
        if running {
            if let Some(notice) = notice {
                self.shared.notices.push(notice);
            }
            self.shared.publish();
        } else {
            self.shared.shelve(folder);
            self.catch_up.now_left(self.shared.pending.borrow().tasks);
        }
    }
}

impl CatchUp {
    fn now_left(&mut self, left: usize) {
        let end = left == 0 && self.total > 1;
        let step = self.left.saturating_sub(left) >= self.total.div_ceil(TELL_STEPS).max(1);
        if end || (step && left > 0 && self.told.elapsed() >= TELL_EVERY) {
            info!("catching up: {} of {} tasks delivered", self.total - left, self.total);
            (self.told, self.left) = (Instant::now(), left);
        }
        if left == 0 {
            self.total = 0;
        }
    }
}
