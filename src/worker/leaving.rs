// SPDX-License-Identifier: GPL-3.0-or-later

//! The end: what was said is sent, the connection that listens is given up, then we sign off, each for a bounded time.
//! No task runs any more. The sign-off is broadcast, and one that meets a connection on its way out can stop the Manager:
//! the connection is gone before it.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Inbox, Worker};
use crate::departure::Departure;
use crate::manager::push::{Interest, longest_close};
use crate::manager::{Backoff, Manager, Session};
use crate::signals::Order;

/// How often a Manager that does not answer is told that we sign off.
const TRIES: u32 = 3;

/// How we leave, which orders can still change.
struct Exit {
    departure: Departure,
    /// Told a second time: no waiting for anything.
    at_once: bool,
}

impl<M: Manager> Worker<'_, M> {
    /// Leaves, and says why. A stop meanwhile beats a restart: whoever sends it does not want us back.
    pub(super) async fn leaving(mut self, departure: Departure) -> Departure {
        self.around.hints.set_interest(Interest::Nothing);
        self.around.home.leaving();
        let end = self.around.orders.stopping() + self.around.timings.leave;
        let left = || end.saturating_duration_since(Instant::now());
        let timings = self.around.timings.clone();
        let mut exit = Exit {
            departure,
            at_once: false,
        };
        if self.signed_on {
            exit.allow(
                timings.leave_flush.min(left().saturating_sub(timings.leave_sign_off)),
                self.around.spool.drained(),
                &mut self.around.orders,
            )
            .await;
            let waiting = self.around.spool.pending();
            if waiting.tasks > 0 {
                let (tasks, outcomes) = (waiting.tasks, waiting.outcomes);
                info!(
                    tasks,
                    outcomes, "what could not be sent waits on disk for the next start"
                );
            }
        }
        let limit = longest_close(&timings).min(left().saturating_sub(timings.leave_starting));
        exit.see_through(
            limit.max(timings.push_leave),
            self.around.hints.stop_listening(),
            &mut self.around.orders,
        )
        .await;
        // Also when no answer to a sign-on has reached us: it may have reached the Manager.
        if self.around.home.signed_on() {
            let patient = self.signed_on && !exit.at_once;
            let limit = if patient {
                timings.leave_sign_off.min(left().max(timings.leave_starting))
            } else {
                timings.leave_starting
            };
            let backoff = Backoff::new(timings.backoff_min, timings.leave_starting);
            exit.allow(
                limit,
                sign_off(&self.session, backoff, patient.then_some(limit / TRIES)),
                &mut self.around.orders,
            )
            .await;
            if self.around.home.signed_on() {
                warn!("could not sign off: the next start makes up for it");
            }
        }
        exit.departure
    }
}

/// Signs off. Without `patience`, how long an answer is waited for, once only: nobody may be listening.
async fn sign_off<M: Manager>(session: &Session<'_, M>, mut backoff: Backoff, patience: Option<Duration>) {
    let Some(patience) = patience else {
        if let Err(error) = session.sign_off().await {
            backoff.failed("sign off", &error);
        }
        return;
    };
    loop {
        match timeout(patience, session.sign_off()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => sleep(backoff.failed("sign off", &error)).await,
            // The time is up for this try, not for the whole.
            Err(_) => warn!("no answer to the sign-off within {patience:?}"),
        }
    }
}

impl Exit {
    /// Does `what` for at most `limit`; a second stop cuts it short.
    async fn allow(&mut self, limit: Duration, what: impl Future<Output = ()>, orders: &mut Inbox) {
        let mut what = pin!(timeout(limit, what));
        let hurried = self.at_once;
        while self.at_once == hurried {
            let order = tokio::select! {
                biased;
                order = orders.next() => order,
                _in_time = &mut what => return,
            };
            self.hear(order);
        }
    }

    /// Does `what` for at most `limit`, whatever is ordered meanwhile.
    async fn see_through(&mut self, limit: Duration, what: impl Future<Output = ()>, orders: &mut Inbox) {
        let mut what = pin!(timeout(limit, what));
        loop {
            let order = tokio::select! {
                biased;
                order = orders.next() => order,
                _in_time = &mut what => return,
            };
            self.hear(order);
        }
    }

    fn hear(&mut self, order: Order) {
        match order {
            Order::Stop | Order::Drain | Order::HangUp => self.departure = Departure::Signalled,
            Order::StopNow => {
                *self = Self {
                    departure: Departure::Signalled,
                    at_once: true,
                }
            }
            Order::Sleep | Order::Wake => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::departure::RestartCode;
    use crate::worker::State;

    #[test]
    fn e8_a_signal_beats_a_restart() {
        let code = RestartCode::parse(47).unwrap().unwrap();
        let mut exit = Exit {
            departure: Departure::Restart(code),
            at_once: false,
        };
        exit.hear(Order::Wake);
        assert_eq!(exit.departure.code(), 47);
        exit.hear(Order::Stop);
        assert_eq!((exit.departure.code(), exit.at_once), (0, false));
        exit.hear(Order::StopNow);
        assert!(exit.at_once);
        assert_eq!(State::Leaving(exit.departure).to_string(), "shutting down on a signal");
    }
}
