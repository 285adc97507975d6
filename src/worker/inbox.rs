// SPDX-License-Identifier: GPL-3.0-or-later

//! The orders as they come. Every wait of the worker is also a wait for these, so this is where it shows that it could
//! decide.

use tokio::sync::mpsc::UnboundedReceiver;

use crate::signals::Order;
use crate::systemd::{Beat, Systemd};

/// For one reader.
#[derive(Debug)]
pub struct Inbox {
    orders: UnboundedReceiver<Order>,
    beat: Beat,
}

impl Inbox {
    pub fn new(orders: UnboundedReceiver<Order>, systemd: Systemd) -> Self {
        Self {
            orders,
            beat: Beat::new(systemd),
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

    /// All that is left is to leave.
    pub(super) fn stopping(&mut self) {
        self.beat.stopping();
    }

    fn heard(&mut self, order: Order) -> Order {
        match order {
            Order::Stop | Order::StopNow | Order::Drain | Order::HangUp => self.beat.leaving(),
            Order::Sleep | Order::Wake => {}
        }
        order
    }
}
