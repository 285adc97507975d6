// SPDX-License-Identifier: GPL-3.0-or-later

//! Homes that are not what they seem: copied, not mounted yet, or on a file system that stands still.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, When, WorkerStatus};

use crate::disk::missing_lines;
use crate::notify::Ear;
use crate::small_disk::{SmallDisk, start_among_mounts};
use test_bed::{Farm, Node, Strace, until};

const AN_HOUR: &str = "delay_enter=3600000000";
/// Not every architecture has both.
const MAKE_FOLDER: &str = "?mkdir,mkdirat";

/// What changes a file system does not come back for an hour, as on one that was frozen.
fn stands_still(node: &Node) -> Option<Strace> {
    let calls = format!("pwrite64,?rename,?renameat,?unlink,unlinkat,{MAKE_FOLDER},statfs,fsync:{AN_HOUR}");
    Strace::attach(node, node.pid(), &calls, true)
}

fn noticed(node: &Node) {
    node.until("the worker to say that its disk does not answer", || {
        node.log().contains("does not answer")
    });
}

#[test]
fn i9_a_home_that_stands_still_keeps_no_order_poll_signal_or_sign_of_life_waiting() {
    let (farm, mut node) = Farm::with_node();
    let ear = Ear::of(&mut node);
    node.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
    node.set("leave_flush", "1s").start();
    farm.awake();
    let task = farm.running("echo running; while :; do echo line; sleep 0.05; done");
    let Some(strace) = stands_still(&node) else {
        return;
    };
    noticed(&node);
    farm.manager.clear_requests();
    farm.asked(Endpoint::MayIRun, 3);
    let job = farm.manager.task(&task).unwrap().job;
    farm.manager.cancel_job(&job).unwrap();
    node.childless();
    ear.until("STATUS=idle");
    ear.until("WATCHDOG=1");
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    node.signal(Signal::SIGTERM);
    farm.status(WorkerStatus::Offline);
    node.until("the worker to end", || node.log().contains("flamenco-worker ends"));
    // The kernel takes the process away when the call that stands still is over, and not before.
    strace.detach();
    assert_eq!(node.ended(), 0, "{}", node.log());
    node.start();
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn i9_what_ends_while_the_home_stands_still_is_reported_and_the_home_is_used_again() {
    const LINES: usize = 60_000;
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running(&format!(
        "echo running; until [ -e go ]; do sleep 0.02; done; seq -f 'line %06.0f ~' 1 {LINES}"
    ));
    let Some(strace) = stands_still(&node) else {
        return;
    };
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    let log = farm.log(&task);
    let lines = log.lines().filter(|line| line.ends_with(" ~")).count();
    assert_eq!(lines + missing_lines(&log), LINES);
    noticed(&node);
    strace.detach();
    let next = farm.script("echo next");
    farm.completed(&next);
    node.finish();
}

#[test]
fn i24_a_copied_home_is_refused_beside_the_first_and_registers_anew_when_told_to() {
    let (farm, mut node) = Farm::with_awake_node();
    let mut copy = farm.node("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([node.home(), copy.home()])
        .status()
        .unwrap();
    assert!(copied.success());
    copy.start();
    assert_eq!(copy.ended(), 75, "{}", copy.log());
    let said = format!("another worker of this host, with process id {}", node.pid());
    assert!(copy.log().contains(&said), "{}", copy.log());
    farm.completed(&farm.script("true"));

    std::fs::remove_file(copy.home().join("flamenco-worker-credentials.yaml")).unwrap();
    copy.start();
    farm.wait("two workers", |farm| (farm.workers().count() == 2).then_some(()));
    // One that moved is still the same.
    assert_eq!(node.stop(), 0);
    let moved = node.folder.join("moved");
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([&node.home(), &moved])
            .status()
            .unwrap()
            .success()
    );
    std::fs::remove_dir_all(node.home()).unwrap();
    std::fs::rename(&moved, node.home()).unwrap();
    node.start();
    farm.completed(&farm.script("true"));
    assert_eq!(farm.manager.workers().len(), 2);
    copy.finish();
    node.finish();
}

/// A node of the farm whose home is to be mounted, and is not yet.
fn to_be_mounted(farm: &Farm) -> Node {
    let mut node = farm.node("node");
    fs::create_dir(node.home()).unwrap();
    let home = node.home().display().to_string();
    node.config.top.push(format!("node = {{ mounted = [\"{home}\"] }}"));
    node
}

fn waits_for_its_mount(node: &Node) {
    let said = format!("nothing is mounted at {} yet", node.home().display());
    node.until("the worker to say what it waits for", || node.log().contains(&said));
}

#[test]
fn i24_a_home_whose_file_system_is_not_mounted_yet_is_waited_for_and_a_stop_is_obeyed() {
    let farm = Farm::new();
    let mut node = to_be_mounted(&farm);
    let ear = Ear::of(&mut node);
    node.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
    node.start();
    waits_for_its_mount(&node);
    ear.until("READY=1");
    ear.until("WATCHDOG=1");
    ear.until("WATCHDOG=1");
    assert_eq!(fs::read_dir(node.home()).unwrap().count(), 0, "nothing is begun there");
    assert_eq!(node.stop(), 0);
    assert!(farm.manager.workers().is_empty());
    node.finish();
}

#[test]
fn i24_a_home_that_is_mounted_at_last_is_used() {
    let farm = Farm::new();
    let mut node = to_be_mounted(&farm);
    if !start_among_mounts(&mut node, ":") {
        return;
    }
    waits_for_its_mount(&node);
    let disk = SmallDisk { node };
    disk.mount();
    farm.completed(&farm.script("true"));
    assert_eq!(farm.manager.workers().len(), 1);
    assert_eq!(
        fs::read_dir(disk.node.home()).unwrap().count(),
        0,
        "nothing is below the mount"
    );
    disk.end();
}

#[test]
fn i9_a_home_that_stands_still_at_the_start_keeps_no_signal_waiting() {
    let farm = Farm::new();
    let mut node = to_be_mounted(&farm);
    if !start_among_mounts(&mut node, ":") {
        return;
    }
    waits_for_its_mount(&node);
    let mut disk = SmallDisk { node };
    let delayed = format!("{MAKE_FOLDER}:{AN_HOUR}");
    let Some(strace) = Strace::attach(&disk.node, disk.node.pid(), &delayed, true) else {
        return;
    };
    disk.mount();
    until(
        "the worker to be at its home",
        || strace.seen().contains("mkdir").then_some(()),
        || disk.node.log(),
    );
    disk.node.signal(Signal::SIGTERM);
    until(
        "the worker to end",
        || disk.node.log().contains("flamenco-worker ends").then_some(()),
        || disk.node.log(),
    );
    strace.detach();
    assert_eq!(disk.node.ended(), 0, "{}", disk.node.log());
    assert!(farm.manager.workers().is_empty());
}
