// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor says of control groups, and does not do with them.

use super::{Answer, node, program};
use test_bed::{Farm, Group};

#[test]
fn g4_a_group_that_is_delegated_is_told_and_left_as_it_is() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node(&farm);
    let place = group.0.display();
    let look = format!("for group in {place}/flamenco-*; do [ -d $group ] && echo made >made; done");
    program(&node, "blender", &format!("{look}; echo 'Blender 4.2.1'"));
    let enter = format!("echo $$ >{place}/cgroup.procs; exec \"$@\"");
    let answer = Answer::through(&["/bin/sh", "-c", &enter, "sh"], &node);
    assert!(
        answer
            .told("cgroup")
            .contains(&format!("has the control group {place} to itself"))
    );
    answer.says("ok", "blender", "4.2.1");
    assert!(!node.folder.join("made").exists(), "a program had a group");
    assert_eq!(group.below(), Vec::<String>::new());
}

#[test]
fn the_group_of_a_worker_at_work_is_told() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let mut node = node(&farm);
    let enter = format!("echo $$ >{}/cgroup.procs; exec \"$@\"", group.0.display());
    let mut worker = super::command(&["/bin/sh", "-c", &enter, "sh"], &node, &[]);
    node.start_with(&mut worker);
    farm.awake();
    let told = Answer::of(&node).told("cgroup");
    let expected = format!(
        "the worker (pid {}) has the control group {} to itself",
        node.pid(),
        group.0.display()
    );
    assert!(told.starts_with(&expected), "{told}");
    node.finish();
}
