// SPDX-License-Identifier: GPL-3.0-or-later
//! The calls of people and of the acceptance harness (tools/farm/farm.py), byte for byte where it matters.

use serde_json::json;

use crate::client::{Caller, job, standin};

const NOBODY: &str = "11111111-1111-1111-1111-111111111111";

#[test]
fn the_harness_can_hand_in_a_job_and_read_it_back() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    let tasks = json!([
        {"name": "a", "type": "misc", "commands": [{"name": "exec", "parameters": {"exe": "true"}, "total_step_count": 3}]},
        {"after": [0]},
    ]);
    let wish = json!({"name": "n", "type": "raw-tasks", "priority": 60, "submitter_platform": "linux",
        "settings": {"tasks_json": tasks.to_string()}});
    let made = anybody.post_api("jobs", &wish).json();
    assert_eq!(
        (&made["status"], &made["steps_total"], &made["submitter_platform"]),
        (&json!("queued"), &json!(0), &json!(""))
    );
    let id = made["id"].as_str().unwrap();
    assert_eq!(anybody.api("GET", &format!("jobs/{id}")).json(), made);
    assert_eq!(anybody.api("GET", "jobs").json()["jobs"], json!([made]));
    let listed = anybody.api("GET", &format!("jobs/{id}/tasks")).json()["tasks"].clone();
    assert_eq!(
        (
            &listed[0]["index_in_job"],
            &listed[0]["steps_total"],
            &listed[1]["name"]
        ),
        (&json!(1), &json!(3), &json!("task"))
    );
    assert_eq!(listed[1]["worker"], json!({"address": "", "id": "", "name": ""}));
    let task = anybody
        .api("GET", &format!("tasks/{}", listed[1]["id"].as_str().unwrap()))
        .json();
    assert_eq!(
        (&task["commands"], &task["failed_by_workers"], task.get("last_touched")),
        (&json!(null), &json!([]), None)
    );
}

#[test]
fn statuses_are_set_by_the_same_calls_as_on_the_page() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let anybody = Caller::anybody(&standin);
    let (job, tasks) = job(&standin, 2);
    let set = |path: String, body| anybody.post_api(&path, &body).status;
    assert_eq!(
        set(
            format!("tasks/{}/setstatus", tasks[0]),
            json!({"status": "canceled", "reason": "mine"})
        ),
        204
    );
    assert_eq!(standin.task(&tasks[0]).unwrap().activity, "mine");
    assert_eq!(
        set(
            format!("jobs/{job}/setstatus"),
            json!({"status": "cancel-requested", "reason": "r"})
        ),
        204
    );
    assert_eq!(standin.job(&job).unwrap().activity, "Changed to status \"canceled\": r");
    let ask = format!("worker-mgt/workers/{}/setstatus", worker.id);
    assert_eq!(set(ask.clone(), json!({"status": "asleep", "is_lazy": true})), 204);
    let row = anybody.api("GET", &format!("worker-mgt/workers/{}", worker.id)).json();
    assert_eq!(row["status_change"], json!({"is_lazy": true, "status": "asleep"}));
    assert_eq!(set(ask.clone(), json!({"status": "restart", "is_lazy": true})), 412);
    assert_eq!(set(ask, json!({"status": "asleep"})), 400);
}

#[test]
fn what_does_not_exist_is_said_in_the_managers_words() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    for (method, path, status, message) in [
        ("GET", "jobs/x", 400, "job ID not valid".to_owned()),
        ("GET", &format!("jobs/{NOBODY}"), 404, "no such job".to_owned()),
        ("DELETE", &format!("jobs/{NOBODY}"), 404, "no such job".to_owned()),
        ("GET", "tasks/x", 400, "job ID not valid".to_owned()),
        ("GET", &format!("tasks/{NOBODY}"), 404, "no such task".to_owned()),
        ("GET", "worker-mgt/workers/x", 400, "not a valid UUID".to_owned()),
        (
            "GET",
            &format!("worker-mgt/workers/{NOBODY}"),
            404,
            format!("worker \"{NOBODY}\" not found"),
        ),
        (
            "DELETE",
            &format!("worker-mgt/workers/{NOBODY}"),
            404,
            format!("worker \"{NOBODY}\" not found"),
        ),
    ] {
        let reply = anybody.api(method, path);
        assert_eq!(
            (reply.status, reply.message(), &reply.json()["code"]),
            (status, message, &json!(status)),
            "{path}"
        );
    }
    assert_eq!(
        anybody.api("GET", &format!("jobs/{NOBODY}/tasks")).text(),
        "{\"tasks\":[]}\n"
    );
}

#[test]
fn the_version_is_told_to_anybody() {
    let standin = standin();
    let expected = "{\"git\":\"cf286e71\",\"name\":\"Stand-in\",\"shortversion\":\"3.9-beta1\",\"version\":\"3.9-beta1 (cf286e71)\"}\n";
    assert_eq!(Caller::anybody(&standin).api("GET", "version").text(), expected);
}
