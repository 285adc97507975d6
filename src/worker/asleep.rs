// SPDX-License-Identifier: GPL-3.0-or-later

//! Asleep: no task, only a look now and then, and on a hint at once, whether to wake.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info};

use super::session::{ASK_STATUS, Deleted, Retry, Session};
use super::{Interrupts, SleepReason, State, Worker};
use crate::chain::chain;
use crate::manager::push::Interest;
use crate::manager::{Backoff, Manager};
use crate::outcome::RequeueReason;

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn asleep(&mut self, reason: &SleepReason, interrupts: &mut Interrupts) -> Result<State, State> {
        // First, whatever is ordered: leaving depends on it.
        self.note_sleep(reason);
        if matches!(reason, SleepReason::Paused(_)) && interrupts.paused().is_none() {
            return Ok(State::Awake);
        }
        let here = State::Asleep(reason.clone());
        interrupts.run(&here, self.wait_to_wake(reason)).await?
    }

    async fn wait_to_wake(&mut self, reason: &SleepReason) -> Result<State, State> {
        let timings = &self.context.timings;
        let mut backoff = Backoff::new(timings.backoff_min, timings.asleep_backoff_max);
        // To the Manager a worker that sleeps has not finished its task, which goes to somebody else: it should hear before
        // that that it is done, or why not.
        timeout(timings.leave_flush, self.context.spool.drained()).await.ok();
        if reason.is_own()
            && let Some(next) = self.requested_meanwhile().await?
        {
            return Ok(next);
        }
        self.tell_state(&reason.status()).await?;
        self.context.hints.set_interest(Interest::StatusRequests);
        let mut next = self.pause(reason);
        let pause = next.max(self.context.timings.idle_min);
        loop {
            self.context.hints.next_poll(next).await;
            if self.may_wake(reason).await {
                info!("what kept this worker from its tasks is gone");
                return Ok(State::Awake);
            }
            let answer = self.session.manager.requested_status().await;
            next = match self.session.settle(answer, &ASK_STATUS, &mut backoff).await {
                Ok(Some(status)) => return Ok(State::requested(&status, self.context.restart_code)),
                Ok(None) => {
                    if self.session.manager.was_out_of_contact() | self.context.hints.was_marked_error() {
                        self.tell_state(&reason.status()).await?;
                    }
                    pause
                }
                Err(Retry::After(pause)) => pause,
                Err(Retry::RegisterAnew) => return Ok(State::Starting),
            };
        }
    }

    /// Where a request of the Manager's leads that we do not know yet. To hear that we are asleep would be to it as if one for
    /// sleep were obeyed; and it would be forgotten as soon as our own reason is gone.
    async fn requested_meanwhile(&mut self) -> Result<Option<State>, Deleted> {
        let ask = async |session: &Session<'_, M>| session.manager.requested_status().await;
        let requested = self.session.insist(&ASK_STATUS, ask).await?;
        Ok(requested.map(|status| State::requested(&status, self.context.restart_code)))
    }

    /// For the next start: what the Manager would wish of a worker that slept for a reason of its own is not its wish.
    fn note_sleep(&self, reason: &SleepReason) {
        let home = self.context.home;
        let noted = match reason.is_own() {
            true => home.remember_own_sleep(),
            false => home.forget_own_sleep(),
        };
        if let Err(error) = noted {
            debug!(error = chain(&error), "cannot note why this worker sleeps");
        }
    }

    /// How long until the first look.
    fn pause(&self, reason: &SleepReason) -> Duration {
        let timings = &self.context.timings;
        match reason {
            SleepReason::Requested(_) | SleepReason::Local | SleepReason::Paused(_) => timings.asleep_poll,
            SleepReason::Requeued(RequeueReason::GuardLost) => Duration::ZERO,
            SleepReason::Requeued(RequeueReason::CrashLoop(_) | RequeueReason::NoTmpdir(_)) => {
                self.breaker.left().min(timings.asleep_poll)
            }
            SleepReason::Requeued(
                RequeueReason::Unkillable(_)
                | RequeueReason::CannotStart(_)
                | RequeueReason::Spool(_)
                | RequeueReason::Unfit(_),
            ) => timings.idle_min,
        }
    }

    /// Whether it sleeps for a reason of its own that is gone. The end of a pause is an order, and comes at once.
    async fn may_wake(&self, reason: &SleepReason) -> bool {
        match reason {
            SleepReason::Requested(_) | SleepReason::Local | SleepReason::Paused(_) => false,
            SleepReason::Requeued(cause) => self.is_gone(cause).await,
        }
    }

    /// Whether a task could be taken again, as far as `cause` and what is left of earlier tasks go.
    async fn is_gone(&self, cause: &RequeueReason) -> bool {
        let context = &self.context;
        let gone = match cause {
            RequeueReason::GuardLost | RequeueReason::Unkillable(_) | RequeueReason::CannotStart(_) => true,
            RequeueReason::Spool(_) => context.spool.is_writable(),
            RequeueReason::Unfit(_) => context.node.check().await.is_ok(),
            // No hint makes this pause shorter.
            RequeueReason::CrashLoop(_) | RequeueReason::NoTmpdir(_) => self.breaker.left().is_zero(),
        };
        gone && context.tools.launcher().survivors().is_empty()
    }
}
