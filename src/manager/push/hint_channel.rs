// SPDX-License-Identifier: GPL-3.0-or-later

//! The channel by which hints reach the worker, and by which the worker says what it wants hints about.

use std::future::pending;
use std::mem::{replace, take};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Interest;
use crate::timings::Timings;

/// So many hints are answered at once, one after the other, before [`Timings::hint_pause`] lies between them: people click
/// more than once, and the Manager broadcasts some things twice.
const BURST: u32 = 3;

/// How well hints can reach the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Link {
    /// No connection exists.
    #[default]
    Down,
    /// A connection exists or is being made, but not all wanted hints would arrive, or it is being given up.
    Connected,
    /// Every wanted hint would arrive.
    Listening,
}

/// All that is known from hints. It is a state, not a queue.
#[derive(Debug, Clone, Copy, Default)]
struct HintState {
    link: Link,
    /// When to ask because of a hint.
    ask_at: Option<Instant>,
    /// The Manager has put this worker in `error`.
    marked_error: bool,
}

/// What the worker wants hints about.
#[derive(Debug, Default)]
struct Wanted {
    interest: Interest,
    /// No hints are to come, whatever it wants.
    is_stopped: bool,
}

/// How long to wait before asking the Manager if no hint comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PollInterval {
    /// The interval while hints may be missed.
    pub without_hints: Duration,
    /// The interval while every hint arrives.
    pub with_hints: Duration,
}

impl From<Duration> for PollInterval {
    /// The same interval in both cases.
    fn from(interval: Duration) -> Self {
        Self {
            without_hints: interval,
            with_hints: interval,
        }
    }
}

/// The worker's end of the channel.
#[derive(Debug)]
pub(crate) struct HintReceiver {
    wanted: watch::Sender<Wanted>,
    state: watch::Sender<HintState>,
    changes: watch::Receiver<HintState>,
    /// Hints are answered at once until [`BURST`] of them have moved this instant too far ahead; each answered hint moves it
    /// by `pause`.
    rested_at: Option<Instant>,
    pause: Duration,
}

/// The listener's end of the channel.
#[derive(Debug, Clone)]
pub(crate) struct HintSender {
    wanted: watch::Receiver<Wanted>,
    state: watch::Sender<HintState>,
}

/// Makes both ends. While nothing is sent, the receiver only waits for its intervals.
pub(crate) fn hint_channel(timings: &Timings) -> (HintReceiver, HintSender) {
    let wanted = watch::Sender::new(Wanted::default());
    let (state, changes) = watch::channel(HintState::default());
    let sender = HintSender {
        wanted: wanted.subscribe(),
        state: state.clone(),
    };
    let receiver = HintReceiver {
        wanted,
        state,
        changes,
        rested_at: None,
        pause: timings.hint_pause,
    };
    (receiver, sender)
}

/// Has the connection closed before the worker's own turn comes, which then has nothing to wait for.
#[derive(Debug, Clone)]
pub(crate) struct HintStopper {
    wanted: watch::Sender<Wanted>,
    state: watch::Sender<HintState>,
}

impl HintStopper {
    /// Has no more hints come, and waits until the connection is gone. What the worker wants meanwhile, as it does with each
    /// task, does not have another one made.
    pub(crate) async fn stop_listening(&self) {
        self.wanted.send_modify(|wanted| wanted.is_stopped = true);
        let mut changes = self.state.subscribe();
        // There is an end that could send for as long as there is this one.
        changes.wait_for(|state| state.link == Link::Down).await.ok();
    }

    /// Has those come again that the worker wants.
    pub(crate) fn listen_again(&self) {
        self.wanted.send_modify(|wanted| wanted.is_stopped = false);
    }

    /// Makes the worker ask the Manager now, at the pace at which it answers hints: none can tell it to.
    pub(crate) fn ask_now(&self) {
        ask_at(&self.state, Instant::now());
    }
}

impl HintReceiver {
    /// Who can have the connection closed, too.
    pub(crate) fn stopper(&self) -> HintStopper {
        HintStopper {
            wanted: self.wanted.clone(),
            state: self.state.clone(),
        }
    }

    /// Sets what hints are wanted from now on. A hint that came before stays: it may have come during the call to the Manager
    /// after which the interest changed.
    pub(crate) fn set_interest(&mut self, interest: Interest) {
        if self.wanted.send_if_modified(|wanted| {
            let changes = wanted.interest != interest;
            wanted.interest = interest;
            changes
        }) {
            self.rested_at = None;
        }
    }

    /// Wants no more hints, and waits until the connection is gone. A sign-on or a sign-off is broadcast, and a broadcast
    /// that meets a connection on its way out can stop the Manager for everybody: see `push::closing`.
    pub(crate) async fn stop_listening(&mut self) {
        self.set_interest(Interest::Nothing);
        // An error means that the listener is gone, and its connection with it.
        self.changes.wait_for(|state| state.link == Link::Down).await.ok();
    }

    /// Waits until the Manager is to be asked next: after `interval`, or at once on a hint. After many hints in a row
    /// [`Timings::hint_pause`] lies between two of them. Cancel safe: a hint that has come is kept.
    pub(crate) async fn next_poll(&mut self, interval: impl Into<PollInterval>) {
        let interval = interval.into();
        let began = Instant::now();
        let hint = loop {
            let state = *self.changes.borrow_and_update();
            let interval = match state.link {
                Link::Listening => interval.with_hints,
                Link::Down | Link::Connected => interval.without_hints,
            };
            let allowed = self.rested_at.and_then(|at| at.checked_sub(self.pause * (BURST - 1)));
            let hint = state.ask_at.map(|at| allowed.map_or(at, |allowed| at.max(allowed)));
            let due = hint.map_or(began + interval, |hint| hint.min(began + interval));
            tokio::select! {
                biased;
                Ok(()) = self.changes.changed() => {}
                () = sleep_until(due) => break hint,
            }
        };
        if hint.is_some() {
            let now = Instant::now();
            self.rested_at = Some(self.rested_at.map_or(now, |at| at.max(now)) + self.pause);
            self.state.send_modify(|state| state.ask_at = None);
        }
    }

    /// Whether a hint said, since the last call of this, that the Manager has put this worker in `error`.
    pub(crate) fn was_marked_error(&self) -> bool {
        self.state.send_if_modified(|state| take(&mut state.marked_error))
    }
}

impl HintSender {
    /// What the worker is to have hints about now.
    pub(crate) fn interest(&mut self) -> Interest {
        let wanted = self.wanted.borrow_and_update();
        match wanted.is_stopped {
            true => Interest::Nothing,
            false => wanted.interest.clone(),
        }
    }

    /// Waits until that may have changed; for ever once the receiver is gone.
    pub(crate) async fn interest_changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            pending::<()>().await;
        }
    }

    /// Notes how well hints can reach the worker from now on.
    pub(crate) fn set_link(&self, link: Link) {
        self.state
            .send_if_modified(|state| replace(&mut state.link, link) != link);
    }

    /// Makes the worker ask the Manager at `at`, or earlier.
    pub(crate) fn ask_at(&self, at: Instant) {
        ask_at(&self.state, at);
    }

    /// Tells the worker that the Manager has put it in `error`.
    pub(crate) fn mark_error(&self) {
        self.state.send_modify(|state| state.marked_error = true);
        self.ask_at(Instant::now());
    }
}

fn ask_at(state: &watch::Sender<HintState>, at: Instant) {
    state.send_if_modified(|state| {
        let sooner = state.ask_at.is_none_or(|other| at < other);
        if sooner {
            state.ask_at = Some(at);
        }
        sooner
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When the next questions are due, in milliseconds from now.
    async fn due(hints: &mut HintReceiver, times: usize) -> Vec<u128> {
        let start = Instant::now();
        let mut at = Vec::new();
        for _ in 0..times {
            hints
                .next_poll(PollInterval {
                    without_hints: 5 * SECOND,
                    with_hints: 10 * SECOND,
                })
                .await;
            at.push(start.elapsed().as_millis());
        }
        at
    }

    #[tokio::test(start_paused = true)]
    async fn without_hints_the_shorter_pause_counts_and_with_a_connection_the_longer() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        assert_eq!(due(&mut hints, 2).await, [5000, 10_000]);
        sender.set_link(Link::Listening);
        assert_eq!(due(&mut hints, 2).await, [10_000, 20_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn none_come_while_they_are_stopped_whatever_the_worker_wants_meanwhile() {
        let (mut hints, mut sender) = hint_channel(&Timings::default());
        let stopper = hints.stopper();
        hints.set_interest(Interest::Work);
        stopper.stop_listening().await;
        assert_eq!(sender.interest(), Interest::Nothing);
        hints.set_interest(Interest::StatusRequests);
        assert_eq!(sender.interest(), Interest::Nothing);
        stopper.listen_again();
        assert_eq!(sender.interest(), Interest::StatusRequests);
        sender.set_link(Link::Listening);
        let waits = tokio::time::timeout(SECOND, stopper.stop_listening()).await;
        assert!(waits.is_err(), "the connection is still there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_shortens_the_pause_that_is_under_way() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        sender.set_link(Link::Listening);
        let lose = async {
            tokio::time::sleep(3 * SECOND).await;
            sender.set_link(Link::Down);
        };
        assert_eq!(tokio::join!(due(&mut hints, 1), lose).0, [5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_hints_ask_at_once_and_a_flood_of_them_once_a_second() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        let flood = async {
            for _ in 0..3500 {
                sender.ask_at(Instant::now());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (at, ()) = tokio::join!(due(&mut hints, 8), flood);
        assert_eq!(at, [0, 1, 2, 1000, 2000, 3000, 4000, 9000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_while_a_call_is_under_way_means_one_more_call() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        sender.ask_at(Instant::now());
        assert_eq!(due(&mut hints, 1).await, [0]);
        // The call: three hints come.
        for _ in 0..3 {
            tokio::time::sleep(SECOND).await;
            sender.ask_at(Instant::now());
        }
        assert_eq!(due(&mut hints, 2).await, [0, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_of_work_waits_its_time_and_a_sooner_one_does_not() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        let now = Instant::now();
        sender.ask_at(now + 2 * SECOND);
        sender.ask_at(now + 3 * SECOND);
        let sooner = async {
            tokio::time::sleep(SECOND).await;
            sender.ask_at(Instant::now());
        };
        assert_eq!(tokio::join!(due(&mut hints, 2), sooner).0, [1000, 6000]);
        sender.ask_at(Instant::now() + 2 * SECOND);
        assert_eq!(due(&mut hints, 1).await, [2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_loses_no_hint_and_a_new_state_asks_at_once() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        for _ in 0..BURST {
            sender.ask_at(Instant::now());
            due(&mut hints, 1).await;
        }
        sender.ask_at(Instant::now());
        assert!(
            tokio::time::timeout(SECOND / 2, hints.next_poll(SECOND * 5))
                .await
                .is_err(),
            "too soon after the others"
        );
        hints.set_interest(Interest::Work);
        assert_eq!(due(&mut hints, 1).await, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn i1_a_worker_that_stops_listening_waits_until_the_connection_is_gone() {
        let (mut hints, mut sender) = hint_channel(&Timings::default());
        hints.set_interest(Interest::Work);
        sender.set_link(Link::Listening);
        let start = Instant::now();
        let part = async {
            sender.interest_changed().await;
            assert_eq!(sender.interest(), Interest::Nothing);
            tokio::time::sleep(SECOND).await;
            sender.set_link(Link::Connected);
            tokio::time::sleep(SECOND).await;
            sender.set_link(Link::Down);
        };
        tokio::join!(hints.stop_listening(), part);
        assert_eq!(start.elapsed(), 2 * SECOND);
        hints.stop_listening().await;
        assert_eq!(start.elapsed(), 2 * SECOND, "there is none");
    }

    #[tokio::test(start_paused = true)]
    async fn being_marked_as_error_is_reported_once() {
        let (mut hints, sender) = hint_channel(&Timings::default());
        sender.mark_error();
        assert_eq!(due(&mut hints, 1).await, [0]);
        assert!(hints.was_marked_error() && !hints.was_marked_error());
    }
}
