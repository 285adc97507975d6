// SPDX-License-Identifier: GPL-3.0-or-later

//! A task that is being ended when its worker becomes another.

use standin_manager::TaskStatus;

use super::{WAITS, go, hang_up, program, reloaded, status};
use test_bed::{Farm, bash, cancel, lives};

#[test]
fn l2_a_program_that_was_asked_to_end_has_its_grace_and_is_not_asked_twice() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("grace", "10m")]);
    let task = farm.task(&[bash(&format!("trap 'echo asked' TERM; {WAITS}")), bash("touch second")]);
    farm.says(&task, "> running");
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    farm.says(&task, "> asked");
    reloaded(&node);
    hang_up(&node);
    assert!(lives(program(&node)));
    assert!(status(&node).to_string().contains("task"), "{}", status(&node));
    go(&node);
    farm.says(&task, "ended as asked");
    assert_eq!(farm.log(&task).matches("> asked").count(), 1);
    farm.completed(&farm.script("true"));
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Canceled);
    assert!(!node.folder.join("second").exists());
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.finish();
}

/// A grace that began anew with each reload would never end.
#[test]
fn l2_a_grace_does_not_begin_anew() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("grace", "2s")]);
    let task =
        farm.running("trap '' TERM; echo $$ > pid; setsid sleep 1000 & echo running; while :; do sleep 0.02; done");
    let pid = program(&node);
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    node.until("the task to be ended", || node.log().contains("ending the task: "));
    node.until("the program to be killed", || {
        reloaded(&node);
        !lives(pid)
    });
    farm.says(&task, "ended as asked");
    node.childless();
    let task = farm.running("echo running; while :; do sleep 0.02; done");
    reloaded(&node);
    cancel(&farm, &task);
    node.finish();
}
