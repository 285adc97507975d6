// SPDX-License-Identifier: GPL-3.0-or-later

//! A task that stands still, and goes on where it was.

use serde_json::Value;
use standin_manager::{Endpoint, WorkerStatus};

use super::{
    WORKS, command, go, is, is_queued, is_stopped, pause, program, ran_once, resume, running, stands_still, status,
    told,
};

#[test]
fn m2_a_task_stands_still_and_everybody_is_told() {
    let (farm, node, task) = running("", WORKS);
    let next = farm.script("true");
    let said = told(&node, &["pause"]);
    assert_eq!(said, "is paused until it is resumed; its task stands still");
    stands_still(&node);
    farm.says(&task, "Paused: this worker was paused by hand");
    farm.wait("the activity", |farm| {
        let found = farm.task(&task)?;
        (found.activity == "paused: this worker was paused by hand").then_some(())
    });
    is(&node, "/activity", "running");
    assert!(status(&node)["task"]["paused_since"].is_string());
    let line = crate::status::status(&node.home(), &[]);
    let line = String::from_utf8(line.stdout).unwrap();
    let words = "paused for less than a minute, this worker was paused by hand: running ";
    assert!(line.contains(words), "{line}");
    // To the Manager it runs.
    let asked = farm.requests(Endpoint::MayIRun).len();
    farm.asked(Endpoint::MayIRun, asked + 3);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Awake);
    go(&node);
    assert!(is_stopped(program(&node)), "it does not notice");

    resume(&node);
    ran_once(&farm, &task);
    let log = farm.log(&task);
    assert!(log.contains("\nResumed after 0."), "{log}");
    farm.completed(&next);
    let (code, said) = command(&node, &["history", "--json"]);
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert!(code == 0 && first["paused_ms"].as_u64() > Some(0), "{said}");
    let log = node.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(" info ")).collect();
    for word in ["paused", "goes on"] {
        assert_eq!(told.iter().filter(|line| line.contains(word)).count(), 1, "{told:#?}");
    }
    assert!(
        !told
            .iter()
            .any(|line| line.contains("Ordered(") || line.contains("resumed")),
        "{told:#?}"
    );
    node.finish();
}

#[test]
fn m2_a_task_that_ends_between_two_programs_begins_the_next_one_standing_still() {
    let (farm, node, first) = running("", "echo running");
    farm.completed(&first);
    let task = farm.task(&[
        test_bed::bash("echo running; until [ -e first ]; do sleep 0.02; done"),
        test_bed::bash(WORKS),
    ]);
    farm.says(&task, "> running");
    pause(&node);
    std::fs::write(node.folder.join("first"), "").unwrap();
    resume(&node);
    farm.wait("the second program", |farm| {
        (farm.log(&task).matches("> running").count() == 2).then_some(())
    });
    pause(&node);
    stands_still(&node);
    resume(&node);
    go(&node);
    farm.completed(&task);
    node.finish();
}

#[test]
fn m8_a_reload_meanwhile_changes_nothing() {
    let (farm, node, task) = running("", WORKS);
    pause(&node);
    stands_still(&node);
    for _ in 0..3 {
        let (code, said) = command(&node, &["reload"]);
        assert_eq!(code, 0, "{said}\n{}", node.log());
        assert!(is_stopped(program(&node)));
    }
    assert!(status(&node)["task"]["paused_since"].is_string());
    assert_eq!(farm.log(&task).matches("Paused: ").count(), 1, "{}", farm.log(&task));
    go(&node);
    resume(&node);
    ran_once(&farm, &task);
    let log = farm.log(&task);
    assert_eq!(log.matches("Resumed after ").count(), 1, "{log}");
    node.finish();
}

#[test]
fn m8_what_is_resumed_during_a_reload_goes_on() {
    let (farm, node, task) = running("", WORKS);
    pause(&node);
    stands_still(&node);
    go(&node);
    let (code, said) = command(&node, &["reload"]);
    assert_eq!(code, 0, "{said}");
    resume(&node);
    let next = farm.script("true");
    ran_once(&farm, &task);
    ran_once(&farm, &next);
    assert!(!is_queued(&farm, &task));
    node.finish();
}
