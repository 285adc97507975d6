// SPDX-License-Identifier: GPL-3.0-or-later

//! How the delivery of one task's report goes: its pauses after failures, and how it is cut.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::manager::{Backoff, ManagerError};
use crate::timings::Timings;

/// The state of delivery of one folder.
#[derive(Debug)]
pub(super) struct DeliveryState {
    backoff: Backoff,
    pause_until: Option<Instant>,
    /// Since when the Manager answers other calls although it does not take this.
    stuck_since: Option<Instant>,
    /// Log and the rest go in updates of their own: one of them together was refused.
    pub(super) apart: bool,
    /// Bytes of log in one update, while a chunk of it is too large.
    pub(super) most: Option<usize>,
}

/// What of it a successor has to know. Its first try comes at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HandedDelivery {
    #[serde(with = "crate::elapsed::option")]
    stuck_since: Option<Instant>,
    apart: bool,
    most: Option<usize>,
}

impl DeliveryState {
    pub(super) fn new(timings: &Timings) -> Self {
        Self {
            backoff: Backoff::new(timings.backoff_min, timings.backoff_max),
            pause_until: None,
            stuck_since: None,
            apart: false,
            most: None,
        }
    }

    pub(super) fn hand_over(&self) -> HandedDelivery {
        HandedDelivery {
            stuck_since: self.stuck_since,
            apart: self.apart,
            most: self.most,
        }
    }

    pub(super) fn take_over(handed: &HandedDelivery, timings: &Timings) -> Self {
        Self {
            stuck_since: handed.stuck_since,
            apart: handed.apart,
            most: handed.most,
            ..Self::new(timings)
        }
    }

    /// The Manager answers other calls, but does not take this report. Gives the pause until its next try.
    pub(super) fn failed(&mut self, what: &str, error: &ManagerError) -> Duration {
        let now = Instant::now();
        let pause = self.backoff.failed(what, error);
        self.pause_until = Some(now + pause);
        self.stuck_since.get_or_insert(now);
        pause
    }

    /// It is tried again after a pause. That does not count as a failure.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.pause_until = Some(Instant::now() + pause);
    }

    /// Nothing gets through to the Manager, which says nothing about this report.
    pub(super) fn reset(&mut self) {
        self.pause_until = None;
        self.stuck_since = None;
    }

    pub(super) fn succeeded(&mut self, what: &str) {
        self.backoff.succeeded(what);
        self.reset();
    }

    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.pause_until.filter(|until| *until > now)
    }

    /// Whether it has been stuck for `limit`, counted from `since` at the earliest.
    pub(super) fn is_hopeless(&self, since: Instant, limit: Duration) -> bool {
        self.stuck_since
            .is_some_and(|stuck| stuck.max(since).elapsed() >= limit)
    }
}
