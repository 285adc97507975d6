// SPDX-License-Identifier: GPL-3.0-or-later

//! Tracks the calls of this worker that the Manager may be broadcasting at the moment. The Manager broadcasts every change of
//! a worker, task or job over its Socket.IO, and a connection there must not be closed at such a moment: see
//! `push::closing`.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Counts the calls that change something. It is single-threaded, like the loop it serves.
#[derive(Debug, Default)]
pub(super) struct BroadcastTracker {
    under_way: Cell<usize>,
    /// When the last call ended, whether or not its answer was waited for.
    last: Cell<Option<Instant>>,
    ended: Notify,
}

/// One call. Dropping this marks its end.
#[derive(Debug)]
pub(super) struct TrackedCall<'a>(&'a BroadcastTracker);

impl BroadcastTracker {
    /// Notes the begin of a call.
    pub(super) fn track(&self) -> TrackedCall<'_> {
        self.under_way.set(self.under_way.get() + 1);
        TrackedCall(self)
    }

    /// Waits until no call has been under way for as long as `quiet`.
    pub(super) async fn wait_for_none(&self, quiet: Duration) {
        loop {
            let ended = self.ended.notified();
            if self.under_way.get() > 0 {
                ended.await;
                continue;
            }
            match self.last.get().map(|last| last + quiet) {
                Some(over) if over > Instant::now() => sleep_until(over).await,
                Some(_) | None => return,
            }
        }
    }
}

impl Drop for TrackedCall<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.last.set(Some(Instant::now()));
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn i1_it_is_quiet_some_time_after_the_last_call() {
        let (tracker, start) = (BroadcastTracker::default(), Instant::now());
        let second = Duration::from_secs(1);
        tracker.wait_for_none(second).await;
        assert!(start.elapsed().is_zero());
        let call = |from: u64, to: u64| {
            let tracker = &tracker;
            async move {
                sleep_until(start + Duration::from_millis(from)).await;
                let _under_way = tracker.track();
                sleep_until(start + Duration::from_millis(to)).await;
            }
        };
        let quiet = async {
            tokio::task::yield_now().await;
            tracker.wait_for_none(second).await;
            start.elapsed().as_millis()
        };
        let (at, ..) = tokio::join!(quiet, call(0, 500), call(1400, 2000), call(2100, 2200));
        assert_eq!(at, 3200);
    }
}
