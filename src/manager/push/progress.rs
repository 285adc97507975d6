// SPDX-License-Identifier: GPL-3.0-or-later

//! Schedules questions after steps of jobs. The last step of a task may make the next task available, and no other event
//! tells so. Steps come all the time while a farm renders, so they may cause little: one fetch a second, and fewer in a
//! large farm. This file is pure.

use std::time::Duration;

use tokio::time::Instant;

/// The last step of a task is broadcast before the task's end, which is not broadcast at all. So a question follows soon
/// after the step, and one more question this many pauses later.
const PAUSES_BEFORE_REPEAT: u32 = 3;

/// When to ask because of steps of jobs.
#[derive(Debug, Default)]
pub(super) struct ProgressSchedule {
    asks_at: Option<Instant>,
    repeats_at: Option<Instant>,
}

impl ProgressSchedule {
    /// Notes that some job has made a step. Returns when to ask, unless that is scheduled already: `wait` after the step
    /// plus a part of `pause` for a random number in `0.0..1.0`, and no earlier than `pause` after the last time.
    pub(super) fn step(&mut self, now: Instant, wait: Duration, pause: Duration, random: f64) -> Option<Instant> {
        let is_new = self.asks_at.is_none_or(|at| at <= now);
        if is_new {
            let earliest = self.asks_at.map_or(now, |last| last + pause);
            self.asks_at = Some(earliest.max(now + wait) + (pause - wait.min(pause)).mul_f64(random));
        }
        self.repeats_at = self.asks_at.map(|at| at + wait.max(pause) * PAUSES_BEFORE_REPEAT);
        self.asks_at.filter(|_| is_new)
    }

    /// When [`take_repeat`](Self::take_repeat) will return true.
    pub(super) fn repeats_at(&self) -> Option<Instant> {
        self.repeats_at
    }

    /// Whether to ask once more now. It returns true once.
    pub(super) fn take_repeat(&mut self, now: Instant) -> bool {
        let is_due = self.repeats_at.take_if(|at| *at <= now).is_some();
        if is_due {
            self.asks_at = Some(now);
        }
        is_due
    }

    /// Cancels the second question, because the worker wants hints about something else now.
    pub(super) fn cancel_repeat(&mut self) {
        self.repeats_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When the worker asks if a job makes a step every 100 ms for a while, in milliseconds.
    fn asks(steps: u64, pause: Duration) -> Vec<u64> {
        let (start, mut schedule, mut asked) = (Instant::now(), ProgressSchedule::default(), Vec::new());
        for now in (0..60).map(|tenth| start + Duration::from_millis(tenth * 100)) {
            let at = if now < start + Duration::from_millis(steps * 100) {
                schedule.step(now, SECOND, pause, 0.5)
            } else {
                schedule.take_repeat(now).then_some(now)
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
