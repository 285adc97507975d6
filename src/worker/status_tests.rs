// SPDX-License-Identifier: GPL-3.0-or-later

use super::*;
use crate::departure::Departure;
use crate::pause::PauseReason;
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
    render.set_after(State::Leaving(Departure::Signalled));
    assert_eq!(
        self::line(&render),
        "the last task before leaving: rendering frame 1 of 240 of shot_010"
    );
    assert_eq!(activity(&render), Some(Activity::Running));
    render.set_ending(AbortReason::Shutdown);
    assert_eq!(self::line(&render), "ending shot_010: the worker is shutting down");
    assert_eq!(activity(&render), Some(Activity::Ending));
}

#[test]
fn m2_what_comes_after_the_task_is_told_while_its_machine_is_paused() {
    let mut render = task(RENDERER, 240);
    let rendering = "rendering frame 1 of 240 of shot_010";
    let paused = SleepReason::Paused(PauseReason::Asked);
    render.set_after(State::Asleep(paused));
    assert_eq!(line(&render), format!("the last task before sleeping: {rendering}"));
    render.stand_still(Some(Duration::ZERO));
    let still = "paused for less than a minute";
    assert_eq!(
        line(&render),
        format!("{still}: {rendering}"),
        "it goes on with the next"
    );
    for (after, then) in [
        (State::Asleep(SleepReason::Local), "sleeping"),
        (State::Leaving(Departure::Signalled), "leaving"),
    ] {
        render.set_after(after);
        assert_eq!(
            line(&render),
            format!("{still}: the last task before {then}: {rendering}")
        );
    }
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
