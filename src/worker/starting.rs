// SPDX-License-Identifier: GPL-3.0-or-later

//! From nothing to signed on.

use std::pin::pin;

use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::session::{ASK_STATUS, IdentityError, REGISTER, SIGN_OFF, Session};
use super::{Interrupts, SleepReason, State, Worker};
use crate::chain::chain;
use crate::departure::Departure;
use crate::manager::push::longest_close;
use crate::manager::{Manager, ManagerError};
use crate::protocol::WorkerStatus;

/// How often we sign on before a restart that is answered each time is taken for "awake": the fetch will ask again.
const SIGN_ONS: u32 = 2;

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn starting(&mut self, interrupts: &mut Interrupts) -> Result<State, State> {
        let here = State::Starting;
        interrupts.run(&here, self.stop_listening()).await?;
        if self.to_introduce {
            interrupts.run(&here, self.take_leave()).await?;
        }
        self.get_registered(interrupts).await?;
        let next = interrupts.run(&here, self.sign_on()).await??;
        // Somebody on this machine may have said meanwhile that no task is to be taken.
        if next == State::Awake && interrupts.take_sleep() {
            return Ok(State::Asleep(SleepReason::Local));
        }
        Ok(next)
    }

    /// Signing on and off is broadcast, which must not meet a connection of ours on its way out.
    async fn stop_listening(&mut self) {
        let limit = longest_close(&self.context.timings);
        timeout(limit, self.context.hints.stop_listening()).await.ok();
    }

    /// Signs off where the Manager was, before it is told anew who we are. What is said goes before: a sign-off requeues the
    /// task of whose end the Manager has not heard, and the next one may not know that task. That one may be gone for good.
    async fn take_leave(&mut self) {
        let timings = &self.context.timings;
        timeout(timings.leave_flush, self.context.spool.drained()).await.ok();
        let limit = timings.leave_sign_off;
        if !matches!(timeout(limit, self.session.sign_off()).await, Ok(Ok(()))) {
            warn!("could not sign off before signing on anew");
        }
        self.session.manager.move_on();
        self.to_introduce = false;
    }

    /// Makes sure that there are credentials, from the home or by registering.
    async fn get_registered(&mut self, interrupts: &mut Interrupts) -> Result<(), State> {
        let here = State::Starting;
        let needed = interrupts.run(&here, self.session.needs_registration()).await?;
        let Some(registration) = needed.map_err(|error| unable(&error))? else {
            return Ok(());
        };
        let mut backoff = self.backoff();
        loop {
            // Lost, the answer to a registration would be made up for by a second one, and the first stays at the Manager
            // for ever: what is on its way is waited for a moment when we are told to go.
            let mut request = pin!(self.session.manager.register(&registration));
            let answer = match interrupts.run(&here, request.as_mut()).await {
                Ok(answer) => answer,
                Err(next) => {
                    let limit = self.context.timings.changing_call;
                    let kept = timeout(limit, async {
                        if let Ok(registered) = request.await {
                            self.session.keep(registered, &registration).await.ok();
                        }
                    });
                    kept.await.ok();
                    return Err(next);
                }
            };
            match answer {
                Ok(registered) => {
                    backoff.succeeded(REGISTER.doing);
                    let kept = interrupts.run(&here, self.session.keep(registered, &registration));
                    return kept.await?.map_err(|error| unable(&error));
                }
                Err(error) => {
                    let pause = backoff.failed(REGISTER.what, &error);
                    interrupts.run(&here, sleep(pause)).await?;
                }
            }
        }
    }

    /// Signs on, and says where that leads.
    async fn sign_on(&mut self) -> Result<State, State> {
        if self.context.home.signed_on() {
            self.repair().await?;
        }
        for attempt in 1..=SIGN_ONS {
            let status = self.session.sign_on().await?;
            self.context.spool.deliver_now();
            self.introduced = Some(self.session.introduction().clone());
            if let Some(next) = State::welcomed(&status) {
                if next == State::Leaving(Departure::ShutDown) {
                    info!("the Manager asked this worker to shut down while it was away: obeying");
                }
                return Ok(next);
            }
            info!("a restart was asked while this worker was away; starting has fulfilled it");
            if attempt < SIGN_ONS {
                self.session.insist(&SIGN_OFF, Session::sign_off).await?;
            }
        }
        Ok(State::Awake)
    }

    /// The last run did not sign off. What it said is sent first; then the sign-off requeues whatever the Manager
    /// thinks we still run. A Shut Down that was asked meanwhile would be forgotten by it, so that is looked at before.
    async fn repair(&mut self) -> Result<(), State> {
        info!("the last run did not sign off: making up for it");
        self.context.spool.outcomes_delivered().await;
        let requested = self.requested_before().await;
        self.session.insist(&SIGN_OFF, Session::sign_off).await?;
        match requested {
            Some(WorkerStatus::Offline) => {
                info!("the Manager had asked this worker to shut down before it ended: obeying now");
                Err(State::Leaving(Departure::ShutDown))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What was requested of the last run. A denial is for the sign-on to sort out.
    async fn requested_before(&self) -> Option<WorkerStatus> {
        let mut backoff = self.backoff();
        loop {
            match self.session.manager.requested_status().await {
                Ok(requested) => return requested,
                Err(ManagerError::Denied) => return None,
                Err(error) => sleep(backoff.failed(ASK_STATUS.what, &error)).await,
            }
        }
    }
}

/// Something on this machine keeps us from signing on.
fn unable(cause: &IdentityError) -> State {
    error!(error = chain(cause), "cannot start");
    State::Leaving(Departure::Failure)
}
