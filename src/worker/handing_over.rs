// SPDX-License-Identifier: GPL-3.0-or-later

//! The end of one life of this process, and the beginning of the next: what is on its way to the Manager is seen through for
//! a bounded time, the connection that listens is given up, a Blender that waits is let go, and all that is not on disk
//! travels.
//!
//! A task goes on meanwhile; nobody looks after it for as long as this takes, which is one answer of the Manager's.

use tokio::time::timeout;
use tracing::debug;

use super::handed::{HandedState, HandedWorker};
use super::{Interrupts, SleepReason, State, Worker};
use crate::manager::Manager;
use crate::manager::push::longest_close;

impl<M: Manager> Worker<'_, M> {
    /// All that a successor has to know, which goes on in the state `back`.
    pub(super) async fn handing_over(mut self, back: &State, interrupts: &mut Interrupts) -> HandedWorker {
        let limit = longest_close(&self.context.timings);
        let kept = self.context.tools.let_go();
        let (spool, hints) = (&self.context.spool, &mut self.context.hints);
        let seen_through = timeout(limit, async {
            tokio::join!(spool.finish_sending(), hints.stop_listening(), kept)
        });
        if seen_through.await.is_err() {
            debug!("the Manager does not answer: what is on its way is sent again");
        }
        HandedWorker {
            state: HandedState::of(back),
            introduced: self.introduced,
            run: self.handed.map(|run| *run),
            breaker: self.breaker.hand_over(),
            repeats: self.repeats.hand_over(),
            sleeps: interrupts.take_sleep(),
            orders: interrupts.rest(),
            last_task: self.status.borrow().last_task,
        }
    }

    /// Goes on where an earlier life of this process was. What the Manager is `to_hear` anew of this worker it hears by a
    /// sign-on, when no task runs.
    pub(crate) fn take_over(self, handed: HandedWorker, to_hear: bool, interrupts: &mut Interrupts) -> Self {
        let is_local = handed.state == HandedState::Asleep(SleepReason::Local);
        if handed.sleeps || (to_hear && is_local) {
            interrupts.owe_sleep();
        }
        let state = match to_hear && handed.run.is_none() {
            true => State::Starting,
            false => handed.state.into(),
        };
        let worker = Self {
            state,
            to_introduce: to_hear,
            introduced: handed.introduced,
            handed: handed.run.map(Box::new),
            breaker: self.breaker.take_over(handed.breaker),
            repeats: self.repeats.take_over(handed.repeats),
            ..self
        };
        let state = worker.state.clone();
        worker.status.send_modify(|status| {
            status.enter(state);
            status.last_task = handed.last_task;
            if let Some(run) = &worker.handed {
                status.go_on(&run.task, run.took);
            }
        });
        worker
    }
}
