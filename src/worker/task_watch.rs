// SPDX-License-Identifier: GPL-3.0-or-later

//! What is known of a task that runs besides the task itself: what was ordered meanwhile, and how long it may take.

use tokio::time::Instant;

use super::State;
use super::handed::{HandedState, HandedTaskRun};
use crate::abort::{AbortReason, AbortSource};
use crate::protocol::AssignedTask;
use crate::report::HandedReport;
use crate::signals::Order;
use crate::task::HandedTask;

/// What is known of a task that runs, besides the task.
#[derive(Debug)]
pub(super) struct TaskWatch {
    pub(super) handed_out: Instant,
    /// The state to go to after it: awake unless something else is ordered.
    pub(super) after: State,
    /// Why it is being ended: from an earlier life of this process, or once it is not run here any more.
    pub(super) reason: Option<AbortReason>,
    /// Until when it may run, once it is the last.
    pub(super) patience: Option<Instant>,
    /// Since when its programs stand still.
    pub(super) paused: Option<Instant>,
    /// A successor of this process is to go on with it.
    pub(super) to_hand_over: bool,
}

impl TaskWatch {
    pub(super) fn new(handed_out: Instant) -> Self {
        Self {
            handed_out,
            after: State::Awake,
            reason: None,
            patience: None,
            paused: None,
            to_hand_over: false,
        }
    }

    /// An order that does not end the task.
    pub(super) fn ordered(&mut self, order: Order, source: &AbortSource) {
        if order == Order::HandOver {
            // Who leaves has no successor.
            self.to_hand_over = !source.reason().is_some_and(|reason| reason.is_stop());
            if self.to_hand_over {
                source.hand_over();
            }
        } else if let Some(after) = self.after.ordered(order) {
            self.after = after;
        }
    }

    pub(super) fn hand_over(
        self,
        task: Box<AssignedTask>,
        work: Box<HandedTask>,
        report: HandedReport,
    ) -> HandedTaskRun {
        HandedTaskRun {
            task,
            work,
            report,
            took: self.handed_out.elapsed(),
            after: HandedState::of(&self.after),
            reason: self.reason,
            patience: self
                .patience
                .map(|until| until.saturating_duration_since(Instant::now())),
            paused: self.paused.map(|since| since.elapsed()),
        }
    }

    pub(super) fn take_over(run: &HandedTaskRun) -> Self {
        let now = Instant::now();
        Self {
            handed_out: now.checked_sub(run.took).unwrap_or(now),
            after: run.after.clone().into(),
            reason: run.reason.clone(),
            patience: run.patience.map(|left| now + left),
            paused: run.paused.map(|ago| now.checked_sub(ago).unwrap_or(now)),
            to_hand_over: false,
        }
    }
}
