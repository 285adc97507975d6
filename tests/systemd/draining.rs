// SPDX-License-Identifier: GPL-3.0-or-later

//! A unit whose stop lets the task finish, however short systemd's patience.

use standin_manager::{TaskStatus, WorkerStatus};

use crate::installed::{Node, UNIT};

fn node() -> Option<Node> {
    let node = Node::new()?;
    node.service("KillSignal=SIGQUIT\nTimeoutStopSec=1s");
    node.start();
    Some(node)
}

#[test]
fn e4_e5_a_drain_that_outlives_timeout_stop_sec_finishes_its_task() {
    let Some(node) = node() else { return };
    let task = node.farm.script("echo running; sleep 4; echo done");
    node.farm.says(&task, "> running");
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
    assert_eq!(node.farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
    node.farm.status(WorkerStatus::Offline);
}

#[test]
fn e5_a_drain_has_the_limit_that_was_configured() {
    let Some(node) = node() else { return };
    node.configure("", "drain_limit = \"2s\"");
    node.machine.ok(&["systemctl", "restart", UNIT]);
    node.farm.status(WorkerStatus::Awake);
    let task = node.farm.script("echo running; exec sleep 1000");
    node.farm.says(&task, "> running");
    node.stop_gives_back(&task);
}

#[test]
fn e4_the_command_drains_a_unit_as_it_comes() {
    let Some(node) = Node::awake() else { return };
    let task = node
        .farm
        .script("echo running; until [ -e /tmp/go ]; do sleep 0.05; done");
    node.farm.says(&task, "> running");
    // Where its home is only the unit knows; root is told, and so is its own user.
    let history = node.machine.ok(&["flamenco-worker", "history"]);
    assert!(history.contains(&task[..8]), "{history}");
    let as_its_user = ["runuser", "-u", "flamenco-worker", "--"];
    node.machine
        .ok(&[&as_its_user[..], &["flamenco-worker", "drain"]].concat());
    node.says("the last task before leaving: running task");
    node.machine.write("/tmp/go", "");
    node.stopped_well();
    assert_eq!(node.farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
}
