// SPDX-License-Identifier: GPL-3.0-or-later

//! Asleep: no task, only a look now and then, and on a hint at once, whether to wake.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info};

use super::strikes::Strikes;
use super::{Rest, State, Worker, heed};
use crate::manager::push::Interest;
use crate::manager::{Backoff, Manager, Wish};
use crate::node::Node;
use crate::spool::Spool;
use crate::task::HandBack;

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn asleep(&mut self, rest: Rest) -> State {
        match self.stay_asleep(&rest).await {
            Ok(never) => match never {},
            Err(next) => next,
        }
    }

    async fn stay_asleep(&mut self, rest: &Rest) -> Result<Infallible, State> {
        let here = State::Asleep(rest.clone());
        let timings = &self.around.timings;
        let pause = match rest {
            Rest::Asked(_) | Rest::Local => timings.asleep_poll,
            Rest::HandedBack(HandBack::GuardLost) => Duration::ZERO,
            Rest::HandedBack(HandBack::Strikes(_) | HandBack::NoTmpdir(_)) => {
                self.strikes.left().min(timings.asleep_poll)
            }
            Rest::HandedBack(
                HandBack::Unkillable(_) | HandBack::CannotStart(_) | HandBack::Spool(_) | HandBack::Unfit(_),
            ) => timings.idle_min,
        };
        let mut backoff = Backoff::new(timings.backoff_min, timings.asleep_backoff_max);
        let home = self.around.home;
        let marked = match rest {
            Rest::Asked(_) | Rest::Local => home.forget_rest(),
            Rest::HandedBack(_) => home.remember_rest(),
        };
        if let Err(error) = marked {
            debug!(%error, "cannot note why this worker sleeps");
        }
        // To the Manager a worker that sleeps has not finished its task, which goes to somebody else: it should hear before
        // that that it is done, or why not.
        let said = timeout(timings.leave_flush, self.around.spool.drained());
        let _late = heed(&mut self.around.orders, &here, said).await?;
        self.acknowledge(&here, &rest.status()).await?;
        self.around.hints.care_for(Interest::Wishes);
        let mut next = pause;
        loop {
            heed(&mut self.around.orders, &here, self.around.hints.due(next)).await?;
            if let Rest::HandedBack(cause) = rest
                && heed(
                    &mut self.around.orders,
                    &here,
                    is_gone(cause, &self.around.spool, &self.around.node, &self.strikes),
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
                    if self.manager.was_out_of_contact() | self.around.hints.was_given_up() {
                        self.acknowledge(&here, &rest.status()).await?;
                    }
                    pause
                }
                Err(error) => backoff.failed("ask the Manager what it wishes", &error),
            };
        }
    }
}

/// Whether a task could be taken again, as far as `cause` goes. What is left of earlier tasks is asked besides.
async fn is_gone(cause: &HandBack, spool: &Spool, node: &Node, strikes: &Strikes) -> bool {
    match cause {
        HandBack::GuardLost | HandBack::Unkillable(_) | HandBack::CannotStart(_) => true,
        HandBack::Spool(_) => spool.is_writable(),
        HandBack::Unfit(_) => node.fit().await.is_ok(),
        // No hint makes this pause shorter.
        HandBack::Strikes(_) | HandBack::NoTmpdir(_) => strikes.left().is_zero(),
    }
}
