// SPDX-License-Identifier: GPL-3.0-or-later

//! Which of our calls the Manager may still be telling everybody about. Every change of a worker, task or job is broadcast
//! over its Socket.IO, and a connection there is better not closed at that moment: see
//! `push::closing`.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Counts calls that change something; single threaded like the loop it serves.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    under_way: Cell<usize>,
    /// When the last one ended. Nobody may have waited for its answer.
    last: Cell<Option<Instant>>,
    ended: Notify,
}

/// One call. It has ended when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Broadcasts);

impl Broadcasts {
    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.under_way.set(self.under_way.get() + 1);
        UnderWay(self)
    }

    /// Waits until no such call has been under way for as long as `quiet`.
    pub(super) async fn none_for(&self, quiet: Duration) {
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

impl Drop for UnderWay<'_> {
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
        let (broadcasts, start) = (Broadcasts::default(), Instant::now());
        let second = Duration::from_secs(1);
        broadcasts.none_for(second).await;
        assert!(start.elapsed().is_zero());
        let call = |from: u64, to: u64| {
            let broadcasts = &broadcasts;
            async move {
                sleep_until(start + Duration::from_millis(from)).await;
                let _under_way = broadcasts.begin();
                sleep_until(start + Duration::from_millis(to)).await;
            }
        };
        let quiet = async {
            tokio::task::yield_now().await;
            broadcasts.none_for(second).await;
            start.elapsed().as_millis()
        };
        let (at, ..) = tokio::join!(quiet, call(0, 500), call(1400, 2000), call(2100, 2200));
        assert_eq!(at, 3200);
    }
}
