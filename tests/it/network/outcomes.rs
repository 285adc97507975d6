// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, one render, one outcome, whatever the network does to it.

use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, TaskStatus, When, WorkerStatus};

use super::count;
use test_bed::{Farm, file};

#[test]
fn c3_nothing_is_fetched_while_an_outcome_waits() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("echo x");
    let broken = FaultKind::status(500);
    farm.fault(Fault::at(Endpoint::TaskUpdate, broken).forever());
    farm.asked(Endpoint::TaskUpdate, 3);
    node.childless();
    let fetches = count(&farm, Endpoint::FetchTask);
    let next = farm.script("true");
    let polls = count(&farm, Endpoint::State);
    farm.asked(Endpoint::State, polls + 3);
    assert_eq!(count(&farm, Endpoint::FetchTask), fetches);
    farm.manager.clear_faults();
    farm.completed(&task);
    farm.completed(&next);
    assert_eq!(
        farm.outcomes(&task).iter().filter(|word| *word == "completed").count(),
        farm.outcomes(&task).len()
    );
    node.finish();
}

#[test]
fn c29_while_an_outcome_waits_the_worker_actions_still_reach_us() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("leave_flush", "100ms")]);
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).forever());
    let task = farm.script("echo x");
    farm.reaches(&task, TaskStatus::Active);
    node.childless();
    farm.ask(WorkerStatus::Restart, When::AfterTask);
    assert_eq!(node.ended(), 47);
    farm.manager.clear_faults();
    node.start();
    farm.completed(&task);
    node.finish();
}

#[test]
fn c4_a_task_that_is_handed_out_again_although_its_result_waits_is_not_run_again() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs");
    farm.manager.stop();
    std::fs::write(node.folder.join("go"), "").unwrap();
    node.until("the task to be over", || node.children().is_empty());
    node.outcome_on_disk(&task);
    node.kill();
    // The Manager is back, has requeued the task, and would hand it out at once.
    farm.manager.start_again().unwrap();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(503)).times(3));
    node.start();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    node.finish();
}

#[test]
fn c28_a_completion_is_sent_although_the_manager_has_said_no_meanwhile() {
    let farm = Farm::new();
    let node = farm.awake_deaf_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs");
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.manager.set_task_status(&task, TaskStatus::Queued).unwrap();
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.status(WorkerStatus::Asleep);
    farm.completed(&task);
    farm.ask(WorkerStatus::Awake, When::Now);
    farm.awake();
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    node.finish();
}

#[test]
fn a_failure_is_not_reported_for_a_task_that_the_manager_no_longer_wants_run() {
    let farm = Farm::new();
    let node = farm.awake_deaf_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo last words; exit 1");
    let job = farm.manager.task(&task).unwrap().job;
    farm.manager.cancel_job(&job).unwrap();
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.says(&task, "> last words");
    let other = farm.script("true");
    farm.completed(&other);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Canceled);
    node.finish();
}

#[test]
fn c12_an_update_refused_because_another_has_the_task_stops_it() {
    let farm = Farm::new();
    let node = farm.awake_deaf_node();
    let task = farm.script("while :; do echo tick; sleep 0.02; done");
    farm.says(&task, "> tick");
    let mut other = farm.node("other");
    other.config.top.push("task_types = [\"other\"]".into());
    other.start();
    let id = farm.wait("the other one", |farm| {
        farm.workers()
            .find(|worker| worker.name == "other")
            .map(|worker| worker.id.clone())
    });
    farm.manager.reassign(&task, &id).unwrap();
    node.childless();
    assert_eq!(farm.outcomes(&task), [""; 0]);
    other.finish();
    node.finish();
}

#[test]
fn two_commands_one_task_and_their_steps() {
    let (farm, node) = Farm::with_awake_node();
    let echo = CommandSpec::new("echo", json!({ "message": "x" }));
    let task = farm.task(&[echo.clone(), echo]);
    let done = farm.completed(&task);
    assert_eq!(done.steps_completed, 2);
    node.finish();
}

#[test]
fn c2_a_render_outlives_an_outage_and_all_it_said_arrives_in_order() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("for n in 1 2 3; do echo line $n; until [ -e go$n ]; do sleep 0.02; done; done; echo last");
    farm.says(&task, "> line 1");
    farm.manager.stop();
    for n in 1..=3 {
        std::fs::write(node.folder.join(format!("go{n}")), "").unwrap();
    }
    node.childless();
    node.outcome_on_disk(&task);
    farm.manager.start_again().unwrap();
    farm.completed(&task);
    let log = farm.log(&task);
    let places: Vec<_> = ["> line 1", "> line 2", "> line 3", "> last"]
        .map(|line| log.find(line))
        .into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{log}");
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn c13_a_task_that_was_deleted_is_stopped_and_holds_up_no_other() {
    let farm = Farm::new();
    let node = farm.awake_deaf_node();
    let task = farm.script("while :; do echo tick; sleep 0.02; done");
    farm.says(&task, "> tick");
    let job = farm.manager.task(&task).unwrap().job;
    farm.manager.delete_job(&job).unwrap();
    let next = farm.script("echo next");
    farm.completed(&next);
    farm.says(&next, "> next");
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert!(
        node.log().contains("the Manager does not know this task"),
        "{}",
        node.log()
    );
    node.finish();
}

#[test]
fn c17_an_outcome_whose_answer_was_lost_is_said_again_and_does_no_harm() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::DropAnswer).times(2));
    let task = farm.script("echo ran >> runs");
    farm.completed(&task);
    let next = farm.script("true");
    farm.completed(&next);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    let outcomes = farm.outcomes(&task);
    assert!(
        !outcomes.is_empty() && outcomes.iter().all(|word| word == "completed"),
        "{outcomes:?}"
    );
    node.finish();
}
