// SPDX-License-Identifier: GPL-3.0-or-later

//! Tasks that come again at once although the Manager was told what became of them: pure, but for the clock.
//!
//! A database that was put back, or a Manager that takes an outcome and forgets it, hands the same tasks out for as long as
//! we ask: one of them, or hundreds in turn. Each may be run again, as a person may want just that, but not a hundred times
//! a minute and without a word. A job that a person queues again comes once more as a whole, after a while in which there
//! was nothing to do or something new, and is not slowed.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::abort::AbortReason;
use crate::outcome::{Incomplete, Outcome};
use crate::protocol::Id;

/// So many tasks are remembered, of some 100 bytes each.
const REMEMBERED: usize = 1000;

/// A task that comes later than this after its end was queued again by a person, unless nothing but such tasks has come
/// since, each as soon as this after the one before: then it is one of many in turn.
const AT_ONCE: Duration = Duration::from_secs(30);

/// A task that comes back once is no loop yet.
const BY_CHANCE: u32 = 1;

#[derive(Debug)]
pub(super) struct RepeatLimit {
    min: Duration,
    max: Duration,
    /// The newest last.
    ended: VecDeque<EndedTask>,
    /// Counts the unbroken rows of tasks that came back at once, whichever they were.
    row: u64,
}

/// A task whose run here is over.
#[derive(Debug)]
struct EndedTask {
    task: Id,
    ended: Instant,
    /// In which row.
    row: u64,
    /// How often in a row it came back at once.
    times: u32,
}

/// What is remembered, as it travels: the tasks that ended, how long ago, in which row and how often they came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedRepeats {
    ended: Vec<(Id, Duration, u64, u32)>,
    row: u64,
}

impl RepeatLimit {
    pub(super) fn hand_over(&self) -> HandedRepeats {
        let ended = self.ended.iter();
        HandedRepeats {
            ended: ended
                .map(|one| (one.task.clone(), one.ended.elapsed(), one.row, one.times))
                .collect(),
            row: self.row,
        }
    }

    /// Goes on remembering.
    pub(super) fn take_over(self, handed: HandedRepeats) -> Self {
        let now = Instant::now();
        let ended = handed.ended.into_iter().map(|(task, ago, row, times)| EndedTask {
            task,
            ended: now.checked_sub(ago).unwrap_or(now),
            row,
            times,
        });
        Self {
            ended: ended.collect(),
            row: handed.row,
            ..self
        }
    }

    /// The shortest and the longest pause.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            ended: VecDeque::new(),
            row: 0,
        }
    }

    /// A task was handed out: how long to wait before it is run, if it is one that keeps coming.
    pub(super) fn handed_out(&mut self, task: &Id) -> Option<Duration> {
        let known = self.ended.iter().position(|ended| ended.task == *task);
        if known.is_none() || !self.ended.back().is_some_and(EndedTask::is_fresh) {
            self.row += 1;
        }
        let ended = self.ended.get_mut(known?)?;
        ended.times = match ended.is_fresh() || ended.row == self.row {
            true => ended.times.saturating_add(1),
            false => 0,
        };
        let beyond = ended.times.checked_sub(BY_CHANCE + 1)?;
        Some(growing(self.min, beyond, self.max))
    }

    /// A run is over. What was handed back, or cut short by a stop of ours, comes back rightly.
    pub(super) fn note(&mut self, task: &Id, outcome: &Outcome) {
        match outcome {
            Ok(()) | Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => {}
            Err(Incomplete::Aborted(AbortReason::Reassigned | AbortReason::ManagerStopped(_))) => {}
            Err(Incomplete::Aborted(_) | Incomplete::Requeued(_)) => return,
        }
        let known = self.ended.iter().position(|ended| ended.task == *task);
        let times = known
            .and_then(|at| self.ended.remove(at))
            .map_or(0, |ended| ended.times);
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedTask {
            task: task.clone(),
            ended: Instant::now(),
            row: self.row,
            times,
        });
    }
}

impl EndedTask {
    /// Whether it ended just now.
    fn is_fresh(&self) -> bool {
        self.ended.elapsed() <= AT_ONCE
    }
}

/// `min`, doubled so many times, and at most `max`.
pub(super) fn growing(min: Duration, doublings: u32, max: Duration) -> Duration {
    min.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        text.to_owned().try_into().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn i10_the_pause_grows_from_the_second_time_on_and_ends_when_it_stays_away() {
        let seconds = Duration::from_secs;
        let mut repeats = RepeatLimit::new(seconds(10), seconds(60));
        let task = id("t");
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pauses.push(repeats.handed_out(&task).map(|pause| pause.as_secs()));
            repeats.note(&task, &Ok(()));
        }
        assert_eq!(pauses, [None, None, Some(10), Some(20), Some(40), Some(60), Some(60)]);
        assert_eq!(repeats.handed_out(&id("other")), None);
        tokio::time::advance(seconds(31)).await;
        assert_eq!(repeats.handed_out(&task), None, "queued again by a person");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_handed_back_or_stopped_here_comes_back_rightly() {
        let mut repeats = RepeatLimit::new(Duration::from_secs(10), Duration::from_secs(60));
        for _ in 0..9 {
            repeats.note(&id("t"), &Err(Incomplete::Aborted(AbortReason::Shutdown)));
            assert_eq!(repeats.handed_out(&id("t")), None);
        }
        for n in 0..3000 {
            repeats.note(&id(&format!("t{n}")), &Ok(()));
        }
        assert_eq!(repeats.ended.len(), REMEMBERED);
    }

    /// Runs so many tasks in turn, each for a second. Answers with the pauses of each of so many rounds.
    async fn rounds(repeats: &mut RepeatLimit, tasks: usize, rounds: usize) -> Vec<Vec<Duration>> {
        let mut pauses = vec![Vec::new(); rounds];
        for pauses in &mut pauses {
            for n in 0..tasks {
                let task = id(&format!("t{n}"));
                let pause = repeats.handed_out(&task);
                tokio::time::advance(pause.unwrap_or_default() + Duration::from_secs(1)).await;
                repeats.note(&task, &Ok(()));
                pauses.extend(pause);
            }
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn i10_many_tasks_that_come_in_turn_are_slowed_as_one_is() {
        for tasks in [1, 2, 17, 29, 100, REMEMBERED] {
            let mut repeats = RepeatLimit::new(Duration::from_secs(10), Duration::from_secs(60));
            let pauses = rounds(&mut repeats, tasks, 6).await;
            assert!(pauses[..2].concat().is_empty(), "{tasks} tasks");
            for (round, pauses) in pauses.iter().enumerate().skip(3) {
                assert_eq!(pauses.len(), tasks, "round {round} of {tasks} tasks");
            }
            assert!(pauses[5].iter().all(|pause| *pause >= Duration::from_secs(20)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn i10_a_job_that_a_person_queues_again_and_again_is_not_slowed() {
        let mut repeats = RepeatLimit::new(Duration::from_secs(10), Duration::from_secs(60));
        for _ in 0..5 {
            assert!(rounds(&mut repeats, 100, 2).await.concat().is_empty(), "after a while");
            tokio::time::advance(AT_ONCE + Duration::from_secs(1)).await;
        }
        for n in 0..9 {
            assert!(
                rounds(&mut repeats, 100, 1).await.concat().is_empty(),
                "after another task"
            );
            repeats.handed_out(&id(&format!("other{n}")));
            repeats.note(&id("other"), &Ok(()));
        }
    }
}
