// SPDX-License-Identifier: GPL-3.0-or-later

//! When one task's reports do not get through.

use std::time::Duration;

use tokio::time::Instant;

use crate::manager::{Backoff, ManagerError};
use crate::timings::Timings;

/// The state of delivery of one folder.
#[derive(Debug)]
pub(super) struct Trouble {
    backoff: Backoff,
    rest_until: Option<Instant>,
    /// Since when the Manager answers other calls although it does not take this.
    well_since: Option<Instant>,
    /// Log and the rest go in updates of their own: one of them together was refused.
    pub(super) apart: bool,
    /// Bytes of log in one update, while a piece of it is too large.
    pub(super) most: Option<usize>,
}

impl Trouble {
    pub(super) fn new(timings: &Timings) -> Self {
        Self {
            backoff: Backoff::new(timings.backoff_min, timings.backoff_max),
            rest_until: None,
            well_since: None,
            apart: false,
            most: None,
        }
    }

    /// The trouble is with this folder alone. Gives the pause until its next try.
    pub(super) fn ours(&mut self, what: &str, error: &ManagerError) -> Duration {
        let now = Instant::now();
        let pause = self.backoff.failed(what, error);
        self.rest_until = Some(now + pause);
        self.well_since.get_or_insert(now);
        pause
    }

    /// It is tried again after a pause, and that is nobody's failure.
    pub(super) fn rest(&mut self, pause: Duration) {
        self.rest_until = Some(Instant::now() + pause);
    }

    /// Nothing gets through, so that it says nothing about this folder.
    pub(super) fn everywhere(&mut self) {
        self.rest_until = None;
        self.well_since = None;
    }

    pub(super) fn over(&mut self, what: &str) {
        self.backoff.succeeded(what);
        self.everywhere();
    }

    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.rest_until.filter(|until| *until > now)
    }

    /// Whether this goes on for `limit`, counted from `since` at the earliest.
    pub(super) fn is_hopeless(&self, since: Instant, limit: Duration) -> bool {
        self.well_since.is_some_and(|well| well.max(since).elapsed() >= limit)
    }
}
