// SPDX-License-Identifier: GPL-3.0-or-later

//! The status of the worker, as a snapshot for whoever shows it.

use std::time::Duration;

use jiff::Timestamp;

use super::State;
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
    phase: TaskPhase,
    id: String,
    name: String,
    job: String,
    since: Timestamp,
    /// Since when its programs stand still.
    paused: Option<Timestamp>,
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
            (Some(task), _) => Some(match task.phase {
                TaskPhase::Running | TaskPhase::Last => Activity::Running,
                TaskPhase::Ending(_) => Activity::Ending,
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
            phase: TaskPhase::Running,
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
            is_last: self.phase == TaskPhase::Last,
            ending: match &self.phase {
                TaskPhase::Running | TaskPhase::Last => None,
                TaskPhase::Ending(reason) => Some(shorten_message(reason.to_string())),
            },
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

    fn details() -> StatusDetails {
        StatusDetails {
            identity: Identity {
                name: "node-07".into(),
                pid: 123,
                version: "0.1.0 (commit x)".into(),
                home: "/h".into(),
                manager: Some("http://m/".into()),
                started: Timestamp::UNIX_EPOCH,
            },
            progress: None,
            processes_left: Vec::new(),
            warm_blender: None,
            pause: None,
            waiting: 0,
            trouble: None,
            since_answer: None,
        }
    }

    fn line(status: &Status) -> String {
        status.snapshot(details()).line()
    }

    fn activity(status: &Status) -> Option<Activity> {
        status.snapshot(details()).activity
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_told_with_its_frames_or_steps_and_where_it_goes() {
        let mut render = task(RENDERER, 240);
        let mut progress = Progress::of(&assigned(RENDERER, 240));
        for _ in 0..11 {
            tokio::time::advance(Duration::from_millis(3250)).await;
            progress.step();
        }
        let at = |progress, waiting| StatusDetails {
            progress: Some(progress),
            waiting,
            since_answer: Some(Duration::from_secs(2)),
            ..details()
        };
        let told = render.snapshot(at(progress, 3));
        let line = "rendering frame 12 of 240 of shot_010, 3.2 s each, about 13 min left, 3 updates waiting";
        assert_eq!(told.line(), line);
        assert_eq!(
            told.whole_line(),
            format!("node-07 (pid 123, 0.1.0): {line}; Manager answered 2 s ago")
        );
        (0..300).for_each(|_| progress.step());
        let told = render.snapshot(at(progress, 0)).line();
        assert!(told.starts_with("rendering frame 240 of 240 of shot_010, "), "{told}");
        assert_eq!(self::line(&task(RENDERER, 0)), "rendering shot_010");
        assert_eq!(self::line(&task("exec", 1)), "running shot_010");
        assert_eq!(self::line(&task("exec", 5)), "running step 1 of 5 of shot_010");
        render.set_phase(TaskPhase::Last);
        assert_eq!(
            self::line(&render),
            "the last task before leaving: rendering frame 1 of 240 of shot_010"
        );
        assert_eq!(activity(&render), Some(Activity::Running));
        render.set_phase(TaskPhase::Ending(AbortReason::Shutdown));
        render.set_phase(TaskPhase::Last);
        assert_eq!(self::line(&render), "ending shot_010: the worker is shutting down");
        assert_eq!(activity(&render), Some(Activity::Ending));
    }

    #[test]
    fn without_a_task_the_state_is_told() {
        let mut idle = Status::new(State::Awake);
        assert_eq!(line(&idle), "idle, no task yet");
        idle.end();
        let told = [0, 60, 13 * 60 + 5, 3601, 73 * 3600].map(|seconds| {
            let mut later = idle.snapshot(details());
            later.time += Duration::from_secs(seconds);
            later.line()
        });
        let times = ["less than a minute", "1 min", "13 min", "1 h", "3 days"];
        assert_eq!(told, times.map(|time| format!("idle, last task {time} ago")));
        let kept = StatusDetails {
            warm_blender: serde_json::from_str(
                r#"{"warm": 11, "cold": 1, "kept": {"pid": 5, "job": "j", "tasks": 12, "memory": 1}}"#,
            )
            .unwrap(),
            ..details()
        };
        assert_eq!(
            idle.snapshot(kept).line(),
            "idle, last task less than a minute ago, its Blender is kept (pid 5, 12 tasks)"
        );
        let asleep = Status::new(State::Asleep(SleepReason::Requested(WorkerStatus::Asleep)));
        assert_eq!(line(&asleep), "asleep: asked by the Manager");
        assert_eq!(line(&Status::new(State::Leaving(Departure::ShutDown))), "shutting down");
    }

    #[test]
    fn j12_idle_is_said_only_where_nothing_of_a_task_can_live() {
        let leaving = State::Leaving(Departure::Signalled);
        for unknown in [State::Starting, leaving] {
            assert_eq!(activity(&Status::new(unknown)), None);
        }
        for state in [State::Awake, State::Asleep(SleepReason::Local)] {
            let status = Status::new(state);
            assert_eq!(activity(&status), Some(Activity::Idle));
            let left = status.snapshot(StatusDetails {
                processes_left: (1..100).map(|pid| Stray { pid, name: "x".into() }).collect(),
                ..details()
            });
            assert_eq!(left.activity, Some(Activity::Ending));
            assert_eq!(left.processes_left.len(), MOST_PROCESSES);
            assert!(!left.line().contains("idle"), "{}", left.line());
        }
    }

    #[test]
    fn an_absent_manager_is_what_a_start_waits_for_and_else_a_remark() {
        let absent = || StatusDetails {
            waiting: 1,
            trouble: Some("http://m/: connection refused".into()),
            since_answer: Some(Duration::from_secs(600)),
            ..details()
        };
        assert_eq!(
            Status::new(State::Starting).snapshot(absent()).line(),
            "waiting for http://m/: connection refused, 1 update waiting"
        );
        let running = task("exec", 0).snapshot(absent());
        let told = "running shot_010, 1 update waiting; no answer from http://m/: connection refused";
        assert_eq!(running.line(), told);
        assert_eq!(running.whole_line(), format!("node-07 (pid 123, 0.1.0): {told}"));
    }

    #[test]
    fn a_manager_that_is_searched_for_is_waited_for_and_does_not_fail_to_answer() {
        let mut searching = details();
        searching.identity.manager = None;
        searching.trouble = Some("a Manager to answer on the networks".into());
        let told = "asleep: asked on this machine; waiting for a Manager to answer on the networks";
        let asleep = Status::new(State::Asleep(SleepReason::Local)).snapshot(searching);
        assert_eq!(asleep.line(), told);
    }

    #[test]
    fn a_snapshot_is_the_same_after_its_way_as_json_and_has_every_name() {
        let status = task(RENDERER, 240);
        let said = serde_json::to_value(status.snapshot(details())).unwrap();
        assert_eq!(said["task"]["unit"], "frame");
        assert_eq!((&said["task"]["done"], &said["task"]["of"]), (&0.into(), &240.into()));
        for nothing in ["why", "last_task_ended", "warm_blender", "trouble", "last_contact"] {
            assert!(said.as_object().unwrap().get(nothing).unwrap().is_null(), "{nothing}");
        }
        let read: Snapshot = serde_json::from_value(said.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), said);
        assert_eq!(read.identity, details().identity);
    }
}
