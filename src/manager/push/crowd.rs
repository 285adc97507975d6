// SPDX-License-Identifier: GPL-3.0-or-later

//! How large the farm is, and how much it says: pure, and bounded whatever comes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use memchr::memmem;
use tokio::time::Instant;

use crate::timings::Timings;

/// More workers than these are not told apart: the wait before a fetch is the longest then.
const WORKERS: usize = 1000;
/// Events a second above which the broad rooms are left. With everybody in them, an event costs the Manager 16 us for each
/// worker.
const TOO_FAST: u32 = 20;
/// In a farm of more workers than these, steps make each ask less often than it might: the fetches of all cost the Manager
/// 2 ms each, so that idle workers take a twentieth of a core of it.
const STEPPING: usize = 25;
/// What comes before the id in an event of a worker's. Keys are in alphabetical order, and the name comes later.
const ID: &str = r#""id":""#;

/// What was seen of the farm; outlives a connection.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Hashes of workers' ids.
    workers: HashSet<u64>,
    window: Instant,
    events: u32,
    rest_until: Option<Instant>,
}

impl Crowd {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            workers: HashSet::new(),
            window: now,
            events: 0,
            rest_until: None,
        }
    }

    /// Notes an event of a worker's.
    pub(super) fn saw_worker(&mut self, payload: &str) {
        if self.workers.len() >= WORKERS {
            return;
        }
        let Some(id) = memmem::find(payload.as_bytes(), ID.as_bytes()).and_then(|at| payload.get(at + ID.len()..))
        else {
            return;
        };
        let mut hash = DefaultHasher::new();
        id.split('"').next().hash(&mut hash);
        self.workers.insert(hash.finish());
    }

    /// How long to wait between a hint of new work and the fetch, for a random number in `0.0..1.0`: nothing for a
    /// worker alone, so that the many of a large farm do not all ask at once.
    pub(super) fn work_wait(&self, longest: Duration, random: f64) -> Duration {
        let others = u32::try_from(self.workers.len().saturating_sub(1)).unwrap_or(u32::MAX);
        longest.mul_f64(random) * others / u32::try_from(WORKERS).unwrap_or(u32::MAX)
    }

    /// How long between two questions that steps of jobs bring about, at least `shortest`.
    pub(super) fn step_pause(&self, shortest: Duration) -> Duration {
        let times = self.workers.len().div_ceil(STEPPING).max(1);
        shortest * u32::try_from(times).unwrap_or(u32::MAX)
    }

    /// Counts an event. True: they come too fast, and the broad rooms are to be left.
    pub(super) fn is_too_much(&mut self, now: Instant, timings: &Timings) -> bool {
        if now - self.window >= timings.push_window {
            self.window = now;
            self.events = 0;
        }
        self.events = self.events.saturating_add(1);
        if f64::from(self.events) <= f64::from(TOO_FAST) * timings.push_window.as_secs_f64() || self.rests(now) {
            return false;
        }
        self.rest_until = Some(now + timings.push_rest);
        true
    }

    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    pub(super) fn rest_until(&self) -> Option<Instant> {
        self.rest_until
    }

    /// The rest is over: counted from new.
    pub(super) fn rested(&mut self, now: Instant) {
        self.rest_until = None;
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
        let mut crowd = Crowd::new(Instant::now());
        let wait = |crowd: &Crowd| crowd.work_wait(Duration::from_secs(2), 0.999_999).as_millis();
        assert_eq!(wait(&crowd), 0);
        for _ in 0..2000 {
            crowd.saw_worker(&event(0));
            crowd.saw_worker("nonsense");
        }
        assert_eq!(wait(&crowd), 0);
        assert_eq!(crowd.step_pause(Duration::from_secs(1)), Duration::from_secs(1));
        (0..100).for_each(|number| crowd.saw_worker(&event(number)));
        assert!((190..=198).contains(&wait(&crowd)), "{}", wait(&crowd));
        assert_eq!(crowd.step_pause(Duration::from_secs(1)), Duration::from_secs(4));
        (0..100_000).for_each(|number| crowd.saw_worker(&event(number)));
        assert!((1990..2000).contains(&wait(&crowd)), "{}", wait(&crowd));
        assert_eq!(crowd.workers.len(), WORKERS, "bounded");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_farm_is_too_much_and_a_burst_is_not() {
        let timings = Timings::default();
        let start = Instant::now();
        let mut crowd = Crowd::new(start);
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert!(
            !(0..1000).any(|_| crowd.is_too_much(at(0), &timings)),
            "a thousand wake up at once"
        );
        let slow = (0..10_000)
            .map(|n| at(60_000 + n * 51))
            .any(|now| crowd.is_too_much(now, &timings));
        assert!(!slow, "just under 20 a second");
        let tripped: Vec<_> = (0..10_000)
            .map(|n| at(600_000 + n))
            .filter(|now| crowd.is_too_much(*now, &timings))
            .collect();
        assert_eq!(tripped.len(), 1, "said once");
        assert!(
            crowd.rests(tripped[0] + Duration::from_secs(299)) && !crowd.rests(tripped[0] + Duration::from_secs(300))
        );
    }
}
