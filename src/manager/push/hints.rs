// SPDX-License-Identifier: GPL-3.0-or-later

//! The two ends between the worker and whoever listens for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Interest;
use crate::timings::Timings;

/// So many hints are answered at once, one after the other, before [`Timings::hint_pause`] lies between them: people click
/// more than once, and the Manager tells some things twice.
const BURST: u32 = 3;

/// How far hints can reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// There is no connection.
    #[default]
    Down,
    /// There is one, or soon: not all that we want would reach us, or it is being given up.
    Connected,
    /// Every hint that we want would reach us.
    Listening,
}

/// All that is known of the Manager's hints: a level.
#[derive(Debug, Clone, Copy, Default)]
struct Signal {
    link: Link,
    /// When to ask because of a hint.
    ask_at: Option<Instant>,
    /// The Manager has put this worker in `error`.
    given_up: bool,
}

/// How long to wait before asking where no hint comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// While no hint could reach us.
    pub alone: Duration,
    /// While they do.
    pub hinted: Duration,
}

impl From<Duration> for Pause {
    /// The same either way.
    fn from(pause: Duration) -> Self {
        Self {
            alone: pause,
            hinted: pause,
        }
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Hints {
    interest: watch::Sender<Interest>,
    signal: watch::Sender<Signal>,
    changes: watch::Receiver<Signal>,
    /// When, were there no hint until then, [`BURST`] of them would be answered at once again.
    rested_at: Option<Instant>,
    pause: Duration,
}

/// The end of whoever brings the hints.
#[derive(Debug, Clone)]
pub struct Source {
    interest: watch::Receiver<Interest>,
    signal: watch::Sender<Signal>,
}

/// The two ends. Without a source that brings something, there is nothing but the pauses.
pub fn hints(timings: &Timings) -> (Hints, Source) {
    let interest = watch::Sender::new(Interest::Nothing);
    let (signal, changes) = watch::channel(Signal::default());
    let source = Source {
        interest: interest.subscribe(),
        signal: signal.clone(),
    };
    let hints = Hints {
        interest,
        signal,
        changes,
        rested_at: None,
        pause: timings.hint_pause,
    };
    (hints, source)
}

impl Hints {
    /// What to listen for from now on. What was heard before stays: it may have come while the call was under way that
    /// led here.
    pub fn care_for(&mut self, interest: Interest) {
        if self.interest.send_if_modified(|now| {
            let changes = *now != interest;
            *now = interest;
            changes
        }) {
            self.rested_at = None;
        }
    }

    /// Listens to nothing any more, and waits until the connection is gone. A sign-on or sign-off is broadcast, and one that
    /// meets a connection on its way out can stop the Manager for everybody: see `push::parting`.
    pub async fn stop_listening(&mut self) {
        self.care_for(Interest::Nothing);
        // An error means that nobody is left who could be connected.
        self.changes.wait_for(|signal| signal.link == Link::Down).await.ok();
    }

    /// Waits until the next question is due: after `pause`, or at once on a hint, unless there were many: then every
    /// [`Timings::hint_pause`] at most. Dropped, it loses nothing.
    pub async fn due(&mut self, pause: impl Into<Pause>) {
        let Pause { alone, hinted } = pause.into();
        let began = Instant::now();
        let hint = loop {
            let signal = *self.changes.borrow_and_update();
            let pause = if signal.link == Link::Listening { hinted } else { alone };
            let allowed = self.rested_at.and_then(|at| at.checked_sub(self.pause * (BURST - 1)));
            let hint = signal.ask_at.map(|at| allowed.map_or(at, |allowed| at.max(allowed)));
            let due = hint.map_or(began + pause, |hint| hint.min(began + pause));
            tokio::select! {
                biased;
                Ok(()) = self.changes.changed() => {}
                () = sleep_until(due) => break hint,
            }
        };
        if hint.is_some() {
            let now = Instant::now();
            self.rested_at = Some(self.rested_at.map_or(now, |at| at.max(now)) + self.pause);
            self.signal.send_modify(|signal| signal.ask_at = None);
        }
    }

    /// Whether, since this was last asked, the Manager was heard to have put this worker in `error`.
    pub fn was_given_up(&self) -> bool {
        self.signal
            .send_if_modified(|signal| std::mem::take(&mut signal.given_up))
    }
}

impl Source {
    /// What the worker wants to hear of.
    pub fn interest(&mut self) -> Interest {
        self.interest.borrow_and_update().clone()
    }

    /// Waits until that is something else; for ever once there is no worker.
    pub async fn interest_changed(&mut self) {
        if self.interest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How far hints can reach us from now on.
    pub fn set_link(&self, link: Link) {
        self.signal
            .send_if_modified(|signal| std::mem::replace(&mut signal.link, link) != link);
    }

    /// There is a reason to ask, at `at` or before.
    pub fn ask_at(&self, at: Instant) {
        self.signal.send_if_modified(|signal| {
            let sooner = signal.ask_at.is_none_or(|other| at < other);
            if sooner {
                signal.ask_at = Some(at);
            }
            sooner
        });
    }

    /// The Manager has put this worker in `error`.
    pub fn given_up(&self) {
        self.signal.send_modify(|signal| signal.given_up = true);
        self.ask_at(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When the next questions are due, in milliseconds from now.
    async fn due(hints: &mut Hints, times: usize) -> Vec<u128> {
        let start = Instant::now();
        let mut at = Vec::new();
        for _ in 0..times {
            hints
                .due(Pause {
                    alone: 5 * SECOND,
                    hinted: 10 * SECOND,
                })
                .await;
            at.push(start.elapsed().as_millis());
        }
        at
    }

    #[tokio::test(start_paused = true)]
    async fn without_hints_the_shorter_pause_counts_and_with_a_connection_the_longer() {
        let (mut hints, source) = hints(&Timings::default());
        assert_eq!(due(&mut hints, 2).await, [5000, 10_000]);
        source.set_link(Link::Listening);
        assert_eq!(due(&mut hints, 2).await, [10_000, 20_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_shortens_the_pause_that_is_under_way() {
        let (mut hints, source) = hints(&Timings::default());
        source.set_link(Link::Listening);
        let lose = async {
            tokio::time::sleep(3 * SECOND).await;
            source.set_link(Link::Down);
        };
        assert_eq!(tokio::join!(due(&mut hints, 1), lose).0, [5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_hints_ask_at_once_and_a_flood_of_them_once_a_second() {
        let (mut hints, source) = hints(&Timings::default());
        let flood = async {
            for _ in 0..3500 {
                source.ask_at(Instant::now());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (at, ()) = tokio::join!(due(&mut hints, 8), flood);
        assert_eq!(at, [0, 1, 2, 1000, 2000, 3000, 4000, 9000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_while_a_call_is_under_way_means_one_more_call() {
        let (mut hints, source) = hints(&Timings::default());
        source.ask_at(Instant::now());
        assert_eq!(due(&mut hints, 1).await, [0]);
        // The call: three hints come.
        for _ in 0..3 {
            tokio::time::sleep(SECOND).await;
            source.ask_at(Instant::now());
        }
        assert_eq!(due(&mut hints, 2).await, [0, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_of_work_waits_its_time_and_a_sooner_one_does_not() {
        let (mut hints, source) = hints(&Timings::default());
        let now = Instant::now();
        source.ask_at(now + 2 * SECOND);
        source.ask_at(now + 3 * SECOND);
        let sooner = async {
            tokio::time::sleep(SECOND).await;
            source.ask_at(Instant::now());
        };
        assert_eq!(tokio::join!(due(&mut hints, 2), sooner).0, [1000, 6000]);
        source.ask_at(Instant::now() + 2 * SECOND);
        assert_eq!(due(&mut hints, 1).await, [2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_loses_no_hint_and_a_new_state_asks_at_once() {
        let (mut hints, source) = hints(&Timings::default());
        for _ in 0..BURST {
            source.ask_at(Instant::now());
            due(&mut hints, 1).await;
        }
        source.ask_at(Instant::now());
        assert!(
            tokio::time::timeout(SECOND / 2, hints.due(SECOND * 5)).await.is_err(),
            "too soon after the others"
        );
        hints.care_for(Interest::Work);
        assert_eq!(due(&mut hints, 1).await, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn i1_whoever_stops_listening_waits_until_the_connection_is_gone() {
        let (mut hints, mut source) = hints(&Timings::default());
        hints.care_for(Interest::Work);
        source.set_link(Link::Listening);
        let start = Instant::now();
        let part = async {
            source.interest_changed().await;
            assert_eq!(source.interest(), Interest::Nothing);
            tokio::time::sleep(SECOND).await;
            source.set_link(Link::Connected);
            tokio::time::sleep(SECOND).await;
            source.set_link(Link::Down);
        };
        tokio::join!(hints.stop_listening(), part);
        assert_eq!(start.elapsed(), 2 * SECOND);
        hints.stop_listening().await;
        assert_eq!(start.elapsed(), 2 * SECOND, "there is none");
    }

    #[tokio::test(start_paused = true)]
    async fn being_given_up_is_told_once() {
        let (mut hints, source) = hints(&Timings::default());
        source.given_up();
        assert_eq!(due(&mut hints, 1).await, [0]);
        assert!(hints.was_given_up() && !hints.was_given_up());
    }
}
