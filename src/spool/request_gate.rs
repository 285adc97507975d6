// SPDX-License-Identifier: GPL-3.0-or-later

//! Lets each request of the sender through, until none is to begin any more.

use std::cell::Cell;
use std::future::pending;

use tokio::sync::watch;

/// What each request goes through.
#[derive(Debug)]
pub(super) struct RequestGate {
    closed: Cell<bool>,
    under_way: watch::Sender<bool>,
}

/// A request is under way; dropped, it is not.
struct UnderWay<'a>(&'a watch::Sender<bool>);

impl RequestGate {
    pub(super) fn new() -> Self {
        Self {
            closed: Cell::new(false),
            under_way: watch::Sender::new(false),
        }
    }

    /// What comes of a request. Once the gate is closed, it is not begun, and waits for ever.
    pub(super) async fn pass<T>(&self, request: impl Future<Output = T>) -> T {
        if self.closed.get() {
            return pending().await;
        }
        let _under_way = UnderWay::begin(&self.under_way);
        request.await
    }

    /// From now on no request begins. Returns when none is under way. Cancel safe; it stays closed.
    pub(super) async fn close(&self) {
        self.closed.set(true);
        // An error would say that the other side is gone, which is in `self`.
        self.under_way.subscribe().wait_for(|under_way| !under_way).await.ok();
    }
}

impl<'a> UnderWay<'a> {
    fn begin(under_way: &'a watch::Sender<bool>) -> Self {
        under_way.send_replace(true);
        Self(under_way)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
