// SPDX-License-Identifier: GPL-3.0-or-later

//! Awake: fetch, run, deliver, fetch again. The answer to the fetch says where to go.

use tokio::time::sleep;
use tracing::{info, warn};

use super::session::{ASK_STATUS, Deleted, FETCH, Retry, Session};
use super::{Interrupts, SleepReason, State, Worker};
use crate::manager::push::Interest;
use crate::manager::{Assignment, Backoff, Manager, ManagerError};
use crate::outcome::RequeueReason;
use crate::protocol::{AssignedTask, WorkerStatus};
use crate::random::random;

/// A task that was handed out.
#[derive(Debug)]
pub(super) struct HandedOut {
    pub(super) task: Box<AssignedTask>,
    /// Why nothing here can read it, if that is so.
    pub(super) unreadable: Option<String>,
}

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn awake(&mut self, interrupts: &mut Interrupts) -> Result<State, State> {
        if let Some(run) = self.handed.take() {
            self.go_on_with_task(*run, interrupts).await?;
        } else {
            interrupts
                .run(&State::Awake, self.tell_state(&WorkerStatus::Awake))
                .await??;
        }
        self.context.home.forget_own_sleep().ok();
        let mut refused = self.backoff();
        loop {
            // It was told that we are awake, which answers a request for that.
            if let Some(reason) = interrupts.paused() {
                return Ok(State::Asleep(SleepReason::Paused(reason)));
            }
            self.interval.quicken();
            let task = interrupts.run(&State::Awake, self.next_task(&mut refused)).await??;
            self.run_task(task, interrupts).await?;
        }
    }

    /// Waits for a task; what else the Manager answers leads to another state. `refused` counts the fetches in a row that
    /// it did not want to hear.
    async fn next_task(&mut self, refused: &mut Backoff) -> Result<HandedOut, State> {
        loop {
            self.hold_back().await?;
            self.nothing_is_left()?;
            match self.fetch().await? {
                Assignment::Task(task) => {
                    refused.succeeded(FETCH.doing);
                    return Ok(HandedOut { task, unreadable: None });
                }
                Assignment::Unreadable { task, why } => {
                    refused.succeeded(FETCH.doing);
                    return Ok(HandedOut {
                        task: Box::new(AssignedTask::unread(task)),
                        unreadable: Some(why),
                    });
                }
                Assignment::Nothing => {
                    refused.succeeded(FETCH.doing);
                    self.context.metrics.without_task();
                    self.context.hints.set_interest(Interest::Work);
                    let pause = self.interval.pause(random());
                    self.context.hints.next_poll(pause).await;
                }
                Assignment::GoTo(status) => return Err(State::requested(&status, self.context.restart_code)),
                Assignment::NotAwake(words) => self.say_awake(refused, &words).await?,
                Assignment::Refused(words) => {
                    let pause = refused.failed(FETCH.what, &ManagerError::from_status(400, &*words));
                    warn!(words, "the Manager refuses to hand out tasks: signing off and on again");
                    sleep(pause).await;
                    return Err(State::Starting);
                }
            }
        }
    }

    /// Asks for work until there is an answer.
    async fn fetch(&mut self) -> Result<Assignment, Deleted> {
        let fetch = async |session: &Session<'_, M>| session.changing.make(session.manager.fetch()).await;
        let answer = self.session.insist(&FETCH, fetch).await?;
        // After a gap the Manager may have us in `error`; a 409 would say so, and any other answer came from a Manager
        // that has us as awake.
        self.session.manager.was_out_of_contact();
        self.context.hints.was_marked_error();
        Ok(answer)
    }

    /// The Manager has put us in another state, after a time-out for example. Said once, and the fetch is repeated at
    /// once; when that does not help (it sometimes accepts a state without storing it) with growing pauses.
    async fn say_awake(&mut self, refused: &mut Backoff, words: &str) -> Result<(), Deleted> {
        let error = ManagerError::from_status(409, words);
        let again = refused.failures() > 0;
        let pause = refused.failed(FETCH.what, &error);
        if again {
            sleep(pause).await;
        }
        self.tell_state(&WorkerStatus::Awake).await
    }

    /// While an outcome waits to be delivered nothing is fetched, or a task that we have finished might come back.
    async fn hold_back(&mut self) -> Result<(), State> {
        let spool = self.context.spool.clone();
        tokio::select! {
            biased;
            () = spool.outcomes_delivered() => Ok(()),
            next = self.requested_state() => Err(next),
        }
    }

    /// The next state that the Manager requests. As nothing runs, its requests can be followed as they stand.
    async fn requested_state(&mut self) -> State {
        let mut backoff = self.backoff();
        let mut looks = 0;
        loop {
            let pause = self.interval.pause(random());
            self.context.hints.next_poll(pause).await;
            looks += 1;
            // The first look is often on the hint of our own last update.
            if looks == 2 {
                info!("no new task until the outcome of the last one is delivered");
            }
            let answer = self.session.manager.requested_status().await;
            match self.session.settle(answer, &ASK_STATUS, &mut backoff).await {
                Ok(Some(status)) => {
                    let next = State::requested(&status, self.context.restart_code);
                    if next != State::Awake {
                        return next;
                    }
                    // Awake is what we are; to tell it once more takes the request back.
                    if let Err(deleted) = self.tell_state(&WorkerStatus::Awake).await {
                        return deleted.into();
                    }
                }
                Ok(None) | Err(Retry::After(_)) => {}
                Err(Retry::RegisterAnew) => return State::Starting,
            }
        }
    }

    /// Nothing of an earlier task may be left before a new one is taken.
    fn nothing_is_left(&self) -> Result<(), State> {
        let left = self.context.tools.launcher().survivors();
        if left.is_empty() {
            return Ok(());
        }
        warn!(
            ?left,
            "processes of the last task cannot be ended: no new task until they are gone"
        );
        Err(State::Asleep(SleepReason::Requeued(RequeueReason::Unkillable(left))))
    }
}
