// SPDX-License-Identifier: GPL-3.0-or-later

//! The state machine of the worker.
//!
//! ```text
//! run: state = match state { Starting | Awake | Asleep }, until Leaving
//!
//! starting   repair an unclean end, sign on                  orders (signals) ─┐
//! awake      fetch, run, deliver, fetch ...                                    ├─► one select! per wait
//! asleep     ask now and then, or on a hint                  Manager's answers ┘
//! leaving    what is said is sent, sign off
//! ```
//!
//! A request "after the task is finished" is decided by the fetch alone, one for "immediately" by may-i-run
//! alone; the look at what is wished (`GET state`) hides the difference and is followed only while nothing runs.
//! A hint of the Manager's decides nothing: it is a reason to ask one of these now.

mod asleep;
mod awake;
mod crash_loop;
mod doing;
mod inbox;
mod keep_running;
mod leaving;
mod pace;
mod repeats;
mod running;
mod starting;
mod state;

#[cfg(test)]
mod tests;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::departure::{Departure, RestartCode};
use crate::home::Home;
use crate::manager::push::HintReceiver;
use crate::manager::{Acknowledgement, Backoff, Manager, ManagerError, Session, Standing, denial};
use crate::node::Node;
use crate::protocol::WorkerStatus;
use crate::report::Pictures;
use crate::spool::Spool;
use crate::task::Tools;
use crate::timings::Timings;

use crash_loop::CrashLoopBreaker;
pub use doing::{Beside, Doing};
pub use inbox::Inbox;
use pace::{Pace, Turns};
use repeats::Repeats;
pub use state::{SleepReason, State};

/// What a worker needs around it.
#[derive(Debug)]
pub struct Surroundings<'a> {
    pub home: &'a Home,
    pub spool: Spool,
    pub pictures: Pictures,
    pub tools: Tools,
    pub orders: Inbox,
    pub hints: HintReceiver,
    pub node: Node,
    /// So many tasks in a row whose program cannot be started or crashes at once make the node pause; 0: never.
    pub strikes: u32,
    pub restart_code: Option<RestartCode>,
    pub timings: Timings,
}

/// The worker. One task at a time.
#[derive(Debug)]
pub struct Worker<'a, M> {
    manager: &'a M,
    session: Session<'a, M>,
    around: Surroundings<'a>,
    pace: Pace,
    turns: Turns,
    breaker: CrashLoopBreaker,
    repeats: Repeats,
    doing: watch::Sender<Doing>,
    /// The Manager has accepted a sign-on of this process.
    signed_on: bool,
}

impl<'a, M: Manager> Worker<'a, M> {
    pub fn new(manager: &'a M, session: Session<'a, M>, around: Surroundings<'a>) -> Self {
        let pace = Pace::new(around.timings.idle_min, around.timings.idle_max);
        let turns = Turns::new(around.timings.idle_min);
        let timings = &around.timings;
        let breaker = CrashLoopBreaker::new(around.strikes, timings.strike_pause_min, timings.strike_pause_max);
        let repeats = Repeats::new(timings.strike_pause_min, timings.strike_pause_max);
        Self {
            manager,
            session,
            around,
            pace,
            turns,
            breaker,
            repeats,
            doing: watch::Sender::new(Doing::new(State::Starting)),
            signed_on: false,
        }
    }

    /// What it does, from now on.
    pub fn doing(&self) -> watch::Receiver<Doing> {
        self.doing.subscribe()
    }

    /// Runs until it is time to leave, and says why. `before` is seen through before anything is asked of the Manager,
    /// unless an order to leave comes first.
    pub async fn run(mut self, before: impl Future<Output = ()>) -> Departure {
        let mut state = State::Starting;
        if let Err(ordered) = heed(&mut self.around.orders, &state, before).await {
            self.enters(&ordered);
            state = ordered;
        }
        loop {
            let next = match state {
                State::Starting => self.starting().await,
                State::Awake => self.awake().await,
                State::Asleep(rest) => self.asleep(rest).await,
                State::Leaving(departure) => return self.leaving(departure).await,
            };
            self.enters(&next);
            state = match self.turn_to(&next).await {
                Ok(()) => next,
                Err(ordered) => ordered,
            };
        }
    }

    fn enters(&mut self, next: &State) {
        info!(state = %next, "now {next}");
        self.doing.send_modify(|doing| doing.becomes(next.clone()));
        if *next == State::Starting {
            // What came before this state has been obeyed; what comes while we wait in it is kept for its end.
            self.around.orders.take_sleep();
        }
    }

    /// Takes its time where one state follows the other without end: a Manager that says `awake` to who is awake, or
    /// asks for a restart at each fetch, would else be obeyed as fast as it answers.
    async fn turn_to(&mut self, next: &State) -> Result<(), State> {
        match (next, self.turns.take()) {
            (State::Leaving(_), _) | (_, None) => Ok(()),
            (State::Starting | State::Awake | State::Asleep(_), Some(pause)) => {
                warn!(?pause, "one state follows the other without end: taking time");
                heed(&mut self.around.orders, next, sleep(pause)).await
            }
        }
    }

    /// Tells the Manager what we are, until it accepts it.
    async fn acknowledge(&mut self, here: &State, status: &WorkerStatus) -> Result<(), State> {
        let mut backoff = self.backoff();
        let manager = self.manager;
        loop {
            let answer = heed(&mut self.around.orders, here, manager.state_changed(status)).await?;
            match self
                .undenied(
                    here,
                    answer.map(|answer| (answer == Acknowledgement::Accepted).then_some(())),
                )
                .await?
            {
                Ok(()) => {
                    backoff.succeeded("telling the Manager our state");
                    return Ok(());
                }
                Err(error) => {
                    let pause = backoff.failed("tell the Manager our state", &error);
                    heed(&mut self.around.orders, here, sleep(pause)).await?;
                }
            }
        }
    }

    /// Takes the denials out of an answer (`None` is a denial): one that stands leads to a new registration.
    async fn undenied<T>(
        &mut self,
        here: &State,
        answer: Result<Option<T>, ManagerError>,
    ) -> Result<Result<T, ManagerError>, State> {
        match answer {
            Ok(Some(value)) => {
                self.session.accepted();
                Ok(Ok(value))
            }
            Ok(None) => match self.session.denied().await {
                Standing::Deleted => Err(State::Starting),
                Standing::Unclear => {
                    let pause = self.session.denial_pause();
                    heed(&mut self.around.orders, here, sleep(pause)).await?;
                    Ok(Err(denial()))
                }
            },
            Err(error) => Ok(Err(error)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.around.timings.backoff_min, self.around.timings.backoff_max)
    }
}

/// Waits for `future` unless an order leads elsewhere first.
async fn heed<T>(orders: &mut Inbox, here: &State, future: impl Future<Output = T>) -> Result<T, State> {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            biased;
            order = orders.next() => if let Some(next) = here.ordered(order) { return Err(next) },
            value = &mut future => return Ok(value),
        }
    }
}
