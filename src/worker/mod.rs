// SPDX-License-Identifier: GPL-3.0-or-later

//! The state machine of the worker.
//!
//! ```text
//! run: state = match state { Starting | Awake | Asleep }, until Leaving
//!
//! starting   repair an unclean end, sign on
//! awake      fetch, run, deliver, fetch ...       each state is straight-line code that answers where to go next,
//! asleep     ask now and then, or on a hint       and is dropped where it waits when an order leads elsewhere
//! reloading  what is on its way is seen through, and all of it handed over
//! leaving    what is said is sent, sign off
//! ```
//!
//! What takes [`Interrupts`] itself decides itself what an order means for it: a task that runs and a registration that is
//! under way must not be dropped, and nothing leads out of leaving.
//!
//! A request "after the task is finished" is decided by the fetch alone, one for "immediately" by may-i-run alone; the look
//! at what is requested (`GET state`) hides the difference and is followed only while nothing runs. A hint of the Manager's
//! decides nothing: it is a reason to ask one of these now.

mod asleep;
mod awake;
mod changing_call;
mod crash_loop;
mod handed;
mod handing_over;
mod interrupts;
mod keep_running;
mod leaving;
mod pace;
mod repeats;
mod running;
mod session;
mod starting;
mod state;
mod status;
mod steering;
mod task_run;
mod task_watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::departure::{Departure, RestartCode};
use crate::home::Home;
use crate::manager::push::HintReceiver;
use crate::manager::{Backoff, Manager};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::pause::PausePolicy;
use crate::protocol::WorkerStatus;
use crate::report::PreviewQueue;
use crate::spool::Spool;
use crate::task::Tools;
use crate::timings::Timings;

use crash_loop::CrashLoopBreaker;
use handed::HandedTaskRun;
pub(crate) use handed::HandedWorker;
pub(crate) use interrupts::Interrupts;
use pace::{IdleInterval, TransitionLimit};
use repeats::RepeatLimit;
pub(crate) use session::Introduction;
use session::{Deleted, Session, TELL_STATE};
pub(crate) use state::{SleepReason, State};
pub(crate) use status::{Status, StatusDetails};

/// What a worker works with.
#[derive(Debug)]
pub(crate) struct WorkerContext<'a> {
    /// The directory of this worker, locked.
    pub home: &'a Home,
    /// Where the reports of tasks wait.
    pub spool: Spool,
    /// Pictures for the "last rendered" view.
    pub previews: PreviewQueue,
    /// What tasks are run with.
    pub tools: Tools,
    /// The Manager's reasons to ask it now.
    pub hints: HintReceiver,
    /// Whether this node can take a task.
    pub node: Node,
    /// So many tasks in a row whose program cannot be started or crashes at once make the node pause; 0: never.
    pub strikes: u32,
    /// Whether credentials that the Manager refuses are given up also where it knows their worker.
    pub register: bool,
    /// What is counted.
    pub metrics: Metrics,
    /// What a task comes to while this machine is not for tasks.
    pub pauses: PauseRules,
    /// The exit code for a restart, where there is somebody who restarts us.
    pub restart_code: Option<RestartCode>,
    /// How long things take.
    pub timings: Timings,
}

/// What a task comes to while this machine is not for tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PauseRules {
    /// What is done with it.
    pub policy: PausePolicy,
    /// One whose programs stood still for so long is given back.
    pub limit: Duration,
}

/// The worker. One task at a time.
#[derive(Debug)]
pub(crate) struct Worker<'a, M> {
    session: Session<'a, M>,
    context: WorkerContext<'a>,
    interval: IdleInterval,
    transitions: TransitionLimit,
    breaker: CrashLoopBreaker,
    repeats: RepeatLimit,
    status: watch::Sender<Status>,
    /// As who the Manager knows this worker, since it has accepted a sign-on.
    introduced: Option<Introduction>,
    /// It knows this worker under another name, or at another place: to be told before the next task.
    to_introduce: bool,
    /// The task that an earlier life of this process has begun.
    handed: Option<Box<HandedTaskRun>>,
    /// Where it goes from here.
    state: State,
}

/// Why a worker is done.
#[derive(Debug)]
pub(crate) enum WorkerEnd {
    /// The process is to end.
    Left(Departure),
    /// The process is to become its successor.
    HandedOver(Box<HandedWorker>),
}

impl<'a, M: Manager> Worker<'a, M> {
    /// A worker that has not begun.
    pub(crate) fn new(manager: &'a M, introduction: Introduction, context: WorkerContext<'a>) -> Self {
        let timings = &context.timings;
        Self {
            session: Session::new(manager, context.home, introduction, timings).registering_anew(context.register),
            interval: IdleInterval::new(timings.idle_min, timings.idle_max),
            transitions: TransitionLimit::new(timings.idle_min),
            breaker: CrashLoopBreaker::new(context.strikes, timings.strike_pause_min, timings.strike_pause_max),
            repeats: RepeatLimit::new(timings.strike_pause_min, timings.strike_pause_max),
            status: watch::Sender::new(Status::new(State::Starting)),
            introduced: None,
            to_introduce: false,
            handed: None,
            state: State::Starting,
            context,
        }
    }

    /// What it does, from now on.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Runs until it is time to leave, and says why. `before` is seen through before anything is asked of the Manager,
    /// unless an order to leave comes first, or a task goes on: that is looked after at once, and what is ordered is for it.
    pub(crate) async fn run(mut self, mut interrupts: Interrupts, before: impl Future<Output = ()>) -> WorkerEnd {
        interrupts.respect(self.session.changing.clone());
        let mut state = self.state.clone();
        if self.handed.is_none()
            && let Err(ordered) = interrupts.run(&state, before).await
        {
            state = self.enter(&state, ordered, &mut interrupts);
        }
        loop {
            let left = match &state {
                State::Starting => self.starting(&mut interrupts).await,
                State::Awake => self.awake(&mut interrupts).await,
                State::Asleep(reason) => self.asleep(reason, &mut interrupts).await,
                State::HandingOver(back) => {
                    let handed = self.handing_over(back, &mut interrupts).await;
                    return WorkerEnd::HandedOver(Box::new(handed));
                }
                State::Leaving(departure) => {
                    return WorkerEnd::Left(self.leaving(*departure, &mut interrupts).await);
                }
            };
            let (Ok(next) | Err(next)) = left;
            state = self.enter(&state, next, &mut interrupts);
            if let Some(pause) = self.pause_before(&state)
                && let Err(ordered) = interrupts.run(&state, sleep(pause)).await
            {
                state = self.enter(&state, ordered, &mut interrupts);
            }
        }
    }

    fn enter(&mut self, from: &State, next: State, interrupts: &mut Interrupts) -> State {
        info!(state = %next, "now {next}");
        self.status.send_modify(|status| status.enter(next.clone()));
        if !matches!(next, State::Awake | State::HandingOver(_)) {
            self.context.metrics.without_task();
            drop(self.context.tools.let_go());
        }
        if next == State::Starting && *from != State::Starting {
            // What came before this state has been obeyed; what comes while we wait in it is kept for its end.
            interrupts.take_sleep();
        }
        next
    }

    /// How long to wait in front of a state where one follows the other without end: a Manager that says `awake` to who is
    /// awake, or asks for a restart at each fetch, would else be obeyed as fast as it answers. Nothing holds up leaving.
    fn pause_before(&mut self, next: &State) -> Option<Duration> {
        let pause = self.transitions.take()?;
        if matches!(next, State::HandingOver(_) | State::Leaving(_)) {
            return None;
        }
        warn!(?pause, "one state follows the other without end: taking time");
        Some(pause)
    }

    /// Tells the Manager which state we are in, until it accepts it.
    async fn tell_state(&mut self, status: &WorkerStatus) -> Result<(), Deleted> {
        let tell = async |session: &Session<'_, M>| session.changing.make(session.manager.state_changed(status)).await;
        self.session.insist(&TELL_STATE, tell).await
    }

    fn backoff(&self) -> Backoff {
        self.session.backoff()
    }
}
