// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager goes away and comes back, the same, changed, or empty.

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, Options, StandIn, TaskStatus, WorkerStatus};

use super::count;
use super::relay::Relay;
use test_bed::{Farm, file, until};

#[test]
fn c5_a_task_whose_assignment_was_lost_is_handed_out_again_and_rendered_once() {
    let farm = Farm::new();
    farm.fault(Fault::at(Endpoint::FetchTask, FaultKind::DropAnswer));
    let task = farm.script("echo ran >> runs");
    let mut node = farm.node("node");
    node.start();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn c7_a_connection_that_falls_silent_is_given_up_and_not_used_again() {
    let farm = Farm::new();
    let relay = Relay::start("127.0.0.1:0", ([127, 0, 0, 1], farm.manager.port()).into(), "");
    let mut node = farm.node("node");
    node.url = format!("http://{}/", relay.address);
    node.set("question_timeout", "300ms")
        .set("request_timeout", "300ms")
        .set("update_timeout", "300ms");
    node.start();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo done");
    relay.freeze();
    node.until("the worker to miss its Manager", || {
        node.log().contains("did not answer within 300ms")
    });
    assert_eq!(node.children().len(), 1, "the render goes on");
    std::fs::write(node.folder.join("go"), "").unwrap();
    node.childless();
    relay.thaw();
    farm.completed(&task);
    farm.says(&task, "> done");
    node.finish();
}

#[test]
fn c19_a_manager_that_comes_back_empty_is_registered_with_once_and_old_results_are_discarded_aloud() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("leave_flush", "100ms")]);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs");
    farm.manager.stop();
    std::fs::write(node.folder.join("go"), "").unwrap();
    node.childless();
    node.outcome_on_disk(&task);
    let empty = Options {
        port: farm.manager.port(),
        ..Options::default()
    };
    let farm = Farm {
        manager: StandIn::start(empty).unwrap(),
        ..farm
    };
    farm.awake();
    let next = farm.script("true");
    farm.completed(&next);
    assert_eq!(count(&farm, Endpoint::Register), 1);
    assert_eq!(farm.manager.workers().len(), 1);
    let log = node.log();
    assert!(log.contains("registering as a new one"), "{log}");
    let discarded = log
        .lines()
        .any(|line| line.contains(" warn ") && line.contains("discard") && line.contains(&task));
    assert!(discarded, "that a result was discarded is said aloud\n{log}");
    node.finish();
}

#[test]
fn c19_a_manager_of_another_version_is_named_once_and_worked_for() {
    let mut options = Options::default();
    options.version.long = "4.2 (0a1b2c3d)".into();
    let farm = Farm::with(options);
    let node = farm.awake_node();
    let task = farm.script("true");
    farm.completed(&task);
    let log = node.log();
    assert_eq!(log.matches("this worker is made for version").count(), 1, "{log}");
    assert!(log.contains("4.2"), "{log}");
    node.finish();
}

#[test]
fn c21_a_sign_off_that_fails_is_tried_again_within_its_budget() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::SignOff, FaultKind::status(500)).times(3));
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    assert_eq!(count(&farm, Endpoint::SignOff), 4);
    node.nothing_left();
}

#[test]
fn c21_a_sign_off_that_is_lost_is_said_changes_no_exit_code_and_is_made_up_for() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("leave_sign_off", "300ms")]);
    farm.fault(Fault::at(Endpoint::SignOff, FaultKind::status(500)).forever());
    farm.ask(WorkerStatus::Restart, standin_manager::When::Now);
    assert_eq!(node.ended(), 47);
    assert!(node.log().contains("could not sign off"), "{}", node.log());
    farm.manager.clear_faults();
    farm.manager.clear_requests();
    node.start();
    farm.asked(Endpoint::SignOn, 1);
    let first = |wanted| {
        let requests = farm.manager.requests();
        requests.iter().position(|seen| seen.endpoint == wanted).unwrap()
    };
    assert!(first(Endpoint::SignOff) < first(Endpoint::SignOn));
    farm.awake();
    node.finish();
}

#[test]
fn c26_without_an_answer_a_task_goes_on() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::MayIRun, FaultKind::status(500)).forever());
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done");
    farm.asked(Endpoint::MayIRun, 10);
    assert_eq!(node.children().len(), 1);
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.finish();
}

#[test]
fn c26_without_an_answer_for_longer_than_allowed_a_task_is_stopped_and_begun_again() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("manager_lost_timeout", "400ms")]);
    farm.fault(Fault::at(Endpoint::MayIRun, FaultKind::status(500)).forever());
    let task = farm.script("if [ -e ran ]; then exit 0; fi; touch ran; while :; do sleep 0.02; done");
    farm.completed(&task);
    assert!(node.log().contains("no answer for 400ms"), "{}", node.log());
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn c27_a_task_that_was_reassigned_during_an_outage_is_stopped_when_the_manager_is_back() {
    let (farm, node) = Farm::with_awake_node();
    let mut other = farm.node("other");
    other.config.top.push("task_types = [\"other\"]".into());
    other.start();
    let id = farm.wait("the other one", |farm| {
        farm.worker_named("other").map(|worker| worker.id.clone())
    });
    let task = farm.running("echo running; while :; do echo tick >> ticks; sleep 0.02; done");
    farm.manager.stop();
    node.until("the worker to miss its Manager", || {
        node.log().contains("cannot ask whether")
    });
    assert_eq!(node.children().len(), 1, "the render goes on");
    farm.manager.reassign(&task, &id).unwrap();
    farm.manager.start_again().unwrap();
    node.childless();
    let written = std::fs::read(node.folder.join("ticks")).unwrap().len();
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Active);
    let polls = count(&farm, Endpoint::FetchTask);
    farm.asked(Endpoint::FetchTask, polls + 2);
    assert_eq!(std::fs::read(node.folder.join("ticks")).unwrap().len(), written);
    other.finish();
    node.finish();
}

#[test]
fn f1_after_a_gap_in_contact_the_task_goes_on_and_the_state_is_told_again() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("contact_gap", "500ms")]);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    node.signal(Signal::SIGSTOP);
    farm.manager
        .set_worker_status(&farm.worker(), WorkerStatus::Error)
        .unwrap();
    let asleep = tokio::time::Instant::now() + std::time::Duration::from_millis(800);
    until(
        "the gap to be long enough",
        || (tokio::time::Instant::now() >= asleep).then_some(()),
        String::new,
    );
    farm.manager.clear_requests();
    node.signal(Signal::SIGCONT);
    farm.awake();
    assert_eq!(node.children().len(), 1, "the render goes on");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(count(&farm, Endpoint::SignOn), 0);
    node.finish();
}
