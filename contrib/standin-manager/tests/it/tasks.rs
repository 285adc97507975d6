// SPDX-License-Identifier: GPL-3.0-or-later
//! Who gets which task, updates, may-i-run.

use serde_json::{Value, json};
use standin_manager::{CommandSpec, JobSpec, TaskSpec, When, WorkerStatus};

use crate::client::{Caller, echo, job, standin};

const NOBODY: &str = "11111111-1111-1111-1111-111111111111";

#[test]
fn a_pending_request_is_said_before_a_wrong_status() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let refused = worker.fetch();
    let message = "worker is in state \"\", requires state \"awake\" to execute tasks";
    assert_eq!((refused.status, refused.message().as_str()), (409, message));
    standin.ask(&worker.id, WorkerStatus::Asleep, When::AfterTask).unwrap();
    let locked = worker.fetch();
    assert_eq!(
        (locked.status, locked.text()),
        (423, "{\"status_requested\":\"asleep\"}\n")
    );
    assert!(
        standin.worker(&worker.id).unwrap().last_seen.is_some(),
        "refused and seen"
    );
}

#[test]
fn a_task_is_handed_out_with_its_variables_and_every_field() {
    let standin = standin();
    let parameters = json!({"exe": "{blender}", "no": "{nope}", "n": 24.0, "args": ["<{blender}>", 1, null, ["{blender}"]], "o": {"k": "{blender}"}});
    let job = standin
        .submit(
            JobSpec::new("j")
                .priority(70)
                .task(TaskSpec::new("a").command(CommandSpec::new("exec", parameters).steps(3))),
        )
        .unwrap();
    let worker = Caller::awake(&standin, "w");
    let reply = worker.fetch();
    let id = reply.json()["uuid"].as_str().unwrap().to_owned();
    let expected = format!(
        "{{\"commands\":[{{\"name\":\"exec\",\"parameters\":{{\"args\":[\"\\u003cblender\\u003e\",1,null,[\"{{blender}}\"]],\"exe\":\"blender\",\"n\":24,\"no\":\"{{nope}}\",\"o\":{{\"k\":\"{{blender}}\"}}}},\"total_step_count\":3}}],\"job\":\"{job}\",\"job_priority\":70,\"job_type\":\"raw-tasks\",\"name\":\"a\",\"priority\":50,\"status\":\"active\",\"steps_completed\":0,\"steps_total\":3,\"task_type\":\"misc\",\"uuid\":\"{id}\"}}\n"
    );
    assert_eq!(reply.text(), expected);
}

#[test]
fn no_commands_and_no_parameters_arrive_as_null() {
    let standin = standin();
    let spec = JobSpec::new("j")
        .task(TaskSpec::new("a").command(CommandSpec::new("echo", Value::Null)))
        .task(TaskSpec::new("b"));
    standin.submit(spec).unwrap();
    let worker = Caller::awake(&standin, "w");
    let first = worker.fetch().json();
    assert_eq!(
        (&first["commands"][0]["parameters"], &first["steps_total"]),
        (&Value::Null, &json!(1))
    );
    worker.reports(first["uuid"].as_str().unwrap(), "completed");
    let second = worker.fetch().json();
    assert_eq!(
        (second.get("commands"), &second["steps_total"]),
        (Some(&Value::Null), &json!(0))
    );
}

#[test]
fn the_same_task_is_handed_out_again_with_its_steps() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    job(&standin, 2);
    let task = worker.got();
    worker.update(&task, &json!({"steps_completed": 2}));
    let again = worker.fetch().json();
    assert_eq!(
        (again["uuid"].as_str(), &again["steps_completed"]),
        (Some(task.as_str()), &json!(2))
    );
}

#[test]
fn dependencies_types_and_priority_decide_who_gets_what() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let low = standin
        .submit(JobSpec::new("low").task(echo("first")).task(echo("second").after(0)))
        .unwrap();
    standin
        .submit(JobSpec::new("other").priority(90).task(echo("b").kind("blender")))
        .unwrap();
    let high = standin
        .submit(JobSpec::new("high").priority(80).task(echo("h")))
        .unwrap();
    let first = worker.fetch().json();
    assert_eq!(first["job"], high.as_str());
    worker.reports(first["uuid"].as_str().unwrap(), "completed");
    let second = worker.fetch().json();
    assert_eq!((&second["job"], &second["name"]), (&json!(low), &json!("first")));
    let other = Caller::awake(&standin, "x");
    assert_eq!(
        other.fetch().status,
        204,
        "its dependency is not completed, the other type is not its own"
    );
    worker.reports(second["uuid"].as_str().unwrap(), "completed");
    assert_eq!(other.fetch().json()["name"], "second");
}

#[test]
fn the_log_is_what_the_worker_sent_between_the_managers_own_lines() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    job(&standin, 1);
    let task = worker.got();
    for text in ["hello", "", "two\nlines\n", "\n", "NUL \u{0} stays"] {
        assert_eq!(worker.update(&task, &json!({"log": text})).status, 204);
    }
    worker.update(&task, &json!({"log": "last", "taskStatus": "completed"}));
    let log = standin.task_log(&task);
    let lines: Vec<&str> = log.split('\n').collect();
    let assigned = format!("Z Task assigned to worker w ({})", worker.id);
    assert_eq!(lines[0][19..], assigned);
    assert_eq!(lines[1][19..], *"Z task changed status queued -> active");
    assert_eq!(lines[2..8], ["hello", "two", "lines", "", "NUL \u{0} stays", "last"]);
    assert_eq!(lines[8][19..], *"Z task changed status active -> completed");
    assert_eq!(lines[9..], [""]);
}

#[test]
fn steps_are_capped_above_only_and_completed_fills_them() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, tasks) = job(&standin, 2);
    let task = worker.got();
    let steps = |count: i64| {
        assert_eq!(worker.update(&task, &json!({"steps_completed": count})).status, 204);
        standin.task(&task).unwrap().steps_completed
    };
    assert_eq!((steps(3), steps(-2), steps(99)), (3, -2, 5));
    worker.reports(&task, "queued");
    assert_eq!(standin.task(&task).unwrap().steps_completed, 0);
    worker.reports(&task, "completed");
    assert_eq!(standin.task(&task).unwrap().steps_completed, 5);
    let row = standin.job(&job).unwrap();
    assert_eq!((row.steps_completed, row.steps_total, tasks.len()), (5, 10, 2));
}

#[test]
fn refused_updates_say_why_and_do_not_count_as_seen() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (_, tasks) = job(&standin, 2);
    let other = Caller::awake(&standin, "x");
    let (mine, its) = (worker.got(), other.got());
    let seen = || standin.worker(&worker.id).unwrap().last_seen;
    let before = seen();
    let both = |task: &str, body: Value| {
        let reply = worker.update(task, &body);
        (reply.status, reply.message())
    };
    assert_eq!(both("x", json!({})), (400, "task ID not valid".to_owned()));
    assert_eq!(both(NOBODY, json!({})), (404, format!("task {NOBODY} not found")));
    assert_eq!(
        both(&its, json!({})),
        (409, format!("task {its} is not assigned to you"))
    );
    let soft = both(&mine, json!({"taskStatus": "soft-failed"}));
    assert_eq!(
        soft,
        (
            400,
            "task status soft-failed not allowed to be sent by Worker".to_owned()
        )
    );
    assert_eq!(
        both(&mine, json!({"steps_completed": 1.0})),
        (400, "invalid format".to_owned())
    );
    for body in [
        json!({"log": null}),
        json!({"steps_completed": 1.5}),
        json!({"taskStatus": "bogus"}),
        json!([]),
    ] {
        assert_eq!(worker.update(&mine, &body).status, 400, "{body}");
    }
    assert_eq!(seen(), before);
    assert_eq!(tasks.len(), 2);
    assert_eq!(worker.update(&mine, &json!({})).status, 204);
    assert_ne!(seen(), before);
}

#[test]
fn a_task_nobody_had_is_not_yours() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    let reply = worker.update(&tasks[0], &json!({}));
    let message = format!("task {} is not assigned to any worker, so also not to you", tasks[0]);
    assert_eq!((reply.status, reply.message()), (409, message));
}

#[test]
fn may_i_run_gives_its_verdicts_in_its_order() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (_, tasks) = job(&standin, 2);
    let task = worker.got();
    let no = |reason: &str, change: bool| json!({"mayKeepRunning": false, "reason": reason, "statusChangeRequested": change});
    let yes = json!({"mayKeepRunning": true, "reason": "", "statusChangeRequested": false});
    assert_eq!(worker.may_i_run(&task), yes);
    standin.ask(&worker.id, WorkerStatus::Asleep, When::AfterTask).unwrap();
    assert_eq!(worker.may_i_run(&task), yes, "a lazy request does not matter");
    standin.set_worker_status(&worker.id, WorkerStatus::Error).unwrap();
    assert_eq!(worker.may_i_run(&task), yes, "nor does its own status");
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    assert_eq!(worker.may_i_run(&tasks[1]), no("worker status change requested", true));
    assert_eq!(worker.may_i_run(NOBODY), no("Task not found", false));
    worker.changed("asleep");
    assert_eq!(
        worker.may_i_run(&tasks[1]),
        no("task not assigned to this worker", false)
    );
    standin
        .set_task_status(&task, standin_manager::TaskStatus::Canceled)
        .unwrap();
    assert_eq!(
        worker.may_i_run(&task),
        no("task is in non-runnable status \"canceled\"", false)
    );
    let other = worker.call("GET", "task/x/may-i-run");
    assert_eq!(
        (other.status, other.text()),
        (400, "{\"code\":400,\"message\":\"task ID not valid\"}\n")
    );
}

#[test]
fn a_yes_touches_the_task_and_a_no_does_not() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    job(&standin, 1);
    let task = worker.got();
    let touched = || standin.task(&task).unwrap().touched;
    let first = touched();
    worker.may_i_run(&task);
    let second = touched();
    assert_ne!(first, second);
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    worker.may_i_run(&task);
    assert_eq!(touched(), second);
}
