// SPDX-License-Identifier: GPL-3.0-or-later

//! How often to ask: pure.

use std::time::Duration;

/// Each pause is drawn within a fifth of its length to either side, so that workers started together drift apart.
const SPREAD: f64 = 0.2;

/// The pause between fetches of an idle worker: short after a task, longer as nothing comes.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Pace {
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

/// `length` +-20 %, for a random number in `0.0..1.0`.
pub(super) fn spread(length: Duration, random: f64) -> Duration {
    length.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_worker_asks_less_and_less_often_but_within_the_managers_patience() {
        let mut pace = Pace::new(Duration::from_secs(5), Duration::from_secs(20));
        let middle: Vec<_> = (0..6).map(|_| pace.pause(0.5).as_secs_f64()).collect();
        assert_eq!(middle, [5.0, 7.5, 11.25, 16.875, 20.0, 20.0]);
        assert!(pace.pause(1.0) <= Duration::from_secs(24));
        pace.quicken();
        assert_eq!(pace.pause(0.0), Duration::from_secs(4));
    }
}
