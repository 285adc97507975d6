// SPDX-License-Identifier: GPL-3.0-or-later

//! The watchdog of the unit: trips when the loop that decides stalls, and only then.

use crate::installed::{Node, UNIT};

fn node(timings: &str) -> Option<Node> {
    let node = Node::new()?;
    node.configure("", timings);
    node.service("WatchdogSec=2s\nRestartSec=100ms");
    node.start();
    Some(node)
}

#[test]
fn e13_a_long_render_does_not_trip_it() {
    let Some(node) = node("") else { return };
    let old = node.pid();
    // Silent, and three times as long as the watchdog waits.
    let task = node.farm.script("sleep 6");
    node.farm.completed(&task);
    assert_eq!(node.pid(), old);
    assert_eq!(node.machine.property(UNIT, "NRestarts"), "0");
}

#[test]
fn e13_a_stalled_loop_trips_it_and_the_task_goes_back() {
    let Some(node) = node("") else { return };
    let task = node
        .farm
        .script("[ -e /tmp/again ] && exit; touch /tmp/again; exec sleep 1000");
    node.machine.until("the program to run", |machine| {
        machine.path("/tmp/again").exists().then_some(())
    });
    let old = node.pid();
    node.machine.ok(&["kill", "-STOP", &old]);
    node.restarted(&old);
    node.farm.completed(&task);
    node.no_programs();
    let journal = node.machine.journal(UNIT);
    assert!(journal.contains("Watchdog timeout"), "{journal}");
}

#[test]
fn e13_an_absent_manager_trips_it_only_where_that_is_configured() {
    let Some(node) = node("watchdog_contact = \"1s\"") else {
        return;
    };
    let old = node.pid();
    node.farm.manager.stop();
    node.restarted(&old);
}
