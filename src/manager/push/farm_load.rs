// SPDX-License-Identifier: GPL-3.0-or-later

//! Estimates how large the farm is and how fast events come. This file is pure, and its memory is bounded whatever comes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use memchr::memmem;
use tokio::time::Instant;

use crate::timings::Timings;

/// So many different workers are counted at most; the delay before a fetch is longest then.
const MAX_WORKERS: usize = 1000;
/// Events per second above which the farm-wide rooms are left. With all workers of a farm in them, one event costs the
/// Manager 16 us for each worker.
const MAX_EVENTS_PER_SECOND: u32 = 20;
/// In a farm of more workers than this, the steps of jobs make each worker ask less often than it otherwise would: one fetch
/// costs the Manager 2 ms, so that its idle workers take a twentieth of one of its cores.
const WORKERS_PER_PAUSE: usize = 25;
/// The text before the id in an event of a worker. The keys are in alphabetical order, so the worker's name comes later.
const ID_KEY: &str = r#""id":""#;

/// What was observed of the farm. It outlives a connection.
#[derive(Debug)]
pub(super) struct FarmLoad {
    /// Hashes of the workers' ids.
    workers: HashSet<u64>,
    /// When the counting of `events` began.
    window: Instant,
    events: u32,
    /// Until when the farm-wide rooms are left.
    overloaded_until: Option<Instant>,
}

impl FarmLoad {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            workers: HashSet::new(),
            window: now,
            events: 0,
            overloaded_until: None,
        }
    }

    /// Counts the worker that an event is about.
    pub(super) fn count_worker(&mut self, payload: &str) {
        if self.workers.len() >= MAX_WORKERS {
            return;
        }
        let Some(id) =
            memmem::find(payload.as_bytes(), ID_KEY.as_bytes()).and_then(|at| payload.get(at + ID_KEY.len()..))
        else {
            return;
        };
        let mut hash = DefaultHasher::new();
        id.split('"').next().hash(&mut hash);
        self.workers.insert(hash.finish());
    }

    /// How long to wait between a hint of new work and the fetch, for a random number in `0.0..1.0`. The wait is zero for a
    /// single worker and grows with the farm, so that the workers of a large farm do not all ask at once.
    pub(super) fn fetch_delay(&self, longest: Duration, random: f64) -> Duration {
        let others = u32::try_from(self.workers.len().saturating_sub(1)).unwrap_or(u32::MAX);
        longest.mul_f64(random) * others / u32::try_from(MAX_WORKERS).unwrap_or(u32::MAX)
    }

    /// How long to wait between two questions that steps of jobs bring about, at least `shortest`.
    pub(super) fn progress_pause(&self, shortest: Duration) -> Duration {
        let times = self.workers.len().div_ceil(WORKERS_PER_PAUSE).max(1);
        shortest * u32::try_from(times).unwrap_or(u32::MAX)
    }

    /// Counts an event. Returns true when events have just become too fast, so that the farm-wide rooms must be left.
    pub(super) fn count_event(&mut self, now: Instant, timings: &Timings) -> bool {
        if now - self.window >= timings.push_window {
            self.window = now;
            self.events = 0;
        }
        self.events = self.events.saturating_add(1);
        let limit = f64::from(MAX_EVENTS_PER_SECOND) * timings.push_window.as_secs_f64();
        if f64::from(self.events) <= limit || self.is_overloaded(now) {
            return false;
        }
        self.overloaded_until = Some(now + timings.push_rest);
        true
    }

    /// Whether the farm-wide rooms are to be avoided now.
    pub(super) fn is_overloaded(&self, now: Instant) -> bool {
        self.overloaded_until.is_some_and(|until| now < until)
    }

    /// When the farm-wide rooms may be tried again.
    pub(super) fn overloaded_until(&self) -> Option<Instant> {
        self.overloaded_until
    }

    /// Ends the overload, and counts events from zero.
    pub(super) fn reset(&mut self, now: Instant) {
        self.overloaded_until = None;
        self.window = now;
        self.events = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> String {
        format!(r#"{{"can_restart":false,"id":"{number:036}","name":"\"id\":\"x\"","status":"awake"}}"#)
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_grows_with_the_farm_and_is_nothing_for_one() {
        let mut farm = FarmLoad::new(Instant::now());
        let wait = |farm: &FarmLoad| farm.fetch_delay(Duration::from_secs(2), 0.999_999).as_millis();
        assert_eq!(wait(&farm), 0);
        for _ in 0..2000 {
            farm.count_worker(&event(0));
            farm.count_worker("nonsense");
        }
        assert_eq!(wait(&farm), 0);
        assert_eq!(farm.progress_pause(Duration::from_secs(1)), Duration::from_secs(1));
        (0..100).for_each(|number| farm.count_worker(&event(number)));
        assert!((190..=198).contains(&wait(&farm)), "{}", wait(&farm));
        assert_eq!(farm.progress_pause(Duration::from_secs(1)), Duration::from_secs(4));
        (0..100_000).for_each(|number| farm.count_worker(&event(number)));
        assert!((1990..2000).contains(&wait(&farm)), "{}", wait(&farm));
        assert_eq!(farm.workers.len(), MAX_WORKERS, "bounded");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_farm_is_too_much_and_a_burst_is_not() {
        let timings = Timings::default();
        let start = Instant::now();
        let mut farm = FarmLoad::new(start);
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert!(
            !(0..1000).any(|_| farm.count_event(at(0), &timings)),
            "a thousand wake up at once"
        );
        let slow = (0..10_000)
            .map(|n| at(60_000 + n * 51))
            .any(|now| farm.count_event(now, &timings));
        assert!(!slow, "just under 20 a second");
        let tripped: Vec<_> = (0..10_000)
            .map(|n| at(600_000 + n))
            .filter(|now| farm.count_event(*now, &timings))
            .collect();
        assert_eq!(tripped.len(), 1, "reported once");
        assert!(
            farm.is_overloaded(tripped[0] + Duration::from_secs(299))
                && !farm.is_overloaded(tripped[0] + Duration::from_secs(300))
        );
    }
}
