// SPDX-License-Identifier: GPL-3.0-or-later

//! How much is measured, and for how long.

use std::time::Duration;

/// The size of a run.
#[derive(Debug)]
pub(crate) struct Scale {
    /// Samples behind each median.
    pub(crate) repetitions: usize,
    /// After it an idle worker's pauses are as long as they get: ours grow from 5 s to 20 s.
    pub(crate) settled: Duration,
    /// After it a worker that has begun something new is at its usual pace there: ours asks soon after the beginning, and then
    /// follows a hint at most once a second.
    pub(crate) begun: Duration,
    /// Longest pause of an idle worker, ours or the Go worker's. What is asked of it is asked at any point of it.
    pub(crate) idle_pause: Duration,
    /// The same while it is asleep.
    pub(crate) asleep_pause: Duration,
    /// The same while it runs a task: 10 s is the Go worker's, ours are shorter.
    pub(crate) running_pause: Duration,
    /// How long a worker with nothing to do is watched.
    pub(crate) watched: Duration,
    /// Bytes printed at once.
    pub(crate) flood: u64,
    /// Bytes printed at a pace.
    pub(crate) paced: u64,
    /// Width and height of pictures.
    pub(crate) picture: (u32, u32),
    /// How long a slow Manager takes for an update.
    pub(crate) slow_update: Duration,
    /// Workers in the large farm.
    pub(crate) workers: usize,
    /// So long after one of them the next is started: all at once, they would be too much news for each other, and leave the
    /// Manager's hints alone for five minutes.
    pub(crate) apart: Duration,
    /// Timings for our worker's configuration; none are those of a farm.
    pub(crate) timings: &'static str,
}

impl Scale {
    /// With the pauses that a farm has.
    pub(crate) fn whole() -> Self {
        Self {
            repetitions: 10,
            settled: Duration::from_secs(60),
            begun: Duration::from_secs(3),
            idle_pause: Duration::from_secs(20),
            asleep_pause: Duration::from_secs(30),
            running_pause: Duration::from_secs(10),
            watched: Duration::from_secs(120),
            flood: 200_000_000,
            paced: 100_000_000,
            picture: (3840, 2160),
            slow_update: Duration::from_secs(4),
            workers: 1000,
            apart: Duration::from_millis(150),
            timings: "",
        }
    }

    /// As little as shows that the cases work.
    pub(crate) fn smoke() -> Self {
        let shortly = Duration::from_millis(100);
        Self {
            repetitions: 1,
            settled: shortly,
            begun: shortly,
            idle_pause: shortly,
            asleep_pause: shortly,
            running_pause: shortly,
            watched: shortly,
            flood: 1_000_000,
            paced: 1_000_000,
            picture: (64, 48),
            slow_update: shortly,
            workers: 3,
            apart: Duration::from_millis(1),
            timings: SHORT,
        }
    }
}

/// Nothing is waited for.
const SHORT: &str = r#"
[timings]
first_may_i_run = "50ms"
may_i_run = "50ms"
idle_min = "50ms"
idle_max = "50ms"
asleep_poll = "50ms"
backoff_min = "10ms"
backoff_max = "50ms"
hint_pause = "10ms"
log_flush = "50ms"
grace = "200ms"
"#;
