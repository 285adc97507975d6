// SPDX-License-Identifier: GPL-3.0-or-later

//! Asleep: no task, only a look now and then, and on a hint at once, whether to wake.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info};

use super::crash_loop::CrashLoopBreaker;
use super::{SleepReason, State, Worker, heed};
use crate::manager::push::Interest;
use crate::manager::{Backoff, Manager, Wish};
use crate::node::Node;
use crate::outcome::RequeueReason;
use crate::spool::Spool;

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn asleep(&mut self, rest: SleepReason) -> State {
        match self.stay_asleep(&rest).await {
            Ok(never) => match never {},
            Err(next) => next,
        }
    }

    async fn stay_asleep(&mut self, rest: &SleepReason) -> Result<Infallible, State> {
        let here = State::Asleep(rest.clone());
        let timings = &self.around.timings;
        let pause = self.pause(rest);
        let mut backoff = Backoff::new(timings.backoff_min, timings.asleep_backoff_max);
        let home = self.around.home;
        let marked = match rest {
            SleepReason::Requested(_) | SleepReason::Local => home.forget_rest(),
            SleepReason::Requeued(_) => home.remember_rest(),
        };
        if let Err(error) = marked {
            debug!(%error, "cannot note why this worker sleeps");
        }
        // To the Manager a worker that sleeps has not finished its task, which goes to somebody else: it should hear before
        // that that it is done, or why not.
        let said = timeout(timings.leave_flush, self.around.spool.drained());
        let _late = heed(&mut self.around.orders, &here, said).await?;
        self.acknowledge(&here, &rest.status()).await?;
        self.around.hints.set_interest(Interest::StatusRequests);
        let mut next = pause;
        loop {
            heed(&mut self.around.orders, &here, self.around.hints.next_poll(next)).await?;
            if let SleepReason::Requeued(cause) = rest
                && heed(
                    &mut self.around.orders,
                    &here,
                    is_gone(cause, &self.around.spool, &self.around.node, &self.breaker),
                )
                .await?
                && self.around.tools.launcher().survivors().is_empty()
            {
                info!("what kept this worker from its tasks is gone");
                return Err(State::Awake);
            }
            let wish = heed(&mut self.around.orders, &here, self.manager.wish()).await?;
            let wish = wish.map(|wish| match wish {
                Wish::GoTo(status) => Some(Some(State::requested(&status, self.around.restart_code))),
                Wish::Nothing => Some(None),
                Wish::Denied => None,
            });
            next = match self.undenied(&here, wish).await? {
                Ok(Some(state)) => return Err(state),
                Ok(None) => {
                    backoff.succeeded("asking the Manager what it wishes");
                    if self.manager.was_out_of_contact() | self.around.hints.was_marked_error() {
                        self.acknowledge(&here, &rest.status()).await?;
                    }
                    pause
                }
                Err(error) => backoff.failed("ask the Manager what it wishes", &error),
            };
        }
    }

    /// How long until the first look, and between looks.
    fn pause(&self, rest: &SleepReason) -> Duration {
        match rest {
            SleepReason::Requested(_) | SleepReason::Local => self.around.timings.asleep_poll,
            SleepReason::Requeued(RequeueReason::GuardLost) => Duration::ZERO,
            SleepReason::Requeued(RequeueReason::CrashLoop(_) | RequeueReason::NoTmpdir(_)) => {
                self.breaker.left().min(self.around.timings.asleep_poll)
            }
            SleepReason::Requeued(
                RequeueReason::Unkillable(_)
                | RequeueReason::CannotStart(_)
                | RequeueReason::Spool(_)
                | RequeueReason::Unfit(_),
            ) => self.around.timings.idle_min,
        }
    }
}

/// Whether a task could be taken again, as far as `cause` goes. What is left of earlier tasks is asked besides.
async fn is_gone(cause: &RequeueReason, spool: &Spool, node: &Node, breaker: &CrashLoopBreaker) -> bool {
    match cause {
        RequeueReason::GuardLost | RequeueReason::Unkillable(_) | RequeueReason::CannotStart(_) => true,
        RequeueReason::Spool(_) => spool.is_writable(),
        RequeueReason::Unfit(_) => node.fit().await.is_ok(),
        // No hint makes this pause shorter.
        RequeueReason::CrashLoop(_) | RequeueReason::NoTmpdir(_) => breaker.left().is_zero(),
    }
}
