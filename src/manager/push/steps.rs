// SPDX-License-Identifier: GPL-3.0-or-later

//! Steps of jobs as hints of work: the last frame of a task may free the next one, and no event says so but these. They
//! come all the time while a farm renders, so that they may bring about little: one fetch a second, and in a large farm
//! less. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The last step of a task is told before its end, which is told to nobody: it is looked for soon after the step, and once
/// more this many pauses later.
const AGAIN: u32 = 3;

/// When to ask because of steps.
#[derive(Debug, Default)]
pub(super) struct Steps {
    asks_at: Option<Instant>,
    again_at: Option<Instant>,
}

impl Steps {
    /// Some job has made a step. When to ask, unless that is settled already: `wait` after it, plus a part of `pause` for a
    /// random number in `0.0..1.0`, and `pause` after the last time.
    pub(super) fn heard(&mut self, now: Instant, wait: Duration, pause: Duration, random: f64) -> Option<Instant> {
        let news = self.asks_at.is_none_or(|at| at <= now);
        if news {
            let rested = self.asks_at.map_or(now, |last| last + pause);
            self.asks_at = Some(rested.max(now + wait) + (pause - wait.min(pause)).mul_f64(random));
        }
        self.again_at = self.asks_at.map(|at| at + wait.max(pause) * AGAIN);
        self.asks_at.filter(|_| news)
    }

    /// When [`again`](Self::again) has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again_at
    }

    /// Whether to ask once more now.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        let is_due = self.again_at.take_if(|at| *at <= now).is_some();
        if is_due {
            self.asks_at = Some(now);
        }
        is_due
    }

    /// There is other work.
    pub(super) fn forget(&mut self) {
        self.again_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When it is asked if there is a step every 100 ms for a while, in milliseconds.
    fn asks(steps: u64, pause: Duration) -> Vec<u64> {
        let (start, mut hints, mut asked) = (Instant::now(), Steps::default(), Vec::new());
        for now in (0..60).map(|tenth| start + Duration::from_millis(tenth * 100)) {
            let at = if now < start + Duration::from_millis(steps * 100) {
                hints.heard(now, SECOND, pause, 0.5)
            } else {
                hints.again(now).then_some(now)
            };
            asked.extend(at.map(|at| u64::try_from((at - start).as_millis()).unwrap()));
        }
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn one_step_is_asked_about_soon_and_once_more() {
        assert_eq!(asks(1, SECOND), [1000, 4000]);
    }

    #[tokio::test(start_paused = true)]
    async fn steps_without_end_are_asked_about_once_a_second_and_in_a_large_farm_less() {
        assert_eq!(asks(60, SECOND), [1000, 2000, 3000, 4000, 5000, 6000]);
        assert_eq!(asks(60, 4 * SECOND), [2500, 8000]);
    }
}
