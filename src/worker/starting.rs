// SPDX-License-Identifier: GPL-3.0-or-later

//! From nothing to signed on.

use std::pin::pin;

use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::{SleepReason, State, Worker, heed};
use crate::chain::chain;
use crate::departure::Departure;
use crate::manager::push::longest_close;
use crate::manager::{Manager, SessionError, Wish};
use crate::protocol::WorkerStatus;

/// How often we sign on before a restart that is answered each time is taken for "awake": the fetch will ask again.
const SIGN_ONS: u32 = 2;

impl<M: Manager> Worker<'_, M> {
    pub(super) async fn starting(&mut self) -> State {
        if let Err(next) = self.stop_listening().await {
            return next;
        }
        match self.get_known().await {
            Ok(()) => {}
            Err(next) => return next,
        }
        if self.around.home.signed_on()
            && let Err(next) = self.repair().await
        {
            return next;
        }
        for attempt in 1..=SIGN_ONS {
            let status = match self.sign_on().await {
                Ok(status) => status,
                Err(next) => return next,
            };
            if let Some(next) = State::welcomed(&status) {
                if next == State::Leaving(Departure::ShutDown) {
                    info!("the Manager asked this worker to shut down while it was away: obeying");
                }
                return self.or_asleep(next);
            }
            info!("a restart was asked while this worker was away; starting has fulfilled it");
            if attempt == SIGN_ONS {
                break;
            }
            if let Err(next) = self.sign_off_for_sure().await {
                return next;
            }
        }
        self.or_asleep(State::Awake)
    }

    /// Signing on and off is broadcast, which must not meet a connection of ours on its way out.
    async fn stop_listening(&mut self) -> Result<(), State> {
        let limit = longest_close(&self.around.timings);
        let gone = timeout(limit, self.around.hints.stop_listening());
        let _late = heed(&mut self.around.orders, &State::Starting, gone).await?;
        Ok(())
    }

    /// Somebody on this machine may have said meanwhile that no task is to be taken.
    fn or_asleep(&mut self, next: State) -> State {
        if next == State::Awake && self.around.orders.take_sleep() {
            return State::Asleep(SleepReason::Local);
        }
        next
    }

    /// Credentials, from the home or by registering. A registration whose answer is on its way is waited for
    /// a moment when we are told to go: lost, it would be made twice.
    async fn get_known(&mut self) -> Result<(), State> {
        let mut knowing = pin!(self.session.identify());
        match heed(&mut self.around.orders, &State::Starting, knowing.as_mut()).await {
            Ok(known) => known.map_err(|error| unable(&error)),
            Err(next) => {
                if self.session.registering() {
                    let _late = timeout(self.around.timings.leave_starting, knowing).await;
                }
                Err(next)
            }
        }
    }

    async fn sign_on(&mut self) -> Result<WorkerStatus, State> {
        let signing = self.session.sign_on();
        let status = heed(&mut self.around.orders, &State::Starting, signing)
            .await?
            .map_err(|error| unable(&error))?;
        self.signed_on = true;
        Ok(status)
    }

    /// The last run did not sign off. What it said is sent first; then the sign-off requeues whatever the Manager
    /// thinks we still run. A Shut Down that was asked meanwhile would be forgotten by it, so that is looked at before.
    async fn repair(&mut self) -> Result<(), State> {
        info!("the last run did not sign off: making up for it");
        heed(
            &mut self.around.orders,
            &State::Starting,
            self.around.spool.outcomes_delivered(),
        )
        .await?;
        let wish = self.wish_for_sure().await?;
        self.sign_off_for_sure().await?;
        match wish {
            Some(WorkerStatus::Offline) => {
                info!("the Manager had asked this worker to shut down before it ended: obeying now");
                Err(State::Leaving(Departure::ShutDown))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn wish_for_sure(&mut self) -> Result<Option<WorkerStatus>, State> {
        let mut backoff = self.backoff();
        loop {
            let pause = match heed(&mut self.around.orders, &State::Starting, self.manager.wish()).await? {
                Ok(Wish::GoTo(status)) => return Ok(Some(status)),
                // A denial is for the sign-on to sort out.
                Ok(Wish::Nothing | Wish::Denied) => return Ok(None),
                Err(error) => backoff.failed("ask the Manager what it wishes", &error),
            };
            heed(&mut self.around.orders, &State::Starting, sleep(pause)).await?;
        }
    }

    async fn sign_off_for_sure(&mut self) -> Result<(), State> {
        let mut backoff = self.backoff();
        loop {
            let pause = match heed(&mut self.around.orders, &State::Starting, self.session.sign_off()).await? {
                Ok(()) => return Ok(()),
                Err(error) => backoff.failed("sign off", &error),
            };
            heed(&mut self.around.orders, &State::Starting, sleep(pause)).await?;
        }
    }
}

/// Something on this machine keeps us from signing on.
fn unable(cause: &SessionError) -> State {
    error!(error = chain(cause), "cannot start");
    State::Leaving(Departure::Failure)
}
