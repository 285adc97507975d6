// SPDX-License-Identifier: GPL-3.0-or-later

//! The call on its way that changes what the Manager believes of this worker. One that is given up may reach the Manager all
//! the same, and after the one that follows it: a task that is handed out to a worker that has said to be asleep stays
//! active there and runs nowhere, and a worker that says awake and then asleep would be awake to it.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

/// Whether there is such a call. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct ChangingCall {
    under_way: Rc<Mutex<()>>,
    /// How long the answer to a call is waited for that nobody needs any more.
    limit: Duration,
}

impl ChangingCall {
    /// None so far.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            under_way: Rc::default(),
            limit,
        }
    }

    /// Makes one.
    pub(super) async fn make<T>(&self, call: impl Future<Output = T>) -> T {
        let _held = self.under_way.lock().await;
        call.await
    }

    /// Goes on with `work` that is to be given up, until what it has asked of the Manager is answered.
    pub(super) async fn see_through<T>(&self, work: impl Future<Output = T>) {
        if self.under_way.try_lock().is_ok() {
            return;
        }
        let answered = async {
            tokio::select! {
                // First in the queue: no other call begins.
                biased;
                _ = self.under_way.lock() => {}
                _ = work => {}
            }
        };
        timeout(self.limit, answered).await.ok();
    }
}
