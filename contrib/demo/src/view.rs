// SPDX-License-Identifier: GPL-3.0-or-later
//! A worker as one line, from whichever Manager: its name, its state in words, its task, and what is asked of it.
//!
//! ```text
//!   demo-worker-1  awake    ▕████▌     ▏ turn-3, step 8 of 18; then sleeps
//!   demo-worker-2  asleep   told to restart
//! ```

use standin_manager::{RequestedAction, Snapshot, TaskStatus, When, WorkerStatus};

use console::{StyledObject, style};

use crate::show::{Bar, Line, tame};

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) work: Option<Work>,
    pub(crate) requested: Option<RequestedAction>,
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was started, and the Manager has not seen it yet.
    Unseen,
    /// As the Manager has it.
    Known(WorkerStatus),
    /// Its process has ended and no other follows: how.
    Left(String),
}

/// The task it works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) task: String,
    pub(crate) done: i64,
    /// 1 or less: it does not count its steps.
    pub(crate) total: i64,
}

impl Row {
    /// The worker of this name as the stand-in knows it.
    pub(crate) fn of(snapshot: &Snapshot<'_>, name: &str) -> Self {
        let worker = snapshot.worker_named(name);
        let active = worker.and_then(|worker| {
            let jobs = snapshot.jobs();
            let mut tasks = jobs.flat_map(|job| snapshot.tasks(&job.id));
            tasks.find(|task| task.status == TaskStatus::Active && task.worker.as_deref() == Some(&worker.id))
        });
        Self {
            name: name.to_owned(),
            state: worker.map_or(State::Unseen, |worker| State::Known(worker.status)),
            work: active.map(|task| Work {
                task: task.name.clone(),
                done: task.steps_completed,
                total: task.steps_total,
            }),
            requested: worker.and_then(|worker| worker.requested),
        }
    }

    /// What is said where nothing is drawn over: the steps are left out, or there would be a line for each.
    pub(crate) fn sentence(&self) -> String {
        let pieces = [Some(self.state()), self.work.as_ref().map(Work::name), self.request()];
        let words: Vec<_> = pieces.into_iter().flatten().collect();
        format!("{}: {}", self.name, words.join(", "))
    }

    /// With names padded to one width.
    pub(crate) fn line(&self, name_width: usize, bars: bool) -> Line {
        let name = style(format!("  {:<name_width$}  ", self.name)).bold();
        let counted = self.work.as_ref().filter(|work| bars && work.counts());
        let mut text = self.work.as_ref().map(Work::in_words).unwrap_or_default();
        if let Some(request) = self.request() {
            let joint = if self.work.is_some() { "; " } else { "" };
            text += &style(format!("{joint}{request}")).cyan().to_string();
        }
        Line {
            start: format!("{name}{}", self.coloured(format!("{:<8} ", self.state()))),
            bar: counted.map(|work| Bar::small(steps(work.done), steps(work.total))),
            text,
        }
    }

    fn state(&self) -> String {
        match &self.state {
            State::Unseen => "starting".to_owned(),
            State::Left(how) => how.clone(),
            State::Known(status) => match status {
                WorkerStatus::Unset | WorkerStatus::Starting => "starting",
                WorkerStatus::Awake => "awake",
                WorkerStatus::Asleep => "asleep",
                WorkerStatus::Error => "in error",
                WorkerStatus::Testing => "testing",
                WorkerStatus::Offline => "offline",
                WorkerStatus::Restart => "restarting",
            }
            .to_owned(),
        }
    }

    fn coloured(&self, text: String) -> StyledObject<String> {
        let text = style(text);
        match &self.state {
            State::Known(WorkerStatus::Awake) => text.green(),
            State::Known(WorkerStatus::Error) => text.red(),
            State::Unseen | State::Left(_) | State::Known(_) => text.dim(),
        }
    }

    /// For a worker that is offline, what the Manager keeps is no request but what the worker is to come back to.
    fn request(&self) -> Option<String> {
        match self.state {
            State::Unseen | State::Left(_) | State::Known(WorkerStatus::Offline) => return None,
            State::Known(_) => {}
        }
        let RequestedAction { status, when } = self.requested?;
        let (verb, later) = match status {
            WorkerStatus::Asleep => ("sleep", "sleeps"),
            WorkerStatus::Awake => ("wake up", "wakes up"),
            WorkerStatus::Restart => ("restart", "restarts"),
            WorkerStatus::Offline => ("shut down", "shuts down"),
            WorkerStatus::Unset | WorkerStatus::Starting | WorkerStatus::Error | WorkerStatus::Testing => {
                return Some(format!("told to be {status}"));
            }
        };
        Some(match (when, &self.work) {
            (When::AfterTask, Some(_)) => format!("then {later}"),
            (When::AfterTask, None) | (When::Now, _) => format!("told to {verb}"),
        })
    }
}

impl Work {
    fn counts(&self) -> bool {
        self.total > 1
    }

    fn name(&self) -> String {
        tame(&self.task)
    }

    fn in_words(&self) -> String {
        if self.counts() {
            format!("{}, step {} of {}", self.name(), self.done, self.total)
        } else {
            self.name()
        }
    }
}

/// Steps as a bar takes them: a Manager's count can be anything.
pub(crate) fn steps(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;

    use super::*;

    fn row(status: WorkerStatus) -> Row {
        Row {
            name: "w-1".to_owned(),
            state: State::Known(status),
            work: None,
            requested: None,
        }
    }

    /// Without the colours that a terminal gets.
    fn text(line: &Line) -> String {
        strip_ansi_codes(&format!("{}{}", line.start, line.text)).into_owned()
    }

    fn asked(status: WorkerStatus, when: When) -> Option<RequestedAction> {
        Some(RequestedAction { status, when })
    }

    #[test]
    fn a_worker_at_work_has_its_task_its_step_and_what_is_asked_of_it() {
        let mut row = row(WorkerStatus::Awake);
        row.work = Some(Work {
            task: "turn-3".to_owned(),
            done: 9,
            total: 18,
        });
        row.requested = asked(WorkerStatus::Asleep, When::AfterTask);
        assert_eq!(
            text(&row.line(4, false)),
            "  w-1   awake    turn-3, step 9 of 18; then sleeps"
        );
        assert_eq!(row.line(4, true).bar, Some(Bar::small(9, 18)));
        assert_eq!(row.line(4, false).bar, None);
        assert_eq!(row.sentence(), "w-1: awake, turn-3, then sleeps");
        row.requested = asked(WorkerStatus::Restart, When::Now);
        assert!(text(&row.line(4, false)).ends_with("; told to restart"));
    }

    #[test]
    fn what_an_offline_worker_is_to_come_back_to_is_no_request() {
        let mut row = row(WorkerStatus::Offline);
        row.requested = asked(WorkerStatus::Awake, When::Now);
        assert_eq!(row.sentence(), "w-1: offline");
        row.state = State::Known(WorkerStatus::Asleep);
        assert_eq!(row.sentence(), "w-1: asleep, told to wake up");
        row.requested = asked(WorkerStatus::Offline, When::AfterTask);
        assert_eq!(row.sentence(), "w-1: asleep, told to shut down");
    }

    #[test]
    fn a_task_without_steps_has_none_and_a_hostile_name_is_tamed() {
        let mut row = row(WorkerStatus::Awake);
        row.work = Some(Work {
            task: "\x1b[2Jx\n".to_owned(),
            done: 0,
            total: 1,
        });
        assert_eq!(text(&row.line(3, true)), "  w-1  awake    x·");
    }
}
