// SPDX-License-Identifier: GPL-3.0-or-later

//! When the Manager last heard of us. A gap that may have put us in `error` there is noticed also when
//! the machine was suspended meanwhile, which the monotonic clock does not count.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use super::ManagerError;
use crate::chain::chain;

/// Remembers contacts; single threaded like the loop it serves.
#[derive(Debug)]
pub(super) struct Contact {
    last: Cell<Option<Duration>>,
    gap: Cell<bool>,
    /// Why the last call got no answer.
    trouble: RefCell<Option<String>>,
    failure: Notify,
    limit: Duration,
}

impl Contact {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            last: Cell::new(None),
            gap: Cell::new(false),
            trouble: RefCell::default(),
            failure: Notify::new(),
            limit,
        }
    }

    /// A call got no answer of the Manager's.
    pub(super) fn failed(&self, error: &ManagerError) {
        *self.trouble.borrow_mut() = Some(chain(error));
        self.failure.notify_one();
    }

    /// Returns when a call has got no answer since this was last asked. For one who asks. Cancel safe.
    pub(super) async fn failure(&self) {
        self.failure.notified().await;
    }

    /// Why the last call got no answer, if it got none.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Time since the last answer; `None` before the first.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.last.get().map(|last| since_boot().saturating_sub(last))
    }

    /// An answer of the Manager's came.
    pub(super) fn made(&self) {
        self.trouble.take();
        self.made_at(since_boot());
    }

    fn made_at(&self, now: Duration) {
        let gap = self
            .last
            .get()
            .is_some_and(|last| now.saturating_sub(last) > self.limit);
        self.gap.set(self.gap.get() || gap);
        self.last.set(Some(now));
    }

    /// Whether a gap lies behind us that was not asked about yet.
    pub(super) fn take_gap(&self) -> bool {
        self.gap.take()
    }
}

/// CLOCK_BOOTTIME; it goes on while the machine sleeps. Zero where the clock cannot be read.
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
        let contact = Contact::new(Duration::from_secs(45));
        for second in [1, 40, 85] {
            contact.made_at(Duration::from_secs(second));
        }
        assert!(!contact.take_gap());
        contact.made_at(Duration::from_secs(131));
        contact.made_at(Duration::from_secs(132));
        assert!(contact.take_gap());
        assert!(!contact.take_gap());
    }
}
