// SPDX-License-Identifier: GPL-3.0-or-later

//! How often in a row this node may have been to blame: pure, but for the clock.
//!
//! Three tasks in a row whose program cannot be started, or crashes at once, say more about the node than about the
//! tasks, if the trouble is the same each time: a share that is not mounted, a broken driver. Three troubles are three
//! bad tasks. The last of them is handed back instead of failed, so that the Manager neither fails its job nor
//! block-lists this worker, and nothing is taken for a while. After that the count starts anew: a task that is bad
//! everywhere still fails, two times out of three.
//!
//! A lost guard is the other way round. It says nothing of the task, which is run again at once; but a program that
//! kills its parent would be run for ever, many times a second, so the third in a row is a failure.

use std::time::Duration;

use tokio::time::Instant;

use crate::task::{HandBack, Outcome, Repute};

/// So many guards in a row are not lost by chance.
const LOST_BY_CHANCE: u32 = 2;

#[derive(Debug)]
pub(super) struct Strikes {
    /// 0: never mind.
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

impl Strikes {
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

    /// How the next task's failure is to be taken.
    pub(super) fn repute(&self) -> Repute {
        if self.guards_lost >= LOST_BY_CHANCE {
            Repute::Unguarded
        } else if self.limit > 0 && self.in_a_row + 1 >= self.limit {
            Repute::Doubtful(self.trouble.clone())
        } else {
            Repute::Good
        }
    }

    pub(super) fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::HandedBack(HandBack::GuardLost) => self.guards_lost += 1,
            Outcome::Aborted(_) | Outcome::HandedBack(_) => {}
            Outcome::Completed | Outcome::Failed(_) | Outcome::Unwell(_) => self.guards_lost = 0,
        }
        match outcome {
            Outcome::Completed => (self.in_a_row, self.pause) = (0, self.min),
            // Its program ran.
            Outcome::Failed(_) => self.in_a_row = 0,
            Outcome::Unwell(why) if *why == self.trouble => self.in_a_row += 1,
            Outcome::Unwell(why) => (self.in_a_row, self.trouble) = (1, why.clone()),
            Outcome::HandedBack(HandBack::Strikes(_)) => {
                self.in_a_row = 0;
                self.rest();
            }
            Outcome::HandedBack(HandBack::NoTmpdir(_)) => self.rest(),
            Outcome::Aborted(_) | Outcome::HandedBack(_) => {}
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

    fn unwell() -> Outcome {
        Outcome::Unwell("no such program".into())
    }

    fn struck() -> Outcome {
        Outcome::HandedBack(HandBack::Strikes("no such program".into()))
    }

    fn doubtful() -> Repute {
        Repute::Doubtful("no such program".into())
    }

    #[test]
    fn three_troubles_in_a_row_are_three_bad_tasks() {
        let mut strikes = Strikes::new(3, Duration::ZERO, Duration::ZERO);
        for why in ["no such program", "not executable", "SIGSEGV", "no such program"] {
            strikes.note(&Outcome::Unwell(why.into()));
            assert_eq!(strikes.repute(), Repute::Good, "{why}");
        }
        strikes.note(&unwell());
        assert_eq!(strikes.repute(), doubtful());
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_in_a_row_pauses_and_the_pause_doubles_until_a_task_succeeds() {
        let seconds = Duration::from_secs;
        let mut strikes = Strikes::new(3, seconds(30), seconds(100));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            strikes.note(&unwell());
            assert_eq!(strikes.repute(), Repute::Good);
            strikes.note(&unwell());
            assert_eq!(strikes.repute(), doubtful());
            strikes.note(&struck());
            assert_eq!(strikes.repute(), Repute::Good);
            pauses.push(strikes.left());
        }
        assert_eq!(pauses, [seconds(30), seconds(60), seconds(100), seconds(100)]);
        tokio::time::advance(seconds(100)).await;
        assert_eq!(strikes.left(), Duration::ZERO);
        strikes.note(&Outcome::Completed);
        strikes.note(&struck());
        assert_eq!(strikes.left(), seconds(30));
    }

    #[tokio::test(start_paused = true)]
    async fn i5_without_a_place_for_temporary_files_the_pauses_grow() {
        let seconds = Duration::from_secs;
        let mut strikes = Strikes::new(3, seconds(10), seconds(30));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            strikes.note(&Outcome::HandedBack(HandBack::NoTmpdir("full".into())));
            pauses.push(strikes.left());
        }
        assert_eq!(pauses, [10, 20, 30, 30].map(seconds));
    }

    #[test]
    fn the_third_guard_in_a_row_is_not_lost_by_chance() {
        let mut strikes = Strikes::new(3, Duration::ZERO, Duration::ZERO);
        let lost = Outcome::HandedBack(HandBack::GuardLost);
        strikes.note(&lost);
        strikes.note(&Outcome::HandedBack(HandBack::CannotStart("no memory".into())));
        assert_eq!(strikes.repute(), Repute::Good);
        strikes.note(&lost);
        assert_eq!(strikes.repute(), Repute::Unguarded);
        strikes.note(&Outcome::Failed("lost".into()));
        assert_eq!(strikes.repute(), Repute::Good);
    }

    #[test]
    fn a_program_that_ran_ends_the_row_and_a_limit_of_zero_never_doubts() {
        let mut strikes = Strikes::new(2, Duration::ZERO, Duration::ZERO);
        strikes.note(&unwell());
        strikes.note(&Outcome::Aborted(crate::abort::AbortReason::Shutdown));
        assert_eq!(strikes.repute(), doubtful());
        strikes.note(&Outcome::Failed("exit code 1".into()));
        assert_eq!(strikes.repute(), Repute::Good);
        let mut never = Strikes::new(0, Duration::ZERO, Duration::ZERO);
        never.note(&unwell());
        assert_eq!(never.repute(), Repute::Good);
    }
}
