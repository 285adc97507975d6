// SPDX-License-Identifier: GPL-3.0-or-later

//! How often to ask, and how often to go from one state to another: pure, but for the clock.

use std::time::Duration;

use tokio::time::Instant;

/// Each pause is drawn within a fifth of its length to either side, so that workers started together drift apart.
const SPREAD: f64 = 0.2;

/// The pause between fetches of an idle worker: short after a task, longer as nothing comes.
#[derive(Debug, Clone)]
pub(super) struct IdleInterval {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl IdleInterval {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next pause, for a random number in `0.0..1.0`.
    pub(super) fn pause(&mut self, random: f64) -> Duration {
        let pause = spread(self.next, random);
        self.next = self.next.mul_f64(1.5).min(self.max);
        pause
    }

    /// There was work: ask soon again.
    pub(super) fn quicken(&mut self) {
        self.next = self.min;
    }
}

/// So many changes of state may follow each other at once: a person who clicks, an end that needs a few.
const FREE_AT_ONCE: u32 = 10;

/// Keeps whoever sends us from one state to the next from doing it as fast as we answer: a few transitions are free, and
/// one more with each `every` that passes.
#[derive(Debug)]
pub(super) struct TransitionLimit {
    every: Duration,
    /// Until when the transitions so far would have taken, at one in `every`.
    until: Instant,
}

impl TransitionLimit {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            until: Instant::now(),
        }
    }

    /// One more transition: how long to wait before it is made; `None` for one that is free.
    pub(super) fn take(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let free = now + self.every * FREE_AT_ONCE;
        self.until = (self.until.max(now) + self.every).min(free + self.every);
        let pause = self.until.saturating_duration_since(free);
        (!pause.is_zero()).then_some(pause)
    }
}

/// `length` +-20 %, for a random number in `0.0..1.0`.
pub(super) fn spread(length: Duration, random: f64) -> Duration {
    length.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_worker_asks_less_and_less_often_but_within_the_managers_patience() {
        let mut interval = IdleInterval::new(Duration::from_secs(5), Duration::from_secs(20));
        let middle: Vec<_> = (0..6).map(|_| interval.pause(0.5).as_secs_f64()).collect();
        assert_eq!(middle, [5.0, 7.5, 11.25, 16.875, 20.0, 20.0]);
        assert!(interval.pause(1.0) <= Duration::from_secs(24));
        interval.quicken();
        assert_eq!(interval.pause(0.0), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn i26_a_few_turns_are_free_and_then_one_in_a_while() {
        let every = Duration::from_secs(5);
        let mut limit = TransitionLimit::new(every);
        let began = Instant::now();
        for _ in 0..40 {
            if let Some(pause) = limit.take() {
                tokio::time::sleep(pause).await;
            }
        }
        let took = began.elapsed().as_secs();
        assert_eq!(took, 30 * 5);
        tokio::time::sleep(Duration::from_secs(10_000)).await;
        assert_eq!(
            (0..20).filter(|_| limit.take().is_none()).count(),
            10,
            "none is saved up"
        );
    }
}
