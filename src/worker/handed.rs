// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker as it travels to its successor: what it is, what it remembers, and the task that goes on meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::crash_loop::HandedBreaker;
use super::repeats::HandedRepeats;
use super::{Introduction, SleepReason, State};
use crate::abort::AbortReason;
use crate::departure::Departure;
use crate::handover::HandedFd;
use crate::protocol::AssignedTask;
use crate::report::HandedReport;
use crate::signals::Order;
use crate::task::HandedTask;

/// The worker as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandedWorker {
    pub(super) state: HandedState,
    /// As who the Manager knows it; `None` before a sign-on was accepted.
    pub(super) introduced: Option<Introduction>,
    pub(super) run: Option<HandedTaskRun>,
    pub(super) breaker: HandedBreaker,
    pub(super) repeats: HandedRepeats,
    /// What was ordered and not obeyed yet.
    pub(super) orders: Vec<Order>,
    /// A sleep that was ordered still waits to be obeyed.
    pub(super) sleeps: bool,
    /// When the last task ended.
    #[serde(default)]
    pub(super) last_task: Option<Timestamp>,
}

/// A state in which a worker can be handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HandedState {
    Starting,
    Awake,
    Asleep(SleepReason),
    /// Only as the state after a task.
    Leaving,
}

/// A task that runs, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HandedTaskRun {
    pub(super) task: Box<AssignedTask>,
    pub(super) work: Box<HandedTask>,
    pub(super) report: HandedReport,
    /// Since it was handed out.
    pub(super) took: Duration,
    /// Where the worker goes after it.
    pub(super) after: HandedState,
    /// Why it is being ended.
    pub(super) reason: Option<AbortReason>,
    /// What is left of the time that it has to finish.
    pub(super) patience: Option<Duration>,
    /// Since when its programs stand still.
    #[serde(default)]
    pub(super) paused: Option<Duration>,
}

impl HandedWorker {
    /// What stays open over the exec.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        self.run.iter().flat_map(|run| run.work.descriptors())
    }

    /// The task that runs.
    pub(crate) fn task(&self) -> Option<&HandedTask> {
        self.run.as_ref().map(|run| &*run.work)
    }

    /// Whether its start is over: what is done before it asks the Manager for anything is done.
    pub(crate) fn has_started(&self) -> bool {
        self.state != HandedState::Starting
    }

    /// As who the Manager knows it; `None` before a sign-on was accepted.
    pub(crate) fn introduced(&self) -> Option<&Introduction> {
        self.introduced.as_ref()
    }

    /// What was ordered and not obeyed yet. Once.
    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Adds what was ordered meanwhile.
    pub(crate) fn ordered(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.orders.extend(orders);
    }
}

impl HandedState {
    /// What a successor goes on with.
    pub(super) fn of(state: &State) -> Self {
        match state {
            State::Starting => Self::Starting,
            State::Awake => Self::Awake,
            State::Asleep(reason) => Self::Asleep(reason.clone()),
            State::HandingOver(back) => Self::of(back),
            State::Leaving(_) => Self::Leaving,
        }
    }
}

impl From<HandedState> for State {
    fn from(handed: HandedState) -> Self {
        match handed {
            HandedState::Starting => Self::Starting,
            HandedState::Awake => Self::Awake,
            HandedState::Asleep(reason) => Self::Asleep(reason),
            HandedState::Leaving => Self::Leaving(Departure::Signalled),
        }
    }
}
