// SPDX-License-Identifier: GPL-3.0-or-later

//! Answers that do not come, come late, come broken, or are an error: the call is made again.

use std::time::Duration;

use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, WorkerStatus};

use super::count;
use test_bed::Farm;

#[test]
fn c6_a_request_without_an_answer_times_out_and_others_go_on_meanwhile() {
    let (farm, mut node) = Farm::with_node();
    node.set("question_timeout", "300ms")
        .set("request_timeout", "300ms")
        .set("update_timeout", "60s");
    farm.fault(Fault::at(Endpoint::Register, FaultKind::CloseBefore));
    for endpoint in [Endpoint::SignOn, Endpoint::StateChanged, Endpoint::FetchTask] {
        farm.fault(Fault::at(endpoint, FaultKind::Hang));
    }
    farm.start(&mut node);
    farm.fault(Fault::at(Endpoint::MayIRun, FaultKind::Hang).times(2));
    let task = farm.running("echo running; while :; do sleep 0.02; done");
    // The update hangs for a minute; that the task is cancelled is heard all the same.
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang));
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    node.childless();
    assert_eq!(count(&farm, Endpoint::Register), 2);
    node.finish();
}

#[test]
fn c6_a_picture_or_update_that_hangs_is_sent_again_after_its_time_out() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update_timeout", "300ms")]);
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang).times(2));
    let task = farm.script("echo said");
    farm.completed(&task);
    assert_eq!(farm.log(&task).matches("> said").count(), 1);
    node.finish();
}

#[test]
fn c9_an_error_at_any_endpoint_is_tried_again_and_nothing_is_dropped() {
    for code in [500, 502, 503, 504, 429] {
        let farm = Farm::new();
        let kind = || FaultKind::Status {
            code,
            headers: vec![("Retry-After".into(), "0".into())],
            body: "<html>trouble</html>".into(),
        };
        let endpoints = [
            Endpoint::Register,
            Endpoint::SignOn,
            Endpoint::StateChanged,
            Endpoint::FetchTask,
            Endpoint::MayIRun,
            Endpoint::TaskUpdate,
            Endpoint::SignOff,
        ];
        for endpoint in endpoints {
            farm.fault(Fault::at(endpoint, kind()).times(2));
        }
        let task = farm.script("echo said; until [ -e go ]; do sleep 0.02; done");
        let mut node = farm.node("node");
        node.start();
        farm.says(&task, "> said");
        farm.asked(Endpoint::MayIRun, 3);
        std::fs::write(node.folder.join("go"), "").unwrap();
        farm.completed(&task);
        assert_eq!(farm.log(&task).matches("> said").count(), 1);
        assert_eq!(farm.manager.workers().len(), 1, "{code}: the identity is kept");
        assert_eq!(node.stop(), 0);
        assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
        node.nothing_left();
    }
}

#[test]
fn c9_retry_after_is_honoured() {
    let farm = Farm::new();
    let busy = FaultKind::Status {
        code: 503,
        headers: vec![("Retry-After".into(), "1".into())],
        body: String::new(),
    };
    farm.fault(Fault::at(Endpoint::SignOn, busy));
    let mut node = farm.node("node");
    farm.start(&mut node);
    let asked: Vec<_> = farm
        .requests(Endpoint::SignOn)
        .iter()
        .map(|seen| seen.received)
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(asked[1] - asked[0] >= Duration::from_secs(1), "{asked:?}");
    node.finish();
}

#[test]
fn c8_answers_that_are_cut_or_not_the_managers_are_asked_for_again() {
    let farm = Farm::new();
    let page = || FaultKind::Nonsense {
        body: b"<html>Log in</html>".to_vec(),
        content_type: "text/html".into(),
    };
    for endpoint in [
        Endpoint::Register,
        Endpoint::SignOn,
        Endpoint::FetchTask,
        Endpoint::MayIRun,
    ] {
        farm.fault(Fault::at(endpoint, page()));
        if endpoint != Endpoint::Register {
            farm.fault(Fault::at(endpoint, FaultKind::CutBody(5)));
        }
    }
    farm.fault(Fault::at(Endpoint::TaskUpdate, page()));
    let task = farm.script("echo said; until [ -e go ]; do sleep 0.02; done");
    let mut node = farm.node("node");
    node.start();
    farm.says(&task, "> said");
    farm.asked(Endpoint::MayIRun, 3);
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn c11_a_worker_that_was_timed_out_says_awake_again_and_goes_on() {
    let (farm, node) = Farm::with_awake_node();
    farm.manager
        .set_worker_status(&farm.worker(), WorkerStatus::Error)
        .unwrap();
    let task = farm.script("true");
    farm.completed(&task);
    farm.awake();
    assert_eq!(count(&farm, Endpoint::SignOn), 1);
    node.finish();
}

#[test]
fn c20_a_state_is_told_again_until_it_is_accepted_before_the_first_fetch() {
    let farm = Farm::new();
    farm.fault(Fault::at(Endpoint::StateChanged, FaultKind::status(500)).times(3));
    let task = farm.script("true");
    let mut node = farm.node("node");
    node.start();
    farm.completed(&task);
    let order: Vec<_> = farm.manager.requests().iter().map(|seen| seen.endpoint).collect();
    let fetch = order
        .iter()
        .position(|endpoint| *endpoint == Endpoint::FetchTask)
        .unwrap();
    assert_eq!(
        order[..fetch]
            .iter()
            .filter(|endpoint| **endpoint == Endpoint::StateChanged)
            .count(),
        4
    );
    node.finish();
}
