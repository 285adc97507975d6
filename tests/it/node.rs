// SPDX-License-Identifier: GPL-3.0-or-later

//! A node that cannot work does not fail tasks: it hands them back, sleeps, and says why.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use standin_manager::{Endpoint, TaskStatus, When, WorkerStatus};

use crate::small_disk::SmallDisk;
use test_bed::{Farm, Node, as_user, bash, exec, own_user, start_through};

/// A node that needs what `needs` says, lines of the `[node]` table; not started yet.
fn node_with_needs(farm: &Farm, needs: &str) -> Node {
    let mut node = farm.node("node");
    node.config.top.push(format!("[node]\n{needs}"));
    node.set("space_check", "20ms").set("strike_pause_min", "500ms");
    node
}

/// The same, awake.
fn node_that_needs(farm: &Farm, needs: &str) -> Node {
    let mut node = node_with_needs(farm, needs);
    farm.start(&mut node);
    node
}

#[test]
fn d7_a_task_goes_back_while_a_path_is_missing_and_is_done_when_it_is_there() {
    let farm = Farm::new();
    let storage = farm.folder.path().join("storage");
    let node = node_that_needs(&farm, &format!("writable = [{storage:?}]"));
    let task = farm.script("echo rendered");
    farm.status(WorkerStatus::Asleep);
    let why = format!(
        "Handed back: this node is not fit for work: cannot write in {}",
        storage.display()
    );
    farm.says(&task, &why);
    farm.reaches(&task, TaskStatus::Queued);
    assert!(!farm.log(&task).contains("going to run"), "{}", farm.log(&task));
    fs::create_dir(&storage).unwrap();
    farm.completed(&task);
    farm.status(WorkerStatus::Awake);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn d7_a_node_that_slept_of_its_own_accord_is_awake_after_a_new_start() {
    for end in [Node::kill, |node: &mut Node| assert_eq!(node.stop(), 0)] {
        let farm = Farm::new();
        let storage = farm.folder.path().join("storage");
        let mut node = node_that_needs(&farm, &format!("writable = [{storage:?}]"));
        let task = farm.script("echo rendered");
        farm.says(&task, "Handed back: ");
        farm.status(WorkerStatus::Asleep);
        end(&mut node);
        fs::create_dir(&storage).unwrap();
        node.start();
        farm.completed(&task);
        node.finish();
    }
}

#[test]
fn a_node_that_was_sent_to_sleep_sleeps_after_a_new_start() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    node.kill();
    node.start();
    farm.asked(Endpoint::SignOn, 2);
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn d7_nothing_mounted_is_said_in_these_words() {
    let farm = Farm::new();
    let storage = farm.folder.path().join("storage");
    fs::create_dir(&storage).unwrap();
    let node = node_that_needs(&farm, &format!("mounted = [\"/proc\", {storage:?}]"));
    let task = farm.script("echo rendered");
    farm.says(&task, &format!("nothing is mounted at {}", storage.display()));
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn d8_too_little_space_takes_no_task_and_is_said_to_the_one_that_runs() {
    let farm = Farm::new();
    // With what the spool itself wants free, and a little more.
    let Some(disk) = SmallDisk::start_node(node_with_needs(&farm, "free_space = \"72MiB\""), "size=80m") else {
        return;
    };
    farm.awake();
    let filler = disk.node.home().join("filler");
    let gate = farm.folder.path().join("gate");
    let script = format!(
        "head -c 12M /dev/zero > {filler:?}; echo filled; until [ -e {gate:?} ]; do sleep 0.05; done; echo done"
    );
    let running = farm.script(&script);
    farm.says(&running, "No new task will be taken here: only ");
    fs::write(&gate, "").unwrap();
    farm.completed(&running);
    let waiting = farm.script("echo rendered");
    farm.says(&waiting, "Handed back: this node is not fit for work: only ");
    farm.status(WorkerStatus::Asleep);
    fs::remove_file(disk.path("filler")).unwrap();
    farm.completed(&waiting);
    disk.end();
}

#[test]
fn d8_i5_a_tmpdir_that_is_empty_or_not_there_needs_no_space() {
    for missing in ["", "/no/such/folder"] {
        let farm = Farm::new();
        let mut node = node_with_needs(&farm, "free_space = \"1MiB\"");
        node.environment.push(("TMPDIR".into(), missing.into()));
        farm.start(&mut node);
        let task = farm.script("echo it is $TMPDIR");
        farm.completed(&task);
        let is_in_home = farm.log(&task).contains(&format!("it is {}", node.home().display()));
        assert_eq!(is_in_home, !missing.is_empty(), "{}", farm.log(&task));
        node.finish();
    }
}

#[test]
fn three_equal_failures_in_a_row_that_may_be_the_nodes_own_pause_it_and_the_third_goes_back() {
    let farm = Farm::new();
    let node = node_that_needs(&farm, "strikes = 3");
    let missing = || farm.task(&[exec("/no/such/program", json!([]))]);
    farm.failed(&missing());
    farm.failed(&missing());
    let third = missing();
    farm.says(
        &third,
        "Handed back: one task after another fails on this node, which pauses for a while; here: ",
    );
    farm.status(WorkerStatus::Asleep);
    // After the pause it is taken again, and counts as the first.
    farm.failed(&third);
    farm.status(WorkerStatus::Awake);
    assert_eq!(farm.outcomes(&third), ["failed"]);
    node.finish();
}

/// A handful of bad jobs, each in its own way, kept a healthy node from its work for minutes.
#[test]
fn a10_programs_that_cannot_be_started_for_many_reasons_fail_their_tasks_and_pause_nothing() {
    let farm = Farm::new();
    let node = node_that_needs(&farm, "strikes = 3");
    let folder = farm.folder.path();
    fs::write(folder.join("plain"), "echo hello").unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    std::os::unix::fs::symlink("loop", folder.join("loop")).unwrap();
    for name in ["missing", "plain", "folder", "loop", "plain/too-deep"] {
        let path = folder.join(name).display().to_string();
        farm.failed(&farm.task(&[exec(&path, json!([]))]));
    }
    farm.failed(&farm.script("kill -SEGV $$"));
    farm.failed(&farm.script("kill -BUS $$"));
    assert!(!farm.logs().contains("now asleep"), "{}", farm.logs());
    node.finish();
}

#[test]
fn a_program_that_runs_and_fails_is_not_held_against_the_node() {
    let farm = Farm::new();
    let node = node_that_needs(&farm, "strikes = 2");
    for _ in 0..3 {
        farm.failed(&farm.script("exit 3"));
    }
    farm.failed(&farm.task(&[exec("/no/such/program", json!([]))]));
    farm.completed(&farm.task(&[bash("true")]));
    farm.failed(&farm.task(&[exec("/no/such/program", json!([]))]));
    node.finish();
}

/// `setpriv` and `su` leave a user in the directory and with the `HOME` of whoever called them.
#[test]
fn d3_folders_that_are_closed_to_the_worker_hold_no_configuration_of_it() {
    let (farm, mut node) = Farm::with_node();
    let Some(user) = own_user(&farm, &node) else { return };
    let closed = farm.folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    node.environment.push(("HOME".into(), closed.clone().into()));
    node.environment.push(("XDG_CONFIG_HOME".into(), closed.clone().into()));
    let there = format!("--chdir={}", closed.display());
    start_through(&mut node, ["env".to_owned(), there].into_iter().chain(as_user(user)));
    farm.completed(&farm.script("true"));
    node.finish();
}
