// SPDX-License-Identifier: GPL-3.0-or-later

//! Awake: fetch, run, deliver, fetch again. The answer to the fetch says where to go.

use tokio::time::sleep;
use tracing::{info, warn};

use super::{Inbox, SleepReason, State, Worker, heed};
use crate::manager::push::Interest;
use crate::manager::{Assignment, Backoff, Manager, ManagerError, Wish};
use crate::outcome::RequeueReason;
use crate::protocol::{AssignedTask, WorkerStatus};
use crate::random::random;

/// What the answer to a fetch means.
enum Step {
    /// A task, and why it cannot be read if it cannot.
    Run(Box<AssignedTask>, Option<String>),
    /// Nothing to do: ask again after the idle pause.
    Rest,
    Go(State),
    /// The Manager does not have us as awake.
    SayAwake(String),
    /// The Manager takes no request for tasks from who comes as we did.
    SignOnAnew(String),
}

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn awake(&mut self) -> State {
        match self.stay_awake().await {
            Ok(never) => match never {},
            Err(next) => next,
        }
    }

    async fn stay_awake(&mut self) -> Result<std::convert::Infallible, State> {
        self.acknowledge(&State::Awake, &WorkerStatus::Awake).await?;
        self.around.home.forget_rest().ok();
        let mut refused = self.backoff();
        self.pace.quicken();
        loop {
            self.hold_back().await?;
            self.fit()?;
            match self.fetch().await? {
                Step::Run(task, unread) => {
                    self.run_task(&task, unread).await?;
                    refused.succeeded("fetching tasks");
                    self.pace.quicken();
                }
                Step::Rest => {
                    refused.succeeded("fetching tasks");
                    self.around.hints.set_interest(Interest::Work);
                    let pause = self.pace.pause(random());
                    heed(
                        &mut self.around.orders,
                        &State::Awake,
                        self.around.hints.next_poll(pause),
                    )
                    .await?;
                }
                Step::Go(next) => return Err(next),
                Step::SayAwake(words) => self.say_awake(&mut refused, &words).await?,
                Step::SignOnAnew(words) => {
                    let pause = refused.failed("fetch a task", &ManagerError::said(400, &*words));
                    warn!(words, "the Manager refuses to hand out tasks: signing off and on again");
                    heed(&mut self.around.orders, &State::Awake, sleep(pause)).await?;
                    return Err(State::Starting);
                }
            }
        }
    }

    /// The Manager has put us in another state, after a time-out for example. Said once, and the fetch is repeated at
    /// once; when that does not help (it sometimes accepts a state without storing it) with growing pauses.
    async fn say_awake(&mut self, refused: &mut Backoff, words: &str) -> Result<(), State> {
        let error = ManagerError::said(409, words);
        let again = refused.failures() > 0;
        let pause = refused.failed("fetch a task", &error);
        if again {
            heed(&mut self.around.orders, &State::Awake, sleep(pause)).await?;
        }
        self.acknowledge(&State::Awake, &WorkerStatus::Awake).await
    }

    /// Asks for work until there is an answer.
    async fn fetch(&mut self) -> Result<Step, State> {
        let mut backoff = self.backoff();
        loop {
            let answer = heed(&mut self.around.orders, &State::Awake, self.manager.fetch()).await?;
            let answer = answer.map(|answer| match answer {
                Assignment::Task(task) => Some(Step::Run(task, None)),
                Assignment::Unreadable { task, why } => {
                    Some(Step::Run(Box::new(AssignedTask::unread(task)), Some(why)))
                }
                Assignment::Nothing => Some(Step::Rest),
                Assignment::GoTo(status) => Some(Step::Go(State::requested(&status, self.around.restart_code))),
                Assignment::NotAwake(words) => Some(Step::SayAwake(words)),
                Assignment::Refused(words) => Some(Step::SignOnAnew(words)),
                Assignment::Denied => None,
            });
            let pause = match self.undenied(&State::Awake, answer).await? {
                Ok(step) => {
                    backoff.succeeded("fetching tasks");
                    // After a gap the Manager may have us in `error`; a 409 would say so, and any other answer came
                    // from a Manager that has us as awake.
                    self.manager.was_out_of_contact();
                    self.around.hints.was_marked_error();
                    return Ok(step);
                }
                Err(error) => backoff.failed("fetch a task", &error),
            };
            heed(&mut self.around.orders, &State::Awake, sleep(pause)).await?;
        }
    }

    /// An outcome waits to be delivered: nothing is fetched meanwhile, or a task that we have finished might come back.
    /// As nothing runs, the wishes of the Manager can be followed as they stand.
    async fn hold_back(&mut self) -> Result<(), State> {
        let spool = self.around.spool.clone();
        let mut delivered = std::pin::pin!(spool.outcomes_delivered());
        let mut looks = 0;
        let mut backoff = self.backoff();
        loop {
            let pause = self.pace.pause(random());
            tokio::select! {
                biased;
                () = &mut delivered => return Ok(()),
                next = next_state(&mut self.around.orders) => return Err(next),
                () = self.around.hints.next_poll(pause) => {}
            }
            looks += 1;
            // The first look is often on the hint of our own last update.
            if looks == 2 {
                info!("no new task until the outcome of the last one is delivered");
            }
            let wish = heed(&mut self.around.orders, &State::Awake, self.manager.wish()).await?;
            let wish = wish.map(|wish| match wish {
                Wish::GoTo(status) => Some(Some(State::requested(&status, self.around.restart_code))),
                Wish::Nothing => Some(None),
                Wish::Denied => None,
            });
            match self.undenied(&State::Awake, wish).await? {
                // Awake is what we are; acknowledging it once more takes the request back.
                Ok(Some(State::Awake)) => self.acknowledge(&State::Awake, &WorkerStatus::Awake).await?,
                Ok(Some(next)) => return Err(next),
                Ok(None) => {}
                Err(error) => {
                    backoff.failed("ask the Manager what it wishes", &error);
                }
            }
        }
    }

    /// Nothing of an earlier task may be left before a new one is taken.
    fn fit(&self) -> Result<(), State> {
        let left = self.around.tools.launcher().survivors();
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

/// The next order that leads out of awake.
async fn next_state(orders: &mut Inbox) -> State {
    match heed(
        orders,
        &State::Awake,
        std::future::pending::<std::convert::Infallible>(),
    )
    .await
    {
        Ok(never) => match never {},
        Err(next) => next,
    }
}
