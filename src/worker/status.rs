// SPDX-License-Identifier: GPL-3.0-or-later

//! The status of the worker, as a snapshot for whoever shows it.

use std::time::Duration;

use jiff::Timestamp;

use super::{SleepReason, State};
use crate::abort::AbortReason;
use crate::bounded::{shorten, shorten_message};
use crate::clock;
use crate::pause::Pause;
use crate::process::Stray;
use crate::progress::Progress;
use crate::protocol::AssignedTask;
use crate::snapshot::{Activity, Identity, Snapshot, TaskSnapshot};
use crate::warm::WarmStatus;

/// So much of a task's name is shown, in bytes.
const LONGEST_NAME: usize = 200;

/// So many of the processes are named that are left of a task.
const MOST_PROCESSES: usize = 20;

/// The status as the worker itself has it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    state: State,
    task: Option<RunningTask>,
    /// When the last task ended.
    pub(super) last_task: Option<Timestamp>,
}

/// The task that runs.
#[derive(Debug, Clone)]
struct RunningTask {
    /// Why it is being ended.
    ending: Option<AbortReason>,
    /// The state to go to after it.
    after: State,
    id: String,
    name: String,
    job: String,
    since: Timestamp,
    /// Since when its programs stand still.
    paused: Option<Timestamp>,
    /// As it was handed out: nothing is done.
    progress: Progress,
}

/// What others know of it.
#[derive(Debug)]
pub(crate) struct StatusDetails {
    /// Which worker this is.
    pub identity: Identity,
    /// How far the running task is; `None` before it has begun to report.
    pub progress: Option<Progress>,
    /// Processes of tasks that are over.
    pub processes_left: Vec<Stray>,
    /// The Blender that is kept between tasks.
    pub warm_blender: Option<WarmStatus>,
    /// Tasks that are over, and have not told the Manager everything.
    pub waiting: usize,
    /// That this machine is not for tasks.
    pub pause: Option<Pause>,
    /// Why the last call got no answer.
    pub trouble: Option<String>,
    /// The time since the last answer.
    pub since_answer: Option<Duration>,
}

impl Status {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            task: None,
            last_task: None,
        }
    }

    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
    }

    /// What the worker is.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The id of the task that runs.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_ref().map(|task| task.id.as_str())
    }

    pub(super) fn begin(&mut self, task: &AssignedTask) {
        self.task = Some(RunningTask::new(task));
    }

    /// A task runs that was handed out so long ago.
    pub(super) fn go_on(&mut self, task: &AssignedTask, took: Duration) {
        self.begin(task);
        if let Some(running) = &mut self.task {
            running.since = running.since.saturating_sub(in_millis(took)).unwrap_or(running.since);
        }
    }

    /// The programs of the task stand still since so long ago, or do not any more.
    pub(super) fn stand_still(&mut self, since: Option<Duration>) {
        if let Some(running) = &mut self.task {
            let now = now();
            running.paused = since.map(|ago| now.saturating_sub(in_millis(ago)).unwrap_or(now));
        }
    }

    /// The task is being ended.
    pub(super) fn set_ending(&mut self, reason: AbortReason) {
        if let Some(task) = &mut self.task {
            task.ending = Some(reason);
        }
    }

    /// Where to go after the task.
    pub(super) fn set_after(&mut self, after: State) {
        if let Some(task) = &mut self.task {
            task.after = after;
        }
    }

    pub(super) fn end(&mut self) {
        self.task = None;
        self.last_task = Some(now());
    }

    /// What the worker does now.
    pub(crate) fn snapshot(&self, mut details: StatusDetails) -> Snapshot {
        let time = now();
        details.processes_left.truncate(MOST_PROCESSES);
        let before = |ago: Duration| time.saturating_sub(in_millis(ago)).unwrap_or(time);
        Snapshot {
            state: self.state.kind(),
            activity: self.activity(&details),
            why: self.why().map(shorten_message),
            task: self.task.as_ref().map(|task| task.snapshot(details.progress, time)),
            last_task_ended: self.last_task,
            processes_left: details.processes_left,
            warm_blender: details.warm_blender,
            paused: details.pause,
            updates_waiting: details.waiting,
            trouble: details.trouble.map(shorten_message),
            last_contact: details.since_answer.map(before),
            identity: details.identity,
            time,
        }
    }

    fn why(&self) -> Option<String> {
        match &self.state {
            State::Starting | State::Awake | State::HandingOver(_) => None,
            State::Asleep(reason) => Some(reason.to_string()),
            State::Leaving(departure) => Some(departure.to_string()),
        }
    }

    /// A start may be left while it ends what an earlier worker left: only a state that comes after it knows that nothing is.
    fn activity(&self, details: &StatusDetails) -> Option<Activity> {
        match (&self.task, &self.state) {
            (Some(task), _) => Some(match task.ending {
                None => Activity::Running,
                Some(_) => Activity::Ending,
            }),
            (None, _) if !details.processes_left.is_empty() => Some(Activity::Ending),
            (None, State::Awake | State::Asleep(_)) => Some(Activity::Idle),
            (None, State::Starting | State::HandingOver(_) | State::Leaving(_)) => None,
        }
    }
}

impl RunningTask {
    fn new(task: &AssignedTask) -> Self {
        let name = if task.name.is_empty() {
            task.uuid.as_str()
        } else {
            &task.name
        };
        Self {
            ending: None,
            after: State::Awake,
            id: task.uuid.to_string(),
            name: shorten(name, LONGEST_NAME).into_owned(),
            job: shorten(&task.job, LONGEST_NAME).into_owned(),
            since: now(),
            paused: None,
            progress: Progress::of(task),
        }
    }

    fn snapshot(&self, progress: Option<Progress>, time: Timestamp) -> TaskSnapshot {
        let estimate = progress.unwrap_or(self.progress).estimate();
        let end = |left: Duration| time.saturating_add(in_millis(left)).unwrap_or(time);
        TaskSnapshot {
            id: self.id.clone(),
            name: self.name.clone(),
            job: self.job.clone(),
            since: self.since,
            paused_since: self.paused,
            unit: estimate.unit,
            done: estimate.done,
            of: (estimate.all > 0).then_some(estimate.all),
            mean_seconds: estimate.each.map(|each| in_millis(each).as_secs_f64()),
            expected_end: estimate.left.map(end),
            is_last: matches!(self.after, State::Leaving(_)) && self.ending.is_none(),
            sleeps_after: match self.after {
                // Once it goes on the pause is over.
                State::Asleep(SleepReason::Paused(_)) => self.paused.is_none(),
                State::Asleep(_) => true,
                State::Starting | State::Awake | State::HandingOver(_) | State::Leaving(_) => false,
            },
            ending: self.ending.as_ref().map(|reason| shorten_message(reason.to_string())),
        }
    }
}

/// The present time, as exact as anybody needs it.
fn now() -> Timestamp {
    clock::timestamp_of_millis(clock::unix_millis())
}

fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
