// SPDX-License-Identifier: GPL-3.0-or-later

//! Tracks when the Manager last heard of this worker. After a long gap the Manager may have put the worker in `error`. The
//! gap is noticed also when the machine was suspended meanwhile, which the monotonic clock does not count.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use super::ManagerError;
use crate::chain::chain;

/// Remembers when calls were answered, and why they were not. It is single-threaded, like the loop it serves.
#[derive(Debug)]
pub(super) struct ContactMonitor {
    last: Cell<Option<Duration>>,
    gap: Cell<bool>,
    /// Why the Manager did not answer the last call.
    last_error: RefCell<Option<String>>,
    failure: Notify,
    limit: Duration,
}

impl ContactMonitor {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            last: Cell::new(None),
            gap: Cell::new(false),
            last_error: RefCell::default(),
            failure: Notify::new(),
            limit,
        }
    }

    /// Notes that the Manager did not answer a call.
    pub(super) fn failed(&self, error: &ManagerError) {
        *self.last_error.borrow_mut() = Some(chain(error));
        self.failure.notify_one();
    }

    /// Waits until a call gets no answer; a failure since the last call of this counts. It has one caller at a time. Cancel
    /// safe.
    pub(super) async fn failure(&self) {
        self.failure.notified().await;
    }

    /// Why the last call got no answer; `None` if it got one.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    /// Time since the last answer; `None` before the first.
    pub(super) fn since_last_answer(&self) -> Option<Duration> {
        self.last.get().map(|last| since_boot().saturating_sub(last))
    }

    /// Notes an answer of the Manager's.
    pub(super) fn answered(&self) {
        self.last_error.take();
        self.answered_at(since_boot());
    }

    fn answered_at(&self, now: Duration) {
        let gap = self
            .last
            .get()
            .is_some_and(|last| now.saturating_sub(last) > self.limit);
        self.gap.set(self.gap.get() || gap);
        self.last.set(Some(now));
    }

    /// Whether there was a gap longer than the limit since the last call of this.
    pub(super) fn take_gap(&self) -> bool {
        self.gap.take()
    }
}

/// CLOCK_BOOTTIME, which also counts while the machine is suspended. Zero if the clock cannot be read.
fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_once() {
        let contact = ContactMonitor::new(Duration::from_secs(45));
        for second in [1, 40, 85] {
            contact.answered_at(Duration::from_secs(second));
        }
        assert!(!contact.take_gap());
        contact.answered_at(Duration::from_secs(131));
        contact.answered_at(Duration::from_secs(132));
        assert!(contact.take_gap());
        assert!(!contact.take_gap());
    }
}
