// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker dies and starts again: nothing survives it, nothing is lost, nothing is done twice.

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, file, logged};

#[test]
fn b1_a_killed_worker_takes_its_whole_tree_along() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.running(
        "trap '' TERM INT HUP; setsid sleep 1000 & (setsid sleep 1000 &); echo running; while :; do sleep 0.02; done",
    );
    assert!(node.marked().len() >= 4);
    node.kill();
    node.nothing_left_but_files();
}

#[test]
fn b3_another_homes_programs_and_strangers_are_not_touched() {
    let farm = Farm::new();
    let mut first = farm.node("first");
    farm.start(&mut first);
    // One that starts no others, which would come and go while they are counted.
    let task = farm.running("mkfifo gate; echo running; read < gate");
    let before = first.marked().len();
    let mut second = farm.node("second");
    second.start();
    farm.wait("both to be awake", |farm| {
        (farm
            .workers()
            .filter(|worker| worker.status == WorkerStatus::Awake)
            .count()
            == 2)
            .then_some(())
    });
    assert_eq!(first.marked().len(), before);
    std::fs::write(first.folder.join("gate"), "go\n").unwrap();
    farm.completed(&task);
    second.finish();
    first.finish();
}

#[test]
fn b4_a_result_that_was_not_sent_before_the_worker_died_is_sent_and_not_rendered_again() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs; echo last words");
    farm.manager.stop();
    std::fs::write(node.folder.join("go"), "").unwrap();
    node.until("the task to be over", || node.children().is_empty());
    node.outcome_on_disk(&task);
    node.kill();
    farm.manager.start_again().unwrap();
    node.start();
    farm.completed(&task);
    farm.awake();
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    let log = farm.log(&task);
    assert_eq!(log.matches("> last words").count(), 1, "{log}");
    assert_eq!(farm.outcomes(&task), ["completed"]);
    assert_eq!(farm.requests(Endpoint::Register).len(), 1);
    node.finish();
}

#[test]
fn b11_a_shut_down_that_was_clicked_before_the_worker_died_is_obeyed_by_the_next_start() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("echo running; sleep 1000");
    node.signal(Signal::SIGSTOP);
    farm.ask(WorkerStatus::Offline, When::Now);
    node.kill();
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Active);
    node.start();
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    node.nothing_left();
}

#[test]
fn an_unclean_end_requeues_the_task_which_is_then_run_again() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.script("echo run >> runs; echo before the end; until [ -e go ]; do sleep 0.02; done");
    farm.says(&task, "> before the end");
    node.kill();
    std::fs::write(node.folder.join("go"), "").unwrap();
    node.start();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "run\nrun\n");
    let order: Vec<_> = farm.manager.requests().iter().map(|seen| seen.endpoint).collect();
    let off = order
        .iter()
        .position(|endpoint| *endpoint == Endpoint::SignOff)
        .expect("it signed off");
    assert!(order[off..].contains(&Endpoint::SignOn), "sign off, then on: {order:?}");
    node.finish();
}

#[test]
fn b12_a_restart_asked_while_the_worker_was_away_is_taken_as_done() {
    for arguments in [vec!["-restart-exit-code".into(), "47".into()], Vec::new()] {
        let (farm, mut node) = Farm::with_awake_node();
        assert_eq!(node.stop(), 0);
        farm.ask(WorkerStatus::Restart, When::Now);
        node.arguments = arguments;
        farm.start(&mut node);
        assert!(farm.manager.workers()[0].requested.is_none());
        let task = farm.script("true");
        farm.completed(&task);
        assert!(node.runs());
        node.finish();
    }
}

#[test]
fn g1_a_worker_that_leaves_is_waited_for_by_its_successor() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("trap '' TERM; echo running; while :; do sleep 0.02; done");
    let mut second = farm.node("second");
    second.environment.push(("FLAMENCO_HOME".into(), node.home().into()));
    node.signal(Signal::SIGTERM);
    // Its program has two seconds of grace, and takes them.
    second.set("lock_timeout", "10m").start();
    assert_eq!(node.ended(), 0);
    logged(&second, "manager accepted sign-on");
    assert_eq!(farm.manager.workers().len(), 1);
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    assert_eq!(second.stop(), 0);
    node.finish();
}

#[test]
fn g1_a_second_worker_on_the_same_home_is_refused_with_the_first_ones_pid() {
    let (farm, node) = Farm::with_awake_node();
    let mut second = farm.node("second");
    second.environment.push(("FLAMENCO_HOME".into(), node.home().into()));
    // The first means to stay: nobody is waited for.
    second.set("lock_timeout", "10m").start();
    assert_eq!(second.ended(), 75);
    let said = second.log();
    assert!(said.contains(&node.pid().to_string()), "{said}");
    assert_eq!(farm.manager.workers().len(), 1);
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

#[test]
fn b9_a_restart_whose_sign_off_was_lost_is_done_once() {
    for lost in [FaultKind::CloseBefore, FaultKind::DropAnswer] {
        let farm = Farm::new();
        let mut node = farm.awake_node_with(&[("leave_sign_off", "300ms")]);
        farm.fault(Fault::at(Endpoint::SignOff, lost).forever());
        farm.ask(WorkerStatus::Restart, When::Now);
        assert_eq!(node.ended(), 47);
        farm.manager.clear_faults();
        node.start();
        farm.wait("the request to be done with", |farm| {
            farm.workers()
                .next()
                .filter(|worker| worker.requested.is_none() && worker.status == WorkerStatus::Awake)
                .map(|_| ())
        });
        let task = farm.script("true");
        farm.completed(&task);
        assert!(node.runs());
        assert_eq!(farm.requests(Endpoint::Register).len(), 1);
        node.finish();
    }
}
