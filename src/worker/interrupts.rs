// SPDX-License-Identifier: GPL-3.0-or-later

//! What interrupts the worker: orders from this machine, that it is not for tasks now or is again, and the watchdog's wish
//! for a sign of life.
//!
//! Every wait of the worker is in [`Interrupts::watch`], so this is where it shows that it can still decide.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::State;
use super::changing_call::ChangingCall;
use crate::pause::{PauseReason, PauseWatch};
use crate::signals::{Order, Urgency};
use crate::systemd::{Heartbeat, Systemd};

/// The orders as they come, for one reader.
#[derive(Debug)]
pub(crate) struct Interrupts {
    orders: UnboundedReceiver<Order>,
    pauses: PauseWatch,
    /// As the worker was told last.
    is_paused: bool,
    heartbeat: Heartbeat,
    /// When the first order came that leaves no time for a task.
    stopped: Option<Instant>,
    /// Which came last, a sleep or a wake.
    sleep: bool,
    /// What is not given up at once.
    changing: Option<ChangingCall>,
}

impl Interrupts {
    /// `systemd` gets its signs of life out of the waits for `orders`.
    pub(crate) fn new(orders: UnboundedReceiver<Order>, pauses: PauseWatch, systemd: Systemd) -> Self {
        Self {
            orders,
            pauses,
            is_paused: false,
            heartbeat: Heartbeat::new(systemd),
            stopped: None,
            sleep: false,
            changing: None,
        }
    }

    /// The work of a state is given up only between two such calls.
    pub(super) fn respect(&mut self, changing: ChangingCall) {
        self.changing = Some(changing);
    }

    /// Does the `work` of a state unless an order leads elsewhere first: then the work is dropped where it waits. A call that
    /// changes what the Manager believes is seen through for a moment, but for a successor, who makes it again, and for
    /// who cannot wait.
    pub(super) async fn run<T>(&mut self, here: &State, work: impl Future<Output = T>) -> Result<T, State> {
        let mut work = pin!(work);
        let ordered = self
            .watch(work.as_mut(), |order| Some((order, here.ordered(order)?)))
            .await;
        let (order, next) = match ordered {
            Ok(value) => return Ok(value),
            Err(ordered) => ordered,
        };
        if let Some(changing) = &self.changing
            && !matches!(order, Order::HandOver | Order::Leave(Urgency::AtOnce))
        {
            changing.see_through(work).await;
        }
        Err(next)
    }

    /// Does `work` unless `turn` makes something of an order first: then the work is dropped where it waits.
    pub(super) async fn watch<T, E>(
        &mut self,
        work: impl Future<Output = T>,
        mut turn: impl FnMut(Order) -> Option<E>,
    ) -> Result<T, E> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => {
                    self.note(order);
                    if let Some(turned) = turn(order) {
                        return Err(turned);
                    }
                }
                reason = self.pauses.other_than(self.is_paused) => {
                    self.is_paused = reason.is_some();
                    let order = reason.map_or(Order::Resume, Order::Pause);
                    if let Some(turned) = turn(order) {
                        return Err(turned);
                    }
                }
                () = self.heartbeat.due() => self.heartbeat.send(),
                value = &mut work => return Ok(value),
            }
        }
    }

    /// The next order; waits for ever once nobody can send one. Cancel safe.
    pub(super) async fn next(&mut self) -> Order {
        match self.watch(pending::<Infallible>(), Some).await {
            Ok(never) => match never {},
            Err(order) => order,
        }
    }

    /// Why this machine is not for tasks now, for who has not waited for it. Only what changes after this is an order.
    pub(super) fn paused(&mut self) -> Option<PauseReason> {
        let reason = self.pauses.now().map(|pause| pause.reason);
        self.is_paused = reason.is_some();
        reason
    }

    /// All that is left is to leave. Answers since when.
    pub(super) fn stopping(&mut self) -> Instant {
        self.heartbeat.stopping();
        *self.stopped.get_or_insert_with(Instant::now)
    }

    /// Whether a sleep that came while there was nothing to interrupt still waits to be obeyed. Once.
    pub(super) fn take_sleep(&mut self) -> bool {
        std::mem::take(&mut self.sleep)
    }

    /// What was ordered and not heard yet.
    pub(super) fn rest(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.orders.try_recv().ok()).collect()
    }

    /// There is a sleep that still waits to be obeyed.
    pub(super) fn owe_sleep(&mut self) {
        self.sleep = true;
    }

    fn note(&mut self, order: Order) {
        if order.ends_the_task() {
            self.stopped.get_or_insert_with(Instant::now);
        }
        match order {
            Order::Leave(_) => self.heartbeat.begin_leaving(),
            Order::Sleep => self.sleep = true,
            Order::Wake => self.sleep = false,
            Order::Pause(_) | Order::Resume | Order::Reload | Order::HandOver => {}
        }
    }
}
