// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager and the network between fail in every way they can; the worker waits, tries on, and loses nothing.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, TaskStatus, When, WorkerStatus};

use crate::harness::{Farm, file, until};

fn count(farm: &Farm, endpoint: Endpoint) -> usize {
    farm.requests(endpoint).len()
}

#[test]
fn c1_a_manager_that_is_down_at_the_first_start_is_waited_for_and_registered_with_once() {
    let farm = Farm::new();
    farm.manager.stop();
    let mut node = farm.node("node");
    node.start();
    until(
        "the worker to miss its Manager",
        || node.log().contains("cannot").then_some(()),
        || node.log(),
    );
    farm.manager.start_again().unwrap();
    farm.awake();
    assert_eq!(count(&farm, Endpoint::Register), 1);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn c3_nothing_is_fetched_while_an_outcome_waits() {
    let farm = Farm::new();
    let node = farm.awake_node();
    let task = farm.script("echo x");
    let broken = FaultKind::status(500);
    farm.manager.inject(Fault::at(Endpoint::TaskUpdate, broken).forever());
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
    farm.manager
        .inject(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).forever());
    let task = farm.script("echo x");
    farm.reaches(&task, TaskStatus::Active);
    node.childless();
    farm.manager
        .ask(&farm.worker(), WorkerStatus::Restart, When::AfterTask)
        .unwrap();
    assert_eq!(node.ended(), 47);
    farm.manager.clear_faults();
    node.start();
    farm.completed(&task);
    node.finish();
}

#[test]
fn c4_a_task_that_is_handed_out_again_although_its_result_waits_is_not_run_again() {
    let farm = Farm::new();
    let mut node = farm.awake_node();
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs");
    farm.says(&task, "> running");
    farm.manager.stop();
    std::fs::write(node.folder.join("go"), "").unwrap();
    until(
        "the task to be over",
        || node.children().is_empty().then_some(()),
        || node.log(),
    );
    node.outcome_on_disk(&task);
    node.kill();
    // The Manager is back, has requeued the task, and would hand it out at once.
    farm.manager.start_again().unwrap();
    farm.manager
        .inject(Fault::at(Endpoint::TaskUpdate, FaultKind::status(503)).times(3));
    node.start();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    node.finish();
}

#[test]
fn c6_a_request_without_an_answer_times_out_and_others_go_on_meanwhile() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    node.set("ask", "300ms").set("answer", "300ms").set("update", "60s");
    farm.manager
        .inject(Fault::at(Endpoint::Register, FaultKind::CloseBefore));
    for endpoint in [Endpoint::SignOn, Endpoint::StateChanged, Endpoint::FetchTask] {
        farm.manager.inject(Fault::at(endpoint, FaultKind::Hang));
    }
    node.start();
    farm.awake();
    farm.manager
        .inject(Fault::at(Endpoint::MayIRun, FaultKind::Hang).times(2));
    let task = farm.script("echo running; while :; do sleep 0.02; done");
    farm.says(&task, "> running");
    // The update hangs for a minute; that the task is cancelled is heard all the same.
    farm.manager.inject(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang));
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    node.childless();
    assert_eq!(count(&farm, Endpoint::Register), 2);
    node.finish();
}

#[test]
fn c6_a_picture_or_update_that_hangs_is_sent_again_after_its_time_out() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update", "300ms")]);
    farm.manager
        .inject(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang).times(2));
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
            farm.manager.inject(Fault::at(endpoint, kind()).times(2));
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
    farm.manager.inject(Fault::at(Endpoint::SignOn, busy));
    let mut node = farm.node("node");
    node.start();
    farm.awake();
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
        farm.manager.inject(Fault::at(endpoint, page()));
        if endpoint != Endpoint::Register {
            farm.manager.inject(Fault::at(endpoint, FaultKind::CutBody(5)));
        }
    }
    farm.manager.inject(Fault::at(Endpoint::TaskUpdate, page()));
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
    let farm = Farm::new();
    let node = farm.awake_node();
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
fn c15_a_slow_manager_does_not_slow_the_program() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update", "60s")]);
    farm.manager
        .inject(Fault::at(Endpoint::TaskUpdate, FaultKind::Delay(Duration::from_secs(4))).forever());
    // More than any pipe holds, many times over.
    let task = farm.script("seq 1 500000; touch printed");
    farm.reaches(&task, TaskStatus::Active);
    until(
        "the program to have printed everything",
        || node.folder.join("printed").exists().then_some(()),
        || node.log(),
    );
    let accepted = farm
        .requests(Endpoint::TaskUpdate)
        .iter()
        .filter(|seen| seen.finished.is_some())
        .count();
    assert!(
        accepted <= 1,
        "the program did not wait for the Manager, which had answered {accepted} updates"
    );
    farm.manager.clear_faults();
    farm.completed(&task);
    let log = farm.log(&task);
    let printed = log.lines().filter(|line| line.contains(" > ")).count();
    assert_eq!(printed, 500_000);
    node.finish();
}

#[test]
fn c16_what_does_not_fit_is_dropped_counted_and_said_where_it_was() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update", "3s")]);
    farm.manager.inject(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang));
    let task =
        farm.script("seq -f 'line %012.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 1 600000");
    farm.reaches(&task, TaskStatus::Active);
    until(
        "the task to be over",
        || node.children().is_empty().then_some(()),
        || node.log(),
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
    farm.completed(&task);
    let log = farm.log(&task);
    let kept = log.lines().filter(|line| line.contains(" > line ")).count();
    let counted: usize = log
        .lines()
        .filter_map(|line| {
            line.strip_prefix("[... ")?
                .split_whitespace()
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    assert!(kept < 600_000, "nothing had to be dropped: this test tests nothing");
    assert_eq!(kept + counted, 600_000);
    // Lines are in order, and a gap stands where its lines would.
    let numbers: Vec<usize> = log
        .lines()
        .filter_map(|line| line.split(" > line ").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect();
    assert!(numbers.is_sorted() && numbers.first() == Some(&1) && numbers.last() == Some(&600_000));
    node.finish();
}

#[test]
fn c20_a_state_is_told_again_until_it_is_accepted_before_the_first_fetch() {
    let farm = Farm::new();
    farm.manager
        .inject(Fault::at(Endpoint::StateChanged, FaultKind::status(500)).times(3));
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

#[test]
fn c28_a_completion_is_sent_although_the_manager_has_said_no_meanwhile() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("first_may_i_run", "10m")]);
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs");
    farm.says(&task, "> running");
    farm.manager
        .ask(&farm.worker(), WorkerStatus::Asleep, When::Now)
        .unwrap();
    farm.manager.set_task_status(&task, TaskStatus::Queued).unwrap();
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.status(WorkerStatus::Asleep);
    farm.completed(&task);
    farm.manager
        .ask(&farm.worker(), WorkerStatus::Awake, When::Now)
        .unwrap();
    farm.awake();
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    node.finish();
}

#[test]
fn a_failure_is_not_reported_for_a_task_that_the_manager_no_longer_wants_run() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("first_may_i_run", "10m")]);
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done; echo last words; exit 1");
    farm.says(&task, "> running");
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
    let node = farm.awake_node_with(&[("first_may_i_run", "10m")]);
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
fn c10_a_worker_deleted_in_the_page_registers_anew_and_keeps_its_old_credentials_beside() {
    let farm = Farm::new();
    let mut node = farm.awake_node();
    let old = farm.worker();
    let task = farm.script("echo running; while :; do sleep 0.02; done");
    farm.says(&task, "> running");
    farm.manager.delete_worker(&old).unwrap();
    farm.awake();
    assert_ne!(farm.worker(), old);
    assert_eq!(count(&farm, Endpoint::Register), 2);
    let beside = std::fs::read_dir(node.home())
        .unwrap()
        .flatten()
        .filter(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&old)));
    assert_eq!(beside.count(), 1);
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    node.nothing_left();
}

#[test]
fn two_commands_one_task_and_their_steps() {
    let farm = Farm::new();
    let node = farm.awake_node();
    let echo = CommandSpec::new("echo", json!({ "message": "x" }));
    let task = farm.task(&[echo.clone(), echo]);
    let done = farm.completed(&task);
    assert_eq!(done.steps_completed, 2);
    node.finish();
}
