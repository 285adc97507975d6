// SPDX-License-Identifier: GPL-3.0-or-later

//! The end: what was said is sent, the connection that listens is given up, then we sign off, each for a bounded time.
//! No task runs any more. The sign-off is broadcast, and one that meets a connection on its way out can stop the Manager:
//! the connection is gone before it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::session::{SIGN_OFF, Session};
use super::{Interrupts, Worker};
use crate::departure::Departure;
use crate::manager::push::{Interest, longest_close};
use crate::manager::{Backoff, Manager};
use crate::signals::{Order, Urgency};

/// How often a Manager that does not answer is told that we sign off.
const TRIES: u32 = 3;

/// How long what is kept for the next task may take to go. Its guard ends it all the same.
const LET_GO: Duration = Duration::from_secs(2);

/// How we leave, which orders can still change.
struct Exiting {
    departure: Departure,
    /// Told a second time: no waiting for anything.
    at_once: bool,
}

impl<M: Manager> Worker<'_, M> {
    /// Leaves, and says why. A stop meanwhile beats a restart: whoever sends it does not want us back.
    pub(super) async fn leaving(mut self, departure: Departure, interrupts: &mut Interrupts) -> Departure {
        self.context.hints.set_interest(Interest::Nothing);
        self.context.home.note_leaving();
        let end = interrupts.stopping() + self.context.timings.leave;
        let left = || end.saturating_duration_since(Instant::now());
        let timings = self.context.timings.clone();
        let mut exiting = Exiting {
            departure,
            at_once: false,
        };
        let signed_on = self.introduced.is_some();
        if signed_on {
            let limit = timings.leave_flush.min(left().saturating_sub(timings.leave_sign_off));
            exiting.allow(limit, self.context.spool.drained(), interrupts).await;
            self.tell_what_waits();
        }
        if !exiting.at_once {
            exiting.allow(LET_GO, self.context.tools.let_go(), interrupts).await;
        }
        let limit = longest_close(&timings).min(left().saturating_sub(timings.changing_call));
        let closed = timeout(limit.max(timings.push_leave), self.context.hints.stop_listening());
        exiting.see_through(closed, interrupts).await;
        // Also when no answer to a sign-on has reached us: it may have reached the Manager.
        if self.context.home.signed_on() {
            let patient = signed_on && !exiting.at_once;
            let limit = match patient {
                true => timings.leave_sign_off.min(left().max(timings.changing_call)),
                false => timings.changing_call,
            };
            let backoff = Backoff::new(timings.backoff_min, timings.changing_call);
            let signing_off = sign_off(&self.session, backoff, patient.then_some(limit / TRIES));
            exiting.allow(limit, signing_off, interrupts).await;
            if self.context.home.signed_on() {
                warn!("could not sign off: the next start makes up for it");
            }
        }
        exiting.departure
    }

    fn tell_what_waits(&self) {
        let waiting = self.context.spool.pending();
        if waiting.tasks > 0 {
            let (tasks, outcomes) = (waiting.tasks, waiting.outcomes);
            info!(
                tasks,
                outcomes, "what could not be sent waits on disk for the next start"
            );
        }
    }
}

/// Signs off. Without `patience`, how long an answer is waited for, once only: nobody may be listening.
async fn sign_off<M: Manager>(session: &Session<'_, M>, mut backoff: Backoff, patience: Option<Duration>) {
    let Some(patience) = patience else {
        if let Err(error) = session.sign_off().await {
            backoff.failed(SIGN_OFF.what, &error);
        }
        return;
    };
    loop {
        match timeout(patience, session.sign_off()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => sleep(backoff.failed(SIGN_OFF.what, &error)).await,
            // The time is up for this try, not for the whole.
            Err(_) => warn!("no answer to the sign-off within {patience:?}"),
        }
    }
}

impl Exiting {
    /// Does `work` for at most `limit`; a second stop cuts it short.
    async fn allow(&mut self, limit: Duration, work: impl Future<Output = ()>, interrupts: &mut Interrupts) {
        let at_once = self.at_once;
        let turn = |order| {
            self.obey(order);
            (self.at_once && !at_once).then_some(())
        };
        interrupts.watch(timeout(limit, work), turn).await.ok();
    }

    /// Does `work`, whatever is ordered meanwhile.
    async fn see_through<T>(&mut self, work: impl Future<Output = T>, interrupts: &mut Interrupts) {
        let turn = |order| {
            self.obey(order);
            None::<()>
        };
        interrupts.watch(work, turn).await.ok();
    }

    fn obey(&mut self, order: Order) {
        if let Order::Leave(urgency) = order {
            self.departure = Departure::Signalled;
            self.at_once |= urgency == Urgency::AtOnce;
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
        let mut exiting = Exiting {
            departure: Departure::Restart(code),
            at_once: false,
        };
        exiting.obey(Order::Wake);
        assert_eq!(exiting.departure.code(), 47);
        exiting.obey(Order::Leave(Urgency::Now));
        assert_eq!((exiting.departure.code(), exiting.at_once), (0, false));
        exiting.obey(Order::Leave(Urgency::AtOnce));
        assert!(exiting.at_once);
        assert_eq!(
            State::Leaving(exiting.departure).to_string(),
            "shutting down on a signal"
        );
    }
}
