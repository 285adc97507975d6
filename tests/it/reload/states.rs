// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever the worker is, it is that after a reload.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, When, WorkerStatus};

use super::{TAKES_OVER, WAITS, go, hang_up, introductions, is, is_queued, noted, program, ran_once, reloaded, status};
use test_bed::{Farm, bash, exec, lives, logged};

#[test]
fn l2_one_that_cannot_reach_its_manager_goes_on_trying_and_registers_once() {
    let farm = Farm::new();
    farm.manager.stop();
    let mut node = farm.node("node");
    node.start();
    logged(&node, "cannot");
    reloaded(&node);
    reloaded(&node);
    is(&node, "state", "starting");
    farm.fault(Fault::at(
        Endpoint::Register,
        FaultKind::DelayAnswer(Duration::from_millis(300)),
    ));
    farm.manager.start_again().unwrap();
    farm.asked(Endpoint::Register, 1);
    hang_up(&node);
    farm.awake();
    assert_eq!(farm.manager.workers().len(), 1, "registered once");
    ran_once(&farm, &farm.script("true"));
    node.finish();
}

#[test]
fn l2_one_that_is_idle_or_asleep_stays_so_and_says_nothing_to_the_manager() {
    let (farm, node) = Farm::with_awake_node();
    reloaded(&node);
    is(&node, "activity", "idle");
    ran_once(&farm, &farm.script("true"));

    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    let task = farm.script("true");
    reloaded(&node);
    is(&node, "why", "asked by the Manager");
    let looks = farm.requests(Endpoint::State).len();
    farm.asked(Endpoint::State, looks + 2);
    assert!(is_queued(&farm, &task));
    farm.ask(WorkerStatus::Awake, When::Now);
    ran_once(&farm, &task);

    node.signal(Signal::SIGUSR1);
    farm.status(WorkerStatus::Asleep);
    let task = farm.script("true");
    reloaded(&node);
    is(&node, "why", "asked on this machine");
    assert!(is_queued(&farm, &task));
    node.signal(Signal::SIGUSR2);
    ran_once(&farm, &task);
    // The Manager knows it a moment before the worker says so.
    is(&node, "activity", "idle");
    let ended = status(&node)["last_task_ended"].clone();
    reloaded(&node);
    assert_eq!(status(&node)["last_task_ended"], ended);
    assert!(ended.is_string(), "{ended}");
    assert_eq!(introductions(&farm), (1, 0));
    node.finish();
}

#[test]
fn l2_one_that_sleeps_for_a_reason_of_its_own_wakes_when_that_is_gone_and_no_sooner() {
    let (farm, mut node) = Farm::with_node();
    let gate = node.folder.join("gate");
    node.config
        .top
        .push(format!("[node]\nreadable = [{gate:?}]\nstrikes = 2"));
    node.set("strike_pause_min", "10m").set("strike_pause_max", "10m");
    farm.start(&mut node);
    let task = farm.script("echo rendered");
    farm.says(&task, "Handed back: ");
    farm.status(WorkerStatus::Asleep);
    reloaded(&node);
    is(&node, "state", "asleep");
    assert!(
        status(&node)["why"].as_str().unwrap().contains("not fit for work"),
        "{}",
        status(&node)
    );
    assert!(is_queued(&farm, &task));
    fs::write(&gate, "").unwrap();
    farm.completed(&task);

    let missing = || farm.task(&[exec("/no/such/program", json!([]))]);
    farm.failed(&missing());
    reloaded(&node);
    // The second in a row, although another life has seen the first.
    farm.says(&missing(), "Handed back: ");
    farm.status(WorkerStatus::Asleep);
    reloaded(&node);
    let looks = farm.requests(Endpoint::State).len();
    farm.asked(Endpoint::State, looks + 2);
    is(&node, "state", "asleep");
    assert!(
        status(&node)["why"]
            .as_str()
            .unwrap()
            .contains("one task after another fails"),
        "{}",
        status(&node)
    );
    node.signal(Signal::SIGUSR2);
    farm.awake();
    node.finish();
}

#[test]
fn l2_an_outcome_that_waits_still_holds_back_the_next_task() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).forever());
    let task = farm.script("echo ran >> runs; echo said");
    let next = farm.script("true");
    logged(&node, "task task completed");
    reloaded(&node);
    let updates = farm.requests(Endpoint::TaskUpdate).len();
    farm.asked(Endpoint::TaskUpdate, updates + 2);
    assert!(is_queued(&farm, &next));
    farm.manager.clear_faults();
    ran_once(&farm, &task);
    ran_once(&farm, &next);
    assert_eq!(farm.log(&task).matches("> said").count(), 1);
    assert_eq!(noted(&node, "runs"), "ran", "it is not run again");
    node.finish();
}

#[test]
fn l2_one_that_drains_leaves_after_its_task_and_one_that_leaves_is_not_reloaded() {
    let (farm, mut node) = Farm::with_awake_node();
    node.set("grace", "10m");
    let task = farm.running(WAITS);
    let next = farm.script("true");
    node.signal(Signal::SIGQUIT);
    logged(&node, "signal received: Drain");
    reloaded(&node);
    go(&node);
    assert_eq!(node.ended(), 0);
    ran_once(&farm, &task);
    assert!(is_queued(&farm, &next));

    farm.manager.cancel_job(&farm.manager.task(&next).unwrap().job).unwrap();
    fs::remove_file(node.folder.join("go")).unwrap();
    fs::remove_file(node.folder.join("pid")).unwrap();
    farm.start(&mut node);
    let task = farm.running(&format!("trap 'echo asked' TERM; {WAITS}"));
    let before = node.log().matches(TAKES_OVER).count();
    node.signal(Signal::SIGTERM);
    farm.says(&task, "> asked");
    node.signal(Signal::SIGHUP);
    logged(&node, "signal received: HangUp");
    assert!(lives(program(&node)));
    go(&node);
    assert_eq!(node.ended(), 0);
    assert_eq!(node.log().matches(TAKES_OVER).count(), before);
    assert!(is_queued(&farm, &task));
    node.nothing_left();
}

#[test]
fn l2_a_pause_lasts_no_longer_and_what_is_between_two_programs_or_copies_is_seen_through() {
    let (farm, node) = Farm::with_awake_node();
    let command = |name, parameters| CommandSpec::new(name, parameters);
    let big = node.folder.join("big");
    let size = 1 << 30;
    fs::File::create(&big).unwrap().set_len(size).unwrap();
    let copies = node.folder.join("copies");
    let copy = copies.join("copy");
    let task = farm.task(&[
        bash("echo begun; until [ -e first ]; do sleep 0.01; done"),
        command("sleep", json!({ "duration_in_seconds": 1 })),
        command("copy-file", json!({ "src": big, "dest": copy })),
        bash(WAITS),
    ]);
    farm.says(&task, "> begun");
    fs::write(node.folder.join("first"), "").unwrap();
    hang_up(&node);
    logged(&node, "running command sleep");
    hang_up(&node);
    node.until("the copy to have begun", || copies.is_dir());
    hang_up(&node);
    assert_eq!(fs::metadata(&copy).unwrap().len(), size, "it was waited for");
    fs::remove_file(&copy).unwrap();
    program(&node);
    reloaded(&node);
    go(&node);
    farm.completed(&task);
    let log = farm.log(&task);
    for once in ["> begun", "> running", "slept 1s", "> done"] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
    assert_eq!(log.matches("going to run:").count(), 2, "{log}");
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}
