// SPDX-License-Identifier: GPL-3.0-or-later

//! The unit of the package: started, told things by the Manager, stopped, killed.

use standin_manager::{When, WorkerStatus};

use crate::installed::{Node, UNIT};

/// A task that runs until it is ended.
const ENDLESS: &str = "echo running; while :; do sleep 0.05; done";

#[test]
fn enabled_it_is_up_before_its_manager_and_says_what_it_waits_for() {
    let Some(node) = Node::new() else { return };
    node.farm.manager.stop();
    node.machine.ok(&["systemctl", "enable", "--now", UNIT]);
    assert_eq!(node.machine.property(UNIT, "ActiveState"), "active");
    assert_eq!(node.machine.property(UNIT, "UnitFileState"), "enabled");
    node.says("waiting for http://");
    node.says("Connection refused");
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn e7_the_managers_restart_is_a_new_process_of_the_unit() {
    let Some(node) = Node::awake() else { return };
    let old = node.pid();
    let worker = node.farm.worker();
    node.farm
        .manager
        .ask(&worker, WorkerStatus::Restart, When::Now)
        .unwrap();
    // The pause is the unit's own RestartSec=.
    node.restarted(&old);
    node.farm.status(WorkerStatus::Awake);
    assert_eq!(node.farm.manager.workers().len(), 1, "it is the same worker");
    assert_eq!(node.machine.property(UNIT, "NRestarts"), "1");
    let journal = node.machine.journal(UNIT);
    assert!(
        !journal.contains("Failed with result"),
        "a restart is no failure: {journal}"
    );
}

#[test]
fn the_managers_shut_down_stays_down_and_is_a_success() {
    let Some(node) = Node::awake() else { return };
    node.service("RestartSec=100ms");
    let worker = node.farm.worker();
    node.farm
        .manager
        .ask(&worker, WorkerStatus::Offline, When::Now)
        .unwrap();
    node.stopped_well();
    assert_eq!(node.machine.property(UNIT, "NRestarts"), "0");
    node.says("left: shutting down");
}

#[test]
fn e2_stopped_in_mid_render_the_task_goes_back_and_nothing_is_left() {
    let Some(node) = Node::awake() else { return };
    let task = node.farm.script(&format!("setsid sleep 1000 & {ENDLESS}"));
    node.farm.says(&task, "> running");
    node.says("running task");
    node.stop_gives_back(&task);
    node.farm.status(WorkerStatus::Offline);
}

#[test]
fn b1_killed_it_is_started_again_and_the_task_goes_back() {
    let Some(node) = Node::awake() else { return };
    node.service("RestartSec=100ms");
    let task = node
        .farm
        .script(&format!("[ -e /tmp/again ] && exit; touch /tmp/again; {ENDLESS}"));
    node.machine.until("the program to run", |machine| {
        machine.path("/tmp/again").exists().then_some(())
    });
    let old = node.pid();
    node.machine.ok(&["kill", "-KILL", &old]);
    node.restarted(&old);
    // It goes back, and the second time it is short.
    node.farm.completed(&task);
    node.no_programs();
    assert_eq!(node.farm.manager.workers().len(), 1);
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn a4_programs_have_groups_below_the_units() {
    let Some(node) = Node::awake() else { return };
    let task = node.farm.script(&format!("grep ^0:: /proc/self/cgroup; {ENDLESS}"));
    node.farm.says(&task, "> running");
    let log = node.farm.log(&task);
    assert!(log.contains(&format!("/system.slice/{UNIT}/flamenco-")), "{log}");
    let groups = std::fs::read_dir(node.group()).unwrap().flatten();
    assert_eq!(groups.filter(|entry| entry.path().is_dir()).count(), 1);
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn e6_children_that_an_old_unit_signals_are_not_reported_as_failed() {
    let Some(node) = Node::awake() else { return };
    node.service("KillMode=control-group");
    let task = node.farm.script("echo running; exec sleep 1000");
    node.farm.says(&task, "> running");
    node.stop_gives_back(&task);
}

#[test]
fn e15_a_broken_configuration_fails_once_and_is_explained() {
    let Some(node) = Node::new() else { return };
    node.service("RestartSec=100ms");
    node.configure("nice = \"very\"", "");
    let said = node.machine.run(&["systemctl", "start", UNIT]);
    assert_ne!(said.code, 0);
    node.machine.becomes(UNIT, "ActiveState", "failed");
    assert_eq!(node.machine.property(UNIT, "ExecMainStatus"), "78");
    assert_eq!(node.machine.property(UNIT, "NRestarts"), "0");
    let journal = node.machine.journal(UNIT);
    assert!(journal.contains("/etc/flamenco/worker.toml:2:8"), "{journal}");
    node.configure("", "");
    node.start();
}

#[test]
fn j2_not_configured_it_is_up_and_searches_and_says_so_where_one_looks() {
    let Some(node) = Node::new() else { return };
    node.machine.write(
        "/etc/flamenco/worker.toml",
        "# manager = \"http://manager.example:8080/\"\n",
    );
    node.machine.ok(&["systemctl", "start", UNIT]);
    node.machine.becomes(UNIT, "ActiveState", "active");
    node.says("waiting for a Manager to answer on the networks of this machine");
    let journal = node.machine.journal(UNIT);
    assert!(journal.contains("no Manager is configured: searching"), "{journal}");
}
