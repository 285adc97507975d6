// SPDX-License-Identifier: GPL-3.0-or-later

//! Until when a run waits for its guard, and for the last of the output.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::timings::Timings;

/// How much longer than it should take a guard may be at its work before it counts as stuck.
const GUARD_MARGIN: Duration = Duration::from_secs(5);
/// How long the end of a guard that was given up is waited for when this worker is told to stop.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// How long a run waits for what.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct RunLimits {
    /// For the answer to a command.
    pub(super) guard_silence: Duration,
    /// From the first signal of the program's kill sequence to SIGKILL.
    grace: Duration,
    /// For the last output, once the tree is gone.
    drain: Duration,
    /// For what took SIGKILL to be gone.
    unkillable: Duration,
    /// For the reason of a signal that we did not send.
    pub(super) foreign_signal: Duration,
}

impl RunLimits {
    /// `grace`: from the first signal of the program's kill sequence to SIGKILL.
    pub(in crate::process) fn new(timings: &Timings, grace: Duration) -> Self {
        Self {
            guard_silence: timings.guard_silence,
            grace,
            drain: timings.output_drain,
            unkillable: timings.unkillable,
            foreign_signal: timings.foreign_signal,
        }
    }
}

/// How much of the deadlines is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedDeadlines {
    /// From the first signal to SIGKILL, in the sequence of the program.
    grace: Duration,
    end: Option<Duration>,
    answer: Option<Duration>,
}

/// When a run gives up what it waits for.
#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) limits: RunLimits,
    /// For the end of the tree, then of the output, or of a guard that was given up.
    end: Option<Instant>,
    /// For the answer to a command.
    answer: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(limits: RunLimits) -> Self {
        Self {
            limits,
            end: None,
            answer: None,
        }
    }

    pub(super) fn hand_over(&self) -> HandedDeadlines {
        let left = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(Instant::now()));
        HandedDeadlines {
            grace: self.limits.grace,
            end: left(self.end),
            answer: left(self.answer),
        }
    }

    pub(super) fn take_over(handed: HandedDeadlines, timings: &Timings) -> Self {
        let until = |left: Option<Duration>| left.map(|left| Instant::now() + left);
        Self {
            limits: RunLimits::new(timings, handed.grace),
            end: until(handed.end),
            answer: until(handed.answer),
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.end.into_iter().chain(self.answer).min()
    }

    pub(super) fn clear(&mut self) {
        (self.end, self.answer) = (None, None);
    }

    /// The program is to be terminated or, with `is_forced`, killed. An earlier deadline stands. A stop of the worker
    /// does not wait for what cannot be killed.
    pub(super) fn expect_end(&mut self, is_forced: bool, is_stop: bool) {
        let grace = if is_forced { Duration::ZERO } else { self.limits.grace };
        let unkillable = if is_stop {
            Duration::ZERO
        } else {
            self.limits.unkillable
        };
        let end = Instant::now() + grace + unkillable + GUARD_MARGIN;
        self.end = Some(self.end.map_or(end, |earlier| earlier.min(end)));
    }

    /// A command is sent to the guard.
    pub(super) fn expect_answer(&mut self) {
        self.answer = Some(Instant::now() + self.limits.guard_silence);
    }

    /// The guard has answered.
    pub(super) fn answered(&mut self) {
        self.answer = None;
    }

    /// Nothing is left that could write.
    pub(super) fn expect_last_output(&mut self) {
        self.answer = None;
        self.end = Some(Instant::now() + self.limits.drain);
    }

    /// The guard was given up.
    pub(super) fn expect_guard_end(&mut self, is_stop: bool) {
        let longest = if is_stop { STOP_MARGIN } else { self.limits.unkillable };
        self.end = Some(Instant::now() + longest.min(self.limits.unkillable));
    }
}
