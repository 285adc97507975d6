// SPDX-License-Identifier: GPL-3.0-or-later

//! Kernels with every version of Landlock, and with none.

use std::fs;

use serde_json::json;
use standin_manager::WorkerStatus;

use super::{Bed, no_landlock};
use test_bed::{bash, exec, logged};
use test_needs::missing;

const PYTHON: &str = "/usr/bin/python3";
const NEWEST: u32 = 6;

/// A worker on a kernel with this version; it has been told to start.
fn on(version: u32, rules: &[&str]) -> Bed {
    Bed::through(&[PYTHON, "-c", include_str!("kernel.py"), &version.to_string()], rules)
}

#[test]
fn n1_each_version_of_landlock_enforces_what_it_knows_and_the_rest_is_said_once() {
    if no_landlock() | missing(PYTHON) {
        return;
    }
    for version in 0..=NEWEST {
        let bed = on(version, &["write = [\"SHARED\"]"]);
        bed.farm.awake();
        let said = bed.node.log().matches("[sandbox] is not enforced in full").count();
        assert_eq!(said, usize::from(version < 6), "{version}: {}", bed.node.log());
        let [new, kept, moved] =
            ["outside/new", "outside/kept", "shared/b/x"].map(|name| bed.at(name).display().to_string());
        let shared = bed.at("shared").display().to_string();
        let script = format!(
            "echo > {new}; echo create $?; truncate -s 5 {kept}; echo truncate $?; mkdir {shared}/a {shared}/b; echo > {shared}/a/x; \
             mv {shared}/a/x {moved}; echo move $?; kill -0 $PPID; echo signal $?"
        );
        let log = bed.completed(bash(&script));
        let refused = |what: &str, is_refused: bool| {
            let line = format!("> {what} {}", i32::from(is_refused));
            assert!(log.contains(&line), "version {version}, {line}: {log}");
        };
        refused("create", version >= 1);
        // That opens the file for writing, too.
        refused("truncate", version >= 1);
        // Where the kernel moves nothing to another folder, `mv` copies.
        refused("move", false);
        refused("signal", version >= 6);
        bed.completed(exec("true", json!([])));
        bed.node.finish();
    }
}

#[test]
fn n1_with_require_a_kernel_that_lacks_a_rule_takes_no_task_and_says_why() {
    if no_landlock() | missing(PYTHON) {
        return;
    }
    for version in [0, 2] {
        let bed = on(version, &["write = [\"SHARED\"]", "require = true"]);
        let task = bed.farm.script("touch never");
        bed.farm.status(WorkerStatus::Asleep);
        logged(&bed.node, "`require` of [sandbox] is set");
        bed.farm.says(&task, "this kernel cannot hold tasks to rules for");
        assert!(!bed.node.folder.join("never").exists());
        bed.node.finish();
    }
    // What is there is enough.
    let bed = on(3, &["write = [\"SHARED\"]", "require = true"]);
    bed.farm.awake();
    bed.completed(exec("true", json!([])));
    bed.node.finish();
}

#[test]
fn n1_without_landlock_programs_network_and_limits_are_seen_to_all_the_same() {
    if missing(PYTHON) {
        return;
    }
    let bed = on(
        0,
        &["programs = [\"bash\", \"/usr/bin/python3*\"]", "network = \"none\""],
    );
    bed.farm.awake();
    let (activity, _) = bed.failed(exec("cat", json!(["/etc/passwd"])));
    assert!(activity.contains("does not let tasks start"), "{activity}");
    let script = "import socket\ntry: socket.socket()\nexcept PermissionError: print('no socket')";
    let log = bed.completed(exec(PYTHON, json!(["-c", script])));
    assert!(log.contains("> no socket"), "{log}");
    fs::write(bed.at("shared/x"), "").unwrap();
    bed.node.finish();
}
