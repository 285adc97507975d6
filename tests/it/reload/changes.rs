// SPDX-License-Identifier: GPL-3.0-or-later

//! What has changed applies at once; what the Manager is to hear of it, it hears when no task runs.

use std::process::Command;

use standin_manager::{Endpoint, Fault, FaultKind, WorkerStatus};

use super::{WAITS, WORKER, go, introductions, is, program, ran_once, reloaded};
use test_bed::{Farm, Node, lives};

/// A node that has all from its file: neither argument nor variable goes before that.
fn configured(farm: &Farm) -> Node {
    let mut node = farm.node("node");
    configure(&mut node, &farm.manager.url(), &[]);
    let mut command = Command::new(WORKER);
    command.current_dir(&node.folder).env("FLAMENCO_HOME", node.home());
    node.start_with(&mut command);
    farm.awake();
    node
}

fn configure(node: &mut Node, manager: &str, lines: &[&str]) {
    node.config.top = vec![format!("manager = {manager:?}")];
    node.config.top.extend(lines.iter().map(|line| (*line).to_owned()));
    node.write_config();
}

#[test]
fn l6_a_name_and_what_it_can_do_are_told_after_the_task_and_when_idle_at_once() {
    let farm = Farm::new();
    let mut node = configured(&farm);
    let task = farm.running(WAITS);
    assert!(!node.log().contains(" debug "), "{}", node.log());
    let changed = [
        "worker_name = \"other\"",
        "task_types = [\"misc\", \"dance\"]",
        "log.level = \"debug\"",
    ];
    configure(&mut node, &farm.manager.url(), &changed);
    reloaded(&node);
    reloaded(&node);
    farm.fault(Fault::at(Endpoint::MayIRun, FaultKind::status(500)).times(2));
    node.until("more to be said at once", || node.log().contains(" debug "));
    let asked = farm.requests(Endpoint::MayIRun).len();
    farm.asked(Endpoint::MayIRun, asked + 2);
    assert_eq!(introductions(&farm), (1, 0), "not while it runs");
    go(&node);
    ran_once(&farm, &task);
    farm.asked(Endpoint::SignOn, 2);
    farm.awake();
    let worker = farm.manager.workers().remove(0);
    assert_eq!((worker.name.as_str(), worker.task_types.len()), ("other", 2));
    assert_eq!(introductions(&farm), (2, 1));
    let number = |endpoint| farm.requests(endpoint).last().unwrap().number;
    assert!(number(Endpoint::TaskUpdate) < number(Endpoint::SignOff));
    ran_once(&farm, &farm.script("true"));

    configure(
        &mut node,
        &farm.manager.url(),
        &["worker_name = \"third\"", "restart_exit_code = 47"],
    );
    reloaded(&node);
    farm.asked(Endpoint::SignOn, 3);
    farm.awake();
    let worker = farm.manager.workers().remove(0);
    assert_eq!((worker.name.as_str(), worker.can_restart), ("third", true));
    assert_eq!(introductions(&farm), (3, 2));
    reloaded(&node);
    is(&node, "name", "third");
    ran_once(&farm, &farm.script("true"));
    assert_eq!(introductions(&farm), (3, 2), "it knows that by now");
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn l6_another_manager_gets_the_next_task_and_the_old_one_the_report_of_this_one() {
    let (old, new) = (Farm::new(), Farm::new());
    let mut node = configured(&old);
    let task = old.running(WAITS);
    let pid = program(&node);
    configure(&mut node, &new.manager.url(), &[]);
    reloaded(&node);
    reloaded(&node);
    let asked = old.requests(Endpoint::MayIRun).len();
    old.asked(Endpoint::MayIRun, asked + 2);
    assert!(lives(pid) && new.manager.requests().is_empty());
    // It may take a while until the old one has all that it is to have.
    old.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).times(3));
    let waiting = old.script("true");
    go(&node);
    ran_once(&old, &task);
    old.status(WorkerStatus::Offline);
    new.awake();
    ran_once(&new, &new.script("true"));
    assert!(super::is_queued(&old, &waiting));
    assert_eq!(introductions(&old), (1, 1));
    // Back, while it is idle.
    configure(&mut node, &old.manager.url(), &[]);
    reloaded(&node);
    ran_once(&old, &waiting);
    new.status(WorkerStatus::Offline);
    node.finish();
}
