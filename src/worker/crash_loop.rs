// SPDX-License-Identifier: GPL-3.0-or-later

//! The policy on failures that may be this node's fault: pure, but for the clock.
//!
//! Three tasks in a row whose program cannot be started, or crashes at once, say more about the node than about the
//! tasks, if the trouble is the same each time: a share that is not mounted, a broken driver. Three different troubles are
//! three bad tasks. The third task is requeued instead of failed, so that the Manager neither fails its job nor
//! block-lists this worker, and nothing is taken for a while. After that the count starts anew: a task that is bad
//! everywhere still fails, two times out of three.
//!
//! A lost guard is the other way round. It says nothing about the task, which is run again at once; but a program that
//! kills its parent would be run for ever, many times a second, so the third in a row is a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::outcome::{Incomplete, Outcome, RequeueReason};

/// So many guards in a row are not lost by chance.
const LOST_BY_CHANCE: u32 = 2;

#[derive(Debug)]
pub(super) struct CrashLoopBreaker {
    /// 0: it never trips.
    limit: u32,
    in_a_row: u32,
    /// What those in a row had in common, in the words of their log.
    trouble: String,
    guards_lost: u32,
    min: Duration,
    max: Duration,
    /// How long the next pause will be.
    pause: Duration,
    /// When the running pause ends.
    until: Option<Instant>,
}

/// What is counted, as it travels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedBreaker {
    in_a_row: u32,
    trouble: String,
    guards_lost: u32,
    pause: Duration,
    left: Duration,
}

impl CrashLoopBreaker {
    pub(super) fn hand_over(&self) -> HandedBreaker {
        HandedBreaker {
            in_a_row: self.in_a_row,
            trouble: self.trouble.clone(),
            guards_lost: self.guards_lost,
            pause: self.pause,
            left: self.left(),
        }
    }

    /// Goes on counting, within our own limits.
    pub(super) fn take_over(self, handed: HandedBreaker) -> Self {
        Self {
            in_a_row: handed.in_a_row,
            trouble: handed.trouble,
            guards_lost: handed.guards_lost,
            pause: handed.pause.clamp(self.min, self.max.max(self.min)),
            until: (!handed.left.is_zero()).then(|| Instant::now() + handed.left),
            ..self
        }
    }

    /// It trips at `limit` tasks in a row, and pauses from `min` to `max`.
    pub(super) fn new(limit: u32, min: Duration, max: Duration) -> Self {
        Self {
            limit,
            in_a_row: 0,
            trouble: String::new(),
            guards_lost: 0,
            min,
            max,
            pause: min,
            until: None,
        }
    }

    /// What the outcome of a task that was run counts as, after those before it.
    pub(super) fn judge(&mut self, outcome: Outcome) -> Outcome {
        let judged = match outcome {
            Err(Incomplete::SuspectNode(why)) if self.is_last_straw(&why) => {
                Err(Incomplete::Requeued(RequeueReason::CrashLoop(why)))
            }
            Err(Incomplete::Requeued(lost @ RequeueReason::GuardLost)) if self.guards_lost >= LOST_BY_CHANCE => Err(
                Incomplete::Failed(format!("{lost}, time after time: does it kill its parent?")),
            ),
            other => other,
        };
        self.count(&judged);
        judged
    }

    fn is_last_straw(&self, why: &str) -> bool {
        let in_a_row = self.limit > 0 && self.in_a_row + 1 >= self.limit && self.trouble == why;
        // What loses one guard after the other is the task's fault.
        in_a_row && self.guards_lost < LOST_BY_CHANCE
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Err(Incomplete::Requeued(RequeueReason::GuardLost)) => self.guards_lost += 1,
            Err(Incomplete::Aborted(_) | Incomplete::Requeued(_)) => {}
            Ok(()) | Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => self.guards_lost = 0,
        }
        match outcome {
            Ok(()) => (self.in_a_row, self.pause) = (0, self.min),
            // Its program ran.
            Err(Incomplete::Failed(_)) => self.in_a_row = 0,
            Err(Incomplete::SuspectNode(why)) if *why == self.trouble => self.in_a_row += 1,
            Err(Incomplete::SuspectNode(why)) => (self.in_a_row, self.trouble) = (1, why.clone()),
            Err(Incomplete::Requeued(RequeueReason::CrashLoop(_))) => {
                self.in_a_row = 0;
                self.rest();
            }
            Err(Incomplete::Requeued(RequeueReason::NoTmpdir(_))) => self.rest(),
            Err(Incomplete::Aborted(_) | Incomplete::Requeued(_)) => {}
        }
    }

    /// Begins a pause; the next one will be longer.
    fn rest(&mut self) {
        self.until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(self.max);
    }

    /// What is left of the pause; zero when there is none.
    pub(super) fn left(&self) -> Duration {
        self.until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abort::AbortReason;

    fn suspect(why: &str) -> Outcome {
        Err(Incomplete::SuspectNode(why.into()))
    }

    fn crashed() -> Outcome {
        suspect("no such program")
    }

    fn requeued(reason: RequeueReason) -> Outcome {
        Err(Incomplete::Requeued(reason))
    }

    fn crash_loop() -> Outcome {
        requeued(RequeueReason::CrashLoop("no such program".into()))
    }

    #[test]
    fn three_troubles_in_a_row_are_three_bad_tasks() {
        let mut breaker = CrashLoopBreaker::new(3, Duration::ZERO, Duration::ZERO);
        for why in ["no such program", "not executable", "SIGSEGV", "no such program"] {
            assert_eq!(breaker.judge(suspect(why)), suspect(why));
        }
        assert_eq!(breaker.judge(crashed()), crashed());
        assert_eq!(breaker.judge(crashed()), crash_loop());
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_in_a_row_pauses_and_the_pause_doubles_until_a_task_succeeds() {
        let seconds = Duration::from_secs;
        let mut breaker = CrashLoopBreaker::new(3, seconds(30), seconds(100));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            assert_eq!(breaker.judge(crashed()), crashed());
            assert_eq!(breaker.judge(crashed()), crashed());
            assert_eq!(breaker.judge(crashed()), crash_loop());
            pauses.push(breaker.left());
        }
        assert_eq!(pauses, [seconds(30), seconds(60), seconds(100), seconds(100)]);
        tokio::time::advance(seconds(100)).await;
        assert_eq!(breaker.left(), Duration::ZERO);
        assert_eq!(breaker.judge(Ok(())), Ok(()));
        for _ in 0..3 {
            breaker.judge(crashed()).ok();
        }
        assert_eq!(breaker.left(), seconds(30));
    }

    #[tokio::test(start_paused = true)]
    async fn i5_without_a_place_for_temporary_files_the_pauses_grow() {
        let seconds = Duration::from_secs;
        let mut breaker = CrashLoopBreaker::new(3, seconds(10), seconds(30));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let no_tmpdir = requeued(RequeueReason::NoTmpdir("full".into()));
            assert_eq!(breaker.judge(no_tmpdir.clone()), no_tmpdir);
            pauses.push(breaker.left());
        }
        assert_eq!(pauses, [10, 20, 30, 30].map(seconds));
    }

    #[test]
    fn the_third_guard_in_a_row_is_not_lost_by_chance() {
        let mut breaker = CrashLoopBreaker::new(3, Duration::ZERO, Duration::ZERO);
        let lost = || requeued(RequeueReason::GuardLost);
        let failed = Err(Incomplete::Failed(format!(
            "{}, time after time: does it kill its parent?",
            RequeueReason::GuardLost
        )));
        for _ in 0..2 {
            assert_eq!(breaker.judge(lost()), lost());
            let cannot = requeued(RequeueReason::CannotStart("no memory".into()));
            assert_eq!(breaker.judge(cannot.clone()), cannot);
            assert_eq!(breaker.judge(lost()), lost());
            assert_eq!(breaker.judge(lost()), failed);
        }
    }

    #[test]
    fn what_loses_one_guard_after_the_other_is_no_crash_loop_of_the_node() {
        let mut breaker = CrashLoopBreaker::new(3, Duration::ZERO, Duration::ZERO);
        let lost = || requeued(RequeueReason::GuardLost);
        for outcome in [crashed(), crashed(), lost(), lost(), crashed()] {
            assert_eq!(breaker.judge(outcome.clone()), outcome);
        }
    }

    #[test]
    fn a_program_that_ran_ends_the_row_and_a_limit_of_zero_never_trips() {
        let mut breaker = CrashLoopBreaker::new(2, Duration::ZERO, Duration::ZERO);
        let failed = || Err(Incomplete::Failed("exit code 1".into()));
        assert_eq!(breaker.judge(crashed()), crashed());
        breaker.judge(Err(Incomplete::Aborted(AbortReason::Shutdown))).ok();
        assert_eq!(breaker.judge(crashed()), crash_loop());
        assert_eq!(breaker.judge(crashed()), crashed());
        assert_eq!(breaker.judge(failed()), failed());
        assert_eq!(breaker.judge(crashed()), crashed());
        let mut never = CrashLoopBreaker::new(0, Duration::ZERO, Duration::ZERO);
        for _ in 0..9 {
            assert_eq!(never.judge(crashed()), crashed());
        }
    }
}
