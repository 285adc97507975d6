// SPDX-License-Identifier: GPL-3.0-or-later
//! Sign-on, sign-off, states and what people ask for.

use serde_json::json;
use standin_manager::{Event, When, WorkerStatus};

use crate::client::{Caller, job, standin};

#[test]
fn sign_on_overwrites_the_row_and_says_awake() {
    let standin = standin();
    let worker = Caller::registered(&standin, "old");
    let wish = json!({"name": "new", "supported_task_types": [" Misc ", "BLENDER"], "software_version": "2", "can_restart": true});
    assert_eq!(
        worker.post("sign-on", &wish).text(),
        "{\"status_requested\":\"awake\"}\n"
    );
    let row = standin.worker(&worker.id).unwrap();
    assert_eq!(
        (row.name.as_str(), row.version.as_str(), row.can_restart),
        ("new", "2", true)
    );
    assert_eq!(row.task_types, ["misc", "blender"]);
    assert_eq!(row.status, WorkerStatus::Starting);
    worker.sign_on("new");
    assert!(!standin.worker(&worker.id).unwrap().can_restart, "absent means false");
}

#[test]
fn sign_on_answers_a_pending_request_and_keeps_it() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    standin.ask(&worker.id, WorkerStatus::Offline, When::AfterTask).unwrap();
    assert_eq!(worker.sign_on("w"), "offline");
    assert_eq!(worker.sign_on("w"), "offline");
}

#[test]
fn sign_off_remembers_awake_and_asleep_only() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    worker.sign_on("w");
    assert_eq!(worker.call("POST", "sign-off").status, 204);
    assert_eq!(
        standin.worker(&worker.id).unwrap().requested,
        None,
        "starting is not remembered"
    );
    worker.sign_on("w");
    worker.changed("asleep");
    worker.call("POST", "sign-off");
    assert_eq!(standin.worker(&worker.id).unwrap().status, WorkerStatus::Offline);
    assert_eq!(worker.sign_on("w"), "asleep");
}

#[test]
fn sign_off_clears_offline_and_keeps_asleep() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    standin.ask(&worker.id, WorkerStatus::Offline, When::Now).unwrap();
    worker.call("POST", "sign-off");
    assert_eq!(worker.sign_on("w"), "awake");
    worker.changed("awake");
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    worker.call("POST", "sign-off");
    assert_eq!(worker.sign_on("w"), "asleep");
}

#[test]
fn sign_off_requeues_whatever_the_status_was() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    worker.got();
    worker.sign_on("w");
    assert_eq!(
        standin.task(&tasks[0]).unwrap().status.as_str(),
        "active",
        "sign-on requeues nothing"
    );
    worker.call("POST", "sign-off");
    let task = standin.task(&tasks[0]).unwrap();
    assert_eq!(
        (task.status.as_str(), task.activity.as_str()),
        ("queued", "Task was queued by Manager because worker signed off")
    );
}

#[test]
fn state_tells_a_request_without_saying_that_it_is_lazy() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    assert_eq!(worker.call("GET", "state").status, 204);
    standin.ask(&worker.id, WorkerStatus::Asleep, When::AfterTask).unwrap();
    assert_eq!(
        worker.call("GET", "state").text(),
        "{\"status_requested\":\"asleep\"}\n"
    );
}

#[test]
fn a_request_ends_only_with_exactly_that_status() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    standin.ask(&worker.id, WorkerStatus::Testing, When::Now).unwrap();
    worker.changed("asleep");
    assert_eq!(worker.call("GET", "state").json()["status_requested"], "testing");
    worker.changed("testing");
    assert_eq!(worker.call("GET", "state").status, 204);
}

#[test]
fn all_seven_statuses_are_accepted_and_no_other() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    for status in ["starting", "awake", "asleep", "error", "testing", "offline", "restart"] {
        worker.changed(status);
        assert_eq!(standin.worker(&worker.id).unwrap().status.as_str(), status);
    }
    for body in [
        json!({"status": ""}),
        json!({"status": null}),
        json!({"status": "Awake"}),
        json!({}),
    ] {
        assert_eq!(worker.post("state-changed", &body).status, 400, "{body}");
    }
}

#[test]
fn only_leaving_awake_requeues() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    worker.got();
    worker.sign_on("w");
    worker.changed("asleep");
    assert_eq!(
        standin.task(&tasks[0]).unwrap().status.as_str(),
        "active",
        "starting -> asleep does not"
    );
    worker.changed("awake");
    worker.changed("error");
    let task = standin.task(&tasks[0]).unwrap();
    let why = format!(
        "Task was queued by Manager because worker w ({}) changed status to 'error'",
        worker.id
    );
    assert_eq!((task.status.as_str(), task.activity), ("queued", why));
}

#[test]
fn asking_for_the_present_status_takes_the_request_back() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    standin.ask(&worker.id, WorkerStatus::Awake, When::Now).unwrap();
    assert_eq!(standin.worker(&worker.id).unwrap().requested, None);
}

#[test]
fn a_worker_that_cannot_restart_is_not_asked_to() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let refused = standin.ask(&worker.id, WorkerStatus::Restart, When::Now).unwrap_err();
    assert_eq!(
        (refused.code, refused.message),
        (412, format!("worker \"{}\" does not know how to restart", worker.id))
    );
}

#[test]
fn every_change_of_a_worker_is_announced_once() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let mut events = standin.listen();
    worker.sign_on("w");
    worker.changed("awake");
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    worker.call("GET", "state");
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        let Event::Worker { worker, previous, .. } = event else {
            panic!("not a worker's: {event:?}")
        };
        told.push((previous.map(WorkerStatus::as_str), worker.status.as_str()));
    }
    assert_eq!(told, [(None, "starting"), (Some("starting"), "awake"), (None, "awake")]);
}
