// SPDX-License-Identifier: GPL-3.0-or-later

//! The table of states: pure, total, tested without a runtime.
//!
//! ```text
//! Starting ──► Awake ◄──► Asleep
//!     ▲          │           │
//!     └──────────┴───────────┴──► Leaving(why)
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::departure::{Departure, RestartCode};
use crate::outcome::RequeueReason;
use crate::pause::PauseReason;
use crate::protocol::WorkerStatus;
use crate::signals::Order;
use crate::snapshot::StateKind;

/// What this worker is. Data lives in the variant where it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Signing on; also the way back after a registration was lost, or a restart without a code.
    Starting,
    /// Asking for tasks, or running one.
    Awake,
    /// Taking no task.
    Asleep(SleepReason),
    /// On the way to a successor of this process, which goes on in this state.
    HandingOver(Box<State>),
    /// On the way to the end of this process.
    Leaving(Departure),
}

/// Why we sleep, and what we tell the Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SleepReason {
    /// The Manager asked for it. Acknowledged with exactly the word it used: it would ask for ever otherwise.
    Requested(WorkerStatus),
    /// Somebody on this machine asked for it (SIGUSR1).
    Local,
    /// This machine is not for tasks now: awake again as soon as it is.
    Paused(PauseReason),
    /// A task was handed back: awake again as soon as a look says that its cause is gone.
    Requeued(RequeueReason),
}

impl State {
    /// Where a request of the Manager's leads. `code` is the operator's restart exit code.
    pub(crate) fn requested(status: &WorkerStatus, code: Option<RestartCode>) -> Self {
        match status {
            WorkerStatus::Awake => Self::Awake,
            WorkerStatus::Offline => Self::Leaving(Departure::ShutDown),
            WorkerStatus::Restart => match code {
                Some(code) => Self::Leaving(Departure::Restart(code)),
                // Nobody would start us again: sign off and on in this process, which is all a restart can mean here.
                None => Self::Starting,
            },
            WorkerStatus::Asleep
            | WorkerStatus::Starting
            | WorkerStatus::Error
            | WorkerStatus::Testing
            | WorkerStatus::Other(_) => Self::Asleep(SleepReason::Requested(status.clone())),
        }
    }

    /// Where an order leads; `None` changes nothing. While a task runs this is asked of the state after it.
    pub(crate) fn ordered(&self, order: Order) -> Option<Self> {
        match (order, self) {
            (Order::Leave(_), _) => Some(Self::Leaving(Departure::Signalled)),
            // One that sleeps for a reason of its own would else wake by itself.
            (Order::Sleep, Self::Awake | Self::Asleep(SleepReason::Requeued(_) | SleepReason::Paused(_))) => {
                Some(Self::Asleep(SleepReason::Local))
            }
            // One that sleeps for another reason sees it when that is gone.
            (Order::Pause(reason), Self::Awake) => Some(Self::Asleep(SleepReason::Paused(reason))),
            (Order::Resume, Self::Asleep(SleepReason::Paused(_))) => Some(Self::Awake),
            (Order::Wake, Self::Asleep(_)) => Some(Self::Awake),
            (Order::HandOver, Self::Starting | Self::Awake | Self::Asleep(_)) => {
                Some(Self::HandingOver(Box::new(self.clone())))
            }
            (
                Order::Sleep | Order::Wake | Order::Pause(_) | Order::Resume,
                Self::Starting | Self::Awake | Self::Asleep(_) | Self::HandingOver(_) | Self::Leaving(_),
            )
            | (Order::HandOver, Self::HandingOver(_) | Self::Leaving(_))
            | (Order::Reload, _) => None,
        }
    }

    /// What it is, without what belongs to it.
    pub(super) fn kind(&self) -> StateKind {
        match self {
            Self::Starting => StateKind::Starting,
            Self::Awake => StateKind::Awake,
            Self::Asleep(_) => StateKind::Asleep,
            Self::HandingOver(back) => back.kind(),
            Self::Leaving(_) => StateKind::Leaving,
        }
    }

    /// Where the answer to a sign-on leads. A restart is fulfilled already (this process is new): `None`, sign off and
    /// on again, which clears it.
    pub(crate) fn welcomed(status: &WorkerStatus) -> Option<Self> {
        match status {
            WorkerStatus::Restart => None,
            WorkerStatus::Awake
            | WorkerStatus::Offline
            | WorkerStatus::Asleep
            | WorkerStatus::Starting
            | WorkerStatus::Error
            | WorkerStatus::Testing
            | WorkerStatus::Other(_) => Some(Self::requested(status, None)),
        }
    }
}

impl SleepReason {
    /// Whether nobody asked for it, and it is over by itself.
    pub(super) fn is_own(&self) -> bool {
        match self {
            Self::Paused(_) | Self::Requeued(_) => true,
            Self::Requested(_) | Self::Local => false,
        }
    }

    /// What the Manager is told.
    pub(crate) fn status(&self) -> WorkerStatus {
        match self {
            Self::Requested(status) => status.clone(),
            Self::Local | Self::Paused(_) | Self::Requeued(_) => WorkerStatus::Asleep,
        }
    }
}

impl fmt::Display for SleepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(_) => f.write_str("asked by the Manager"),
            Self::Local => f.write_str("asked on this machine"),
            Self::Paused(reason) => reason.fmt(f),
            Self::Requeued(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Awake => f.write_str("awake"),
            Self::Asleep(_) => f.write_str("asleep"),
            Self::HandingOver(_) => f.write_str("reloading"),
            Self::Leaving(departure) => departure.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::Urgency;

    #[test]
    fn every_request_leads_somewhere() {
        let code = RestartCode::parse(47).unwrap();
        let asked = |status: &str| State::requested(&WorkerStatus::from(status.to_owned()), code);
        assert_eq!(asked("awake"), State::Awake);
        assert_eq!(asked("offline"), State::Leaving(Departure::ShutDown));
        assert_eq!(asked("restart"), State::Leaving(Departure::Restart(code.unwrap())));
        assert_eq!(State::requested(&WorkerStatus::Restart, None), State::Starting);
        for word in ["asleep", "starting", "error", "testing", "", "hibernate"] {
            let status = WorkerStatus::from(word.to_owned());
            assert_eq!(asked(word), State::Asleep(SleepReason::Requested(status.clone())));
            assert_eq!(
                SleepReason::Requested(status).status().as_str(),
                word,
                "acknowledged with what was asked"
            );
        }
    }

    #[test]
    fn orders_lead_somewhere_only_where_they_mean_something() {
        let asleep = State::Asleep(SleepReason::Local);
        for state in [State::Starting, State::Awake, asleep.clone()] {
            for urgency in [Urgency::AfterTask, Urgency::Now, Urgency::AtOnce] {
                let leaving = State::Leaving(Departure::Signalled);
                assert_eq!(state.ordered(Order::Leave(urgency)), Some(leaving));
            }
            assert_eq!(state.ordered(Order::Reload), None);
        }
        assert_eq!(State::Awake.ordered(Order::Sleep), Some(asleep.clone()));
        assert_eq!(State::Awake.ordered(Order::Wake), None);
        assert_eq!(asleep.ordered(Order::Wake), Some(State::Awake));
        assert_eq!(asleep.ordered(Order::Sleep), None);
        let requeued = State::Asleep(SleepReason::Requeued(RequeueReason::GuardLost));
        assert_eq!(requeued.ordered(Order::Sleep), Some(asleep));
        assert_eq!(State::Starting.ordered(Order::Sleep), None);
    }

    #[test]
    fn sleep_is_for_after_the_task_and_wake_takes_it_back_but_never_a_departure() {
        let after = |orders: &[Order]| {
            orders
                .iter()
                .fold(State::Awake, |after, order| after.ordered(*order).unwrap_or(after))
        };
        assert_eq!(after(&[Order::Sleep]), State::Asleep(SleepReason::Local));
        assert_eq!(after(&[Order::Sleep, Order::Wake]), State::Awake);
        let leave = Order::Leave(Urgency::AfterTask);
        let leaving = State::Leaving(Departure::Signalled);
        assert_eq!(after(&[leave, Order::Sleep, Order::Wake]), leaving);
        assert_eq!(after(&[Order::Sleep, leave]), leaving);
    }

    #[test]
    fn b12_a_restart_answered_to_a_sign_on_is_fulfilled() {
        assert_eq!(State::welcomed(&WorkerStatus::Restart), None);
        assert_eq!(
            State::welcomed(&WorkerStatus::Offline),
            Some(State::Leaving(Departure::ShutDown))
        );
        assert_eq!(State::welcomed(&WorkerStatus::Awake), Some(State::Awake));
    }
}
