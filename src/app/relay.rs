// SPDX-License-Identifier: GPL-3.0-or-later

//! Hands signals to whom they are for: this file before there is a worker, the worker, or the reload. What else is ordered
//! on this machine is heard beside them.

use std::convert::Infallible;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tracing::info;

use super::pausing::Pausing;
use super::reload::Reload;
use crate::home::Home;
use crate::signals::{Order, Signals};

/// Returns at an order to leave, while there is no worker yet. What is for the worker waits for it.
pub(super) async fn leave_before_worker(signals: &mut Signals, tell: &UnboundedSender<Order>) {
    loop {
        let order = signals.next().await;
        info!("signal received: {order}");
        match order {
            Order::Leave(_) => return,
            // The configuration was read just now.
            Order::Pause(_) | Order::Resume | Order::Reload | Order::HandOver => {}
            // The worker listens from its start on.
            Order::Sleep | Order::Wake => {
                tell.send(order).ok();
            }
        }
    }
}

/// Hands signals to the worker, but for the one to reload; and hears whoever pauses it.
pub(super) async fn relay(
    signals: &mut Signals,
    tell: UnboundedSender<Order>,
    reload: Reload<'_>,
    pausing: Pausing<'_>,
) -> Infallible {
    let home = pausing.home;
    let wished = Notify::new();
    let relaying = async {
        loop {
            let order = signals.next().await;
            info!("signal received: {order}");
            if order == Order::Reload {
                wished.notify_one();
                continue;
            }
            hand_on(order, &tell, home);
        }
    };
    tokio::select! {
        never = relaying => never,
        never = reload.serve(&wished) => never,
        never = pausing.serve() => never,
    }
}

/// Hands an order to the worker.
pub(super) fn hand_on(order: Order, tell: &UnboundedSender<Order>, home: &Home) {
    if order.ends_the_task() {
        home.note_leaving();
    }
    // It listens as long as it is served.
    tell.send(order).ok();
}
