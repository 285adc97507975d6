// SPDX-License-Identifier: GPL-3.0-or-later

//! The orders as they come. Every wait of the worker is also a wait for these, so this is where it shows that it could
//! decide.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::signals::Order;
use crate::systemd::{Beat, Systemd};

/// For one reader.
#[derive(Debug)]
pub struct Inbox {
    orders: UnboundedReceiver<Order>,
    beat: Beat,
    /// When the first stop came.
    stopped: Option<Instant>,
    /// Which came last, a sleep or a wake.
    sleep: bool,
}

impl Inbox {
    pub fn new(orders: UnboundedReceiver<Order>, systemd: Systemd) -> Self {
        Self {
            orders,
            beat: Beat::new(systemd),
            stopped: None,
            sleep: false,
        }
    }

    /// The next order; waits for ever once nobody can send one. Cancel safe.
    pub(super) async fn next(&mut self) -> Order {
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => return self.heard(order),
                () = self.beat.due() => self.beat.tell(),
            }
        }
    }

    /// All that is left is to leave. Answers since when.
    pub(super) fn stopping(&mut self) -> Instant {
        self.beat.stopping();
        *self.stopped.get_or_insert_with(Instant::now)
    }

    /// Whether a sleep that came while there was nothing to interrupt still waits to be obeyed. Once.
    pub(super) fn take_sleep(&mut self) -> bool {
        std::mem::take(&mut self.sleep)
    }

    fn heard(&mut self, order: Order) -> Order {
        match order {
            Order::Stop | Order::StopNow | Order::HangUp => {
                self.beat.leaving();
                self.stopped.get_or_insert_with(Instant::now);
            }
            Order::Drain => self.beat.leaving(),
            Order::Sleep => self.sleep = true,
            Order::Wake => self.sleep = false,
        }
        order
    }
}
