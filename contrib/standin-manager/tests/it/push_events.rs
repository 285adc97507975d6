// SPDX-License-Identifier: GPL-3.0-or-later
//! Which event goes to whom, when, and letter by letter.

use std::time::Duration;

use serde_json::json;
use standin_manager::{JobSpec, Options, StandIn, When, WorkerStatus};

use crate::{
    client::{Caller, echo, job, standin},
    push::{Client, Heard, payload, timeless},
};

/// Of a worker's event, what differs between occasions.
fn told(client: &mut Client) -> Vec<String> {
    client.heard().iter().map(|text| timeless(text)).collect()
}

fn worker(id: &str, middle: &str, status: &str) -> String {
    format!(
        "42[\"/workers\",{{\"can_restart\":false,\"id\":\"{id}\",{middle}\"name\":\"w\",{status},\"updated\":\"T\",\"version\":\"1\"}}]"
    )
}

#[test]
fn a_workers_own_calls_and_requests_to_it_are_told_to_all_who_asked_for_workers() {
    let standin = standin();
    let mut client = Client::to_all(&standin);
    let caller = Caller::registered(&standin, "w");
    assert!(client.heard().is_empty(), "a registration is not told");
    caller.sign_on("w");
    let first = "\"status\":\"starting\",\"updated\":\"0001-01-01T00:00:00Z\"";
    let first = format!(
        "42[\"/workers\",{{\"can_restart\":false,\"id\":\"{}\",\"name\":\"w\",{first},\"version\":\"1\"}}]",
        caller.id
    );
    assert_eq!(told(&mut client), [first]);
    let seen = "\"last_seen\":\"T\",";
    let event = |status: &str| [worker(&caller.id, seen, status)];
    caller.changed("awake");
    assert_eq!(
        told(&mut client),
        event("\"previous_status\":\"starting\",\"status\":\"awake\"")
    );
    standin.ask(&caller.id, WorkerStatus::Asleep, When::AfterTask).unwrap();
    let change = "\"status\":\"awake\",\"status_change\":{\"is_lazy\":true,\"status\":\"asleep\"}";
    assert_eq!(told(&mut client), event(change));
    standin.ask(&caller.id, WorkerStatus::Awake, When::Now).unwrap();
    assert_eq!(told(&mut client), event("\"status\":\"awake\""));
    caller.call("GET", "state");
    caller.fetch();
    assert!(client.heard().is_empty(), "polls are not told");
    caller.call("POST", "sign-off");
    let change = "\"status_change\":{\"is_lazy\":false,\"status\":\"awake\"}";
    let off = format!("\"previous_status\":\"awake\",\"status\":\"offline\",{change}");
    assert_eq!(told(&mut client), event(&off));
    standin.delete_worker(&caller.id).unwrap();
    let gone = format!("\"status\":\"offline\",{change}");
    let deleted = worker(&caller.id, seen, &gone).replace("false,\"id\"", "false,\"deleted_at\":\"T\",\"id\"");
    assert_eq!(told(&mut client), [deleted]);
}

#[test]
fn a_worker_that_is_timed_out_is_told_of_in_the_short_form() {
    let standin = StandIn::start(Options {
        worker_timeout: Duration::from_nanos(1),
        ..Options::default()
    })
    .unwrap();
    let caller = Caller::awake(&standin, "w");
    let mut client = Client::to_all(&standin);
    standin.ask(&caller.id, WorkerStatus::Asleep, When::Now).unwrap();
    client.heard();
    standin.check_timeouts();
    let short = worker(&caller.id, "", "\"previous_status\":\"awake\",\"status\":\"error\"");
    assert_eq!(told(&mut client), [short]);
}

#[test]
fn an_assignment_tells_of_the_worker_as_it_was_before_its_request() {
    let standin = standin();
    let caller = Caller::awake(&standin, "w");
    let (id, _) = job(&standin, 1);
    let mut client = Client::to_all(&standin);
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": id}));
    let before = standin.worker(&caller.id).unwrap();
    let task = caller.got();
    let after = standin.worker(&caller.id).unwrap();
    let texts = client.heard();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].starts_with("42[\"/jobs\",") && texts[0].contains("\"previous_status\":\"queued\""));
    let expected = format!(
        "42[\"/task\",{{\"activity\":\"\",\"id\":\"{task}\",\"job_id\":\"{id}\",\"name\":\"t0\",\"previous_status\":\"queued\",\
         \"status\":\"active\",\"steps_completed\":0,\"steps_total\":5,\"updated\":\"T\",\
         \"worker\":{{\"name\":\"w\",\"uuid\":\"{}\"}}}}]",
        caller.id
    );
    assert_eq!(timeless(&texts[1]), expected);
    let event = payload(&texts[2]);
    assert!(event.get("status_change").is_none() && event.get("previous_status").is_none());
    assert_eq!(event["last_seen"], json!(before.last_seen.unwrap().to_string()));
    assert_ne!(event["last_seen"], json!(after.last_seen.unwrap().to_string()));
}

fn job_text(id: &str, previous: &str, refresh: bool, status: &str, steps: (u8, u8)) -> String {
    let previous = if previous.is_empty() {
        String::new()
    } else {
        format!("\"previous_status\":\"{previous}\",")
    };
    format!(
        "42[\"/jobs\",{{\"id\":\"{id}\",\"name\":\"job\",{previous}\"priority\":50,\"refresh_tasks\":{refresh},\"status\":\"{status}\",\
         \"steps_completed\":{},\"steps_total\":{},\"type\":\"raw-tasks\",\"updated\":\"T\"}}]",
        steps.0, steps.1
    )
}

#[test]
fn a_jobs_life_is_told_to_all_who_asked_for_jobs_and_its_mass_changes_not_to_its_own_room() {
    let standin = standin();
    let caller = Caller::awake(&standin, "w");
    let mut client = Client::open(&standin);
    client.joins(&json!({"op": "subscribe", "type": "allJobs"}));
    let (id, tasks) = job(&standin, 2);
    assert_eq!(told(&mut client), [job_text(&id, "", false, "queued", (0, 0))]);
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": id}));
    caller.got();
    caller.update(&tasks[0], &json!({"steps_completed": 1}));
    client.heard();
    standin.cancel_job(&id).unwrap();
    let cancelled = [
        job_text(&id, "active", true, "cancel-requested", (1, 10)),
        job_text(&id, "cancel-requested", false, "canceled", (1, 10)),
    ];
    assert_eq!(told(&mut client), cancelled, "and no event of a task");
    standin.requeue_job(&id).unwrap();
    let requeued = [
        job_text(&id, "canceled", true, "requeueing", (1, 10)),
        job_text(&id, "requeueing", true, "queued", (1, 10)),
    ];
    assert_eq!(told(&mut client), requeued, "with the sums of before");
    standin.pause_job(&id).unwrap();
    let texts = told(&mut client);
    assert_eq!(texts.len(), 2, "{texts:?}");
    standin.delete_job(&id).unwrap();
    let texts = told(&mut client);
    let unset =
        "\"status\":\"\",\"steps_completed\":0,\"steps_total\":0,\"type\":\"\",\"updated\":\"0001-01-01T00:00:00Z\"";
    assert!(
        texts[0].starts_with("42[\"/jobs\",{\"delete_requested_at\":\"T\",\"id\":"),
        "{texts:?}"
    );
    assert_eq!(
        texts[1],
        format!(
            "42[\"/jobs\",{{\"id\":\"{id}\",\"priority\":0,\"refresh_tasks\":false,{unset},\"was_deleted\":true}}]"
        )
    );
}

#[test]
fn updates_of_a_task_are_told_only_when_its_status_or_steps_change() {
    let standin = standin();
    let caller = Caller::awake(&standin, "w");
    let (id, _) = job(&standin, 2);
    let task = caller.got();
    let mut client = Client::to_all(&standin);
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": id}));
    for quiet in [
        json!({"log": "x"}),
        json!({"activity": "busy"}),
        json!({"steps_completed": 0}),
    ] {
        caller.update(&task, &quiet);
        assert!(client.heard().is_empty(), "{quiet}");
    }
    caller.may_i_run(&task);
    assert!(client.heard().is_empty());
    caller.update(&task, &json!({"steps_completed": 2, "activity": "<2>"}));
    let texts = client.heard();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert_eq!(payload(&texts[0])["steps_completed"], 2);
    assert!(
        texts[1].starts_with("42[\"/task\",{\"activity\":\"\\u003c2\\u003e\","),
        "{texts:?}"
    );
    assert_eq!(payload(&texts[1]).get("previous_status"), None);
    caller.reports(&task, "completed");
    let event = payload(&client.heard()[0]);
    assert_eq!(
        (&event["steps_completed"], &event["previous_status"]),
        (&json!(5), &json!("active"))
    );
    let second = caller.got();
    client.heard();
    standin
        .set_task_status(&second, standin_manager::TaskStatus::Queued)
        .unwrap();
    let texts = client.heard();
    assert_eq!(
        payload(&texts[0])["worker"]["uuid"],
        json!(caller.id),
        "its last owner: {texts:?}"
    );
}

#[test]
fn nobody_hears_what_is_said_in_another_room() {
    let standin = standin();
    let caller = Caller::awake(&standin, "w");
    let mut client = Client::open(&standin);
    let (other, _) = job(&standin, 1);
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": other}));
    client.heard();
    client.states.clear();
    let sent = standin.push_counts().sent;
    standin.submit(JobSpec::new("unheard").task(echo("t"))).unwrap();
    standin.cancel_job(&other).unwrap();
    caller.got();
    assert!(client.heard().is_empty());
    let sent = standin.push_counts().sent - sent;
    assert_eq!(sent, u64::try_from(client.states.len()).unwrap());
}

#[test]
fn the_state_of_the_farm_is_told_to_everyone_when_it_changes() {
    let standin = standin();
    let mut client = Client::open(&standin);
    let mut hears = |expected: &[&str]| {
        assert!(client.heard().is_empty());
        assert_eq!(std::mem::take(&mut client.states), expected);
    };
    let caller = Caller::registered(&standin, "w");
    // The first sign-on has no status before it, which nobody looks into.
    caller.sign_on("w");
    caller.changed("awake");
    hears(&["idle"]);
    caller.changed("asleep");
    hears(&["asleep"]);
    job(&standin, 1);
    hears(&[]);
    caller.changed("awake");
    hears(&["waiting"]);
    caller.got();
    hears(&["active"]);
    caller.call("POST", "sign-off");
    hears(&["inoperative"]);
}

#[test]
fn a_second_after_its_start_the_manager_looks_at_the_farm_unasked() {
    let standin = standin();
    let mut client = Client::open(&standin);
    let text = "42[\"/status\",{\"status\":\"inoperative\"}]";
    assert_eq!(client.next_frame(), Heard::Text(text.to_owned()));
}

#[test]
fn a_picture_is_told_in_two_rooms_unless_it_is_none() {
    let standin = standin();
    let caller = Caller::awake(&standin, "w");
    let (id, tasks) = job(&standin, 1);
    let mut client = Client::to_all(&standin);
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": id}));
    let path = format!("/api/v3/worker/task/{}/output-produced", tasks[0]);
    assert_eq!(caller.send("POST", &path, "image/jpeg", b"none").status, 202);
    assert!(client.heard().is_empty());
    assert_eq!(
        caller.send("POST", &path, "image/jpeg", b"\xff\xd8\xff\xe0").status,
        202
    );
    let names = "\"suffixes\":[\"last-rendered.jpg\",\"last-rendered-small.jpg\",\"last-rendered-tiny.jpg\"]";
    let text = format!(
        "42[\"/last-rendered\",{{\"job_id\":\"{id}\",\"thumbnail\":{{\"base\":\"/job-files/job-{}/{id}\",{names}}}}}]",
        &id[..4]
    );
    assert_eq!(client.heard(), [text.clone(), text]);
}
