// SPDX-License-Identifier: GPL-3.0-or-later

//! When what happened to the last task: what is measured spans two tasks.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// When what happened to the last task.
#[derive(Debug, Default)]
pub(super) struct TaskClock {
    /// A task was handed out, and no program of it has run yet.
    handed_out: Cell<Option<Instant>>,
    /// The last program ended, and there was something to do ever since.
    program_ended: Cell<Option<Instant>>,
}

/// What the start of a program ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    /// For the first program of a task.
    pub(super) since_handed_out: Option<Duration>,
    /// For the first program of a task that came right after another.
    pub(super) since_last_program: Option<Duration>,
}

impl TaskClock {
    pub(super) fn task_handed_out(&self) {
        self.handed_out.set(Some(Instant::now()));
    }

    pub(super) fn program_started(&self) -> Pauses {
        match self.handed_out.take() {
            Some(handed_out) => Pauses {
                since_handed_out: Some(handed_out.elapsed()),
                since_last_program: self.program_ended.take().map(|ended| ended.elapsed()),
            },
            None => Pauses::default(),
        }
    }

    pub(super) fn program_ended(&self) {
        self.program_ended.set(Some(Instant::now()));
    }

    /// One without a program is no pause between two programs.
    pub(super) fn task_ended(&self) {
        if self.handed_out.take().is_some() {
            self.without_task();
        }
    }

    pub(super) fn without_task(&self) {
        self.program_ended.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_first_program_of_a_task_that_came_at_once_ends_a_pause() {
        let clock = TaskClock::default();
        let pass = async || tokio::time::advance(Duration::from_secs(1)).await;
        let seconds = |handed_out: u64, last: Option<u64>| Pauses {
            since_handed_out: Some(Duration::from_secs(handed_out)),
            since_last_program: last.map(Duration::from_secs),
        };
        let program = async || {
            let started = clock.program_started();
            pass().await;
            clock.program_ended();
            started
        };
        clock.task_handed_out();
        pass().await;
        assert_eq!(program().await, seconds(1, None));
        assert_eq!(program().await, Pauses::default());
        clock.task_ended();
        pass().await;
        clock.task_handed_out();
        pass().await;
        assert_eq!(program().await, seconds(1, Some(2)));
        clock.task_ended();
        clock.without_task();
        clock.task_handed_out();
        assert_eq!(program().await, seconds(0, None));
        clock.task_ended();
        // One that copies a file.
        clock.task_handed_out();
        clock.task_ended();
        clock.task_handed_out();
        assert_eq!(program().await, seconds(0, None));
    }
}
