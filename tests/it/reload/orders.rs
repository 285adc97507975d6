// SPDX-License-Identifier: GPL-3.0-or-later

//! Whoever gives an order while a worker becomes another is obeyed, by one or the other.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, WorkerStatus};

use super::{WAITS, answer, asking, go, hang_up, introductions, is_queued, program, ran_once, reloaded, takeovers};
use test_bed::{Farm, Node, lives, pass};

/// Sends both, in one order or the other, with a pause that grows from round to round.
fn together(node: &Node, order: Signal, round: u32) {
    let (first, then) = match round % 2 {
        0 => (Signal::SIGHUP, order),
        _ => (order, Signal::SIGHUP),
    };
    node.signal(first);
    pass(Duration::from_millis(u64::from(round / 2) * 50));
    node.signal(then);
}

#[test]
fn l3_who_asks_while_a_reload_is_under_way_is_answered_too() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running(WAITS);
    let pid = program(&node);
    for _ in 0..3 {
        let all: Vec<_> = (0..4).map(|_| asking(&node.home())).collect();
        node.signal(Signal::SIGHUP);
        node.signal(Signal::SIGHUP);
        for asking in all {
            let (code, said) = answer(asking);
            assert!(code == 0 && said.contains("goes on as"), "{code} {said}");
        }
    }
    hang_up(&node);
    reloaded(&node);
    assert!(lives(pid));
    go(&node);
    ran_once(&farm, &task);
    assert_eq!(introductions(&farm), (1, 0));
    node.finish();
}

#[test]
fn l3_a_sleep_or_a_wake_in_the_moment_of_a_reload_is_obeyed() {
    let (farm, node) = Farm::with_awake_node();
    for round in 0..10 {
        for (order, status) in [
            (Signal::SIGUSR1, WorkerStatus::Asleep),
            (Signal::SIGUSR2, WorkerStatus::Awake),
        ] {
            let before = takeovers(&node);
            together(&node, order, round);
            farm.status(status);
            node.until("the successor", || takeovers(&node) > before);
        }
    }
    // Nothing of it is left over for later.
    hang_up(&node);
    ran_once(&farm, &farm.script("true"));
    farm.awake();
    node.finish();
}

#[test]
fn l3_a_stop_in_the_moment_of_a_reload_is_obeyed() {
    let (farm, mut node) = Farm::with_awake_node();
    for round in 0..10 {
        let task = farm.running("echo running; exec sleep 1000");
        together(&node, Signal::SIGTERM, round);
        assert_eq!(node.ended(), 0);
        assert!(is_queued(&farm, &task));
        assert_eq!(farm.requests(Endpoint::SignOff).len(), round as usize + 1);
        node.nothing_left();
        farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
        farm.start(&mut node);
    }
    node.finish();
}

#[test]
fn l3_a_drain_in_the_moment_of_a_reload_is_obeyed() {
    let (farm, mut node) = Farm::with_awake_node();
    for round in 0..6 {
        let task = farm.running(WAITS);
        let next = farm.script("true");
        let before = takeovers(&node);
        together(&node, Signal::SIGQUIT, round);
        node.until("the successor", || takeovers(&node) > before);
        node.until("the drain to be heard", || {
            node.log().matches("signal received: Drain").count() > round as usize
                || node
                    .log()
                    .matches("while the task runs: Ordered(Leave(AfterTask))")
                    .count()
                    > round as usize
        });
        go(&node);
        assert_eq!(node.ended(), 0);
        ran_once(&farm, &task);
        assert!(is_queued(&farm, &next));
        farm.manager.cancel_job(&farm.manager.task(&next).unwrap().job).unwrap();
        fs::remove_file(node.folder.join("go")).unwrap();
        farm.start(&mut node);
    }
    node.finish();
}
