// SPDX-License-Identifier: GPL-3.0-or-later

//! The status of the worker, in a line for somebody who asks the service manager: pure, but for the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::State;
use crate::abort::AbortReason;
use crate::bounded;
use crate::progress::{Progress, Unit};
use crate::protocol::AssignedTask;

/// So much of a task's name is shown, in bytes.
const LONGEST_NAME: usize = 200;

/// The status as the worker itself has it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    state: State,
    task: Option<RunningTask>,
    /// When the last task ended.
    last_task: Option<Instant>,
}

/// The task that runs.
#[derive(Debug, Clone)]
struct RunningTask {
    phase: TaskPhase,
    id: String,
    name: String,
    /// As it was handed out: nothing is done.
    progress: Progress,
}

/// What is decided of the task that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskPhase {
    Running,
    /// It is the last one before we leave.
    Last,
    Ending(AbortReason),
}

/// What others know of it.
#[derive(Debug, Default)]
pub(crate) struct StatusDetails {
    /// How far the running task is; `None` before it has begun to report.
    pub progress: Option<Progress>,
    /// Tasks that are over, and have not told the Manager everything.
    pub waiting: usize,
    /// Why the last call got no answer.
    pub trouble: Option<String>,
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

    /// The id of the task that runs.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_ref().map(|task| task.id.as_str())
    }

    pub(super) fn begin(&mut self, task: &AssignedTask) {
        self.task = Some(RunningTask::new(task));
    }

    pub(super) fn set_phase(&mut self, phase: TaskPhase) {
        let Some(task) = &mut self.task else { return };
        // An end that has begun is not taken back.
        if let (TaskPhase::Ending(_), TaskPhase::Running | TaskPhase::Last) = (&task.phase, &phase) {
            return;
        }
        task.phase = phase;
    }

    pub(super) fn end(&mut self) {
        self.task = None;
        self.last_task = Some(Instant::now());
    }

    /// One line.
    pub(crate) fn line(&self, details: &StatusDetails) -> String {
        let mut line = match (&self.task, &self.state, &details.trouble) {
            (Some(task), _, _) => task.line(details.progress.unwrap_or(task.progress)),
            (None, State::Starting, Some(trouble)) => format!("waiting for {trouble}"),
            (None, State::Starting, None) => "signing on".to_owned(),
            (None, State::Awake, _) => self.idle(),
            (None, State::Asleep(rest), _) => format!("asleep: {rest}"),
            (None, State::Leaving(departure), _) => departure.to_string(),
        };
        line.push_str(&match details.waiting {
            0 => String::new(),
            1 => ", 1 update waiting".to_owned(),
            many => format!(", {many} updates waiting"),
        });
        if let Some(trouble) = &details.trouble
            && (self.task.is_some() || self.state != State::Starting)
        {
            line.push_str(&format!("; no answer from {trouble}"));
        }
        line
    }

    fn idle(&self) -> String {
        match self.last_task {
            Some(last) => format!("idle, last task {} ago", rough(last.elapsed())),
            None => "idle, no task yet".to_owned(),
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
            phase: TaskPhase::Running,
            id: task.uuid.to_string(),
            name: bounded::shorten(name, LONGEST_NAME).into_owned(),
            progress: Progress::of(task),
        }
    }

    fn line(&self, progress: Progress) -> String {
        let (name, all, now) = (&self.name, progress.all, progress.current());
        let what = match (progress.unit, all) {
            (Unit::Frame, 0) => format!("rendering {name}"),
            (Unit::Frame, _) => format!("rendering frame {now} of {all} of {name}"),
            (Unit::Step, 0 | 1) => format!("running {name}"),
            (Unit::Step, _) => format!("running step {now} of {all} of {name}"),
        };
        match &self.phase {
            TaskPhase::Running => what,
            TaskPhase::Last => format!("the last task before leaving: {what}"),
            TaskPhase::Ending(reason) => format!("ending {name}: {reason}"),
        }
    }
}

/// In the largest unit that is full, rounded down.
fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => "less than a minute".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::departure::Departure;
    use crate::protocol::WorkerStatus;
    use crate::worker::SleepReason;

    const RENDERER: &str = "blender-render";

    fn assigned(command: &str, steps: u32) -> AssignedTask {
        let text = format!(
            r#"{{"uuid":"t","job":"j","name":"shot_010","commands":[{{"name":"{command}"}}],"steps_total":{steps}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn task(command: &str, steps: u32) -> Status {
        Status {
            task: Some(RunningTask::new(&assigned(command, steps))),
            ..Status::new(State::Awake)
        }
    }

    fn line(status: &Status) -> String {
        status.line(&StatusDetails::default())
    }

    #[test]
    fn a_task_is_told_with_its_frames_or_steps_and_where_it_goes() {
        let mut render = task(RENDERER, 240);
        let at = |steps, waiting| {
            let mut progress = Progress::of(&assigned(RENDERER, 240));
            (0..steps).for_each(|_| progress.step());
            StatusDetails {
                progress: Some(progress),
                waiting,
                trouble: None,
            }
        };
        let told = render.line(&at(11, 3));
        assert_eq!(told, "rendering frame 12 of 240 of shot_010, 3 updates waiting");
        assert_eq!(render.line(&at(240, 0)), "rendering frame 240 of 240 of shot_010");
        assert_eq!(line(&task(RENDERER, 0)), "rendering shot_010");
        assert_eq!(line(&task("exec", 1)), "running shot_010");
        assert_eq!(line(&task("exec", 5)), "running step 1 of 5 of shot_010");
        render.set_phase(TaskPhase::Last);
        let told = render.line(&at(11, 0));
        assert_eq!(
            told,
            "the last task before leaving: rendering frame 12 of 240 of shot_010"
        );
        render.set_phase(TaskPhase::Ending(AbortReason::Shutdown));
        assert_eq!(line(&render), "ending shot_010: the worker is shutting down");
        render.set_phase(TaskPhase::Last);
        assert_eq!(line(&render), "ending shot_010: the worker is shutting down");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_task_the_state_is_told() {
        let mut idle = Status::new(State::Awake);
        assert_eq!(line(&idle), "idle, no task yet");
        idle.last_task = Some(Instant::now());
        let mut told = Vec::new();
        for seconds in [59, 1, 12 * 60, 3600, 72 * 3600] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            told.push(line(&idle));
        }
        let times = ["less than a minute", "1 min", "13 min", "1 h", "3 days"];
        assert_eq!(told, times.map(|time| format!("idle, last task {time} ago")));
        let asleep = Status::new(State::Asleep(SleepReason::Requested(WorkerStatus::Asleep)));
        assert_eq!(line(&asleep), "asleep: asked by the Manager");
        assert_eq!(line(&Status::new(State::Leaving(Departure::ShutDown))), "shutting down");
    }

    #[test]
    fn an_absent_manager_is_what_a_start_waits_for_and_else_a_remark() {
        let absent = StatusDetails {
            waiting: 1,
            trouble: Some("http://m/: connection refused".into()),
            ..StatusDetails::default()
        };
        assert_eq!(
            Status::new(State::Starting).line(&absent),
            "waiting for http://m/: connection refused, 1 update waiting"
        );
        assert_eq!(
            task("exec", 0).line(&absent),
            "running shot_010, 1 update waiting; no answer from http://m/: connection refused"
        );
    }
}
