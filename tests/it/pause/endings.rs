// SPDX-License-Identifier: GPL-3.0-or-later

//! What ends a task that stands still, or whose machine is paused: as if it ran.

use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::{TaskStatus, When, WorkerStatus};
use test_bed::{Farm, Node, file, logged};

use super::{WORKS, go, is, is_queued, pause, program, resume, running, stands_still};

/// A script that notes when it is asked to end, and ends.
const HEARS: &str =
    "trap 'echo heard > heard; exit 3' TERM INT; echo $$ > pid; echo running; while :; do sleep 0.02; done";

/// A program that stands still and is to end: it hears that, and nothing of it is left.
fn heard(what: &str, end: impl FnOnce(&Farm, &Node, &str)) -> (Farm, Node, String) {
    let (farm, node, task) = running("", HEARS);
    pause(&node);
    stands_still(&node);
    end(&farm, &node, &task);
    let noted = test_bed::until_within(
        Duration::from_secs(20),
        what,
        || {
            std::fs::read_to_string(node.folder.join("heard"))
                .ok()
                .filter(|text| !text.is_empty())
        },
        || node.log(),
    );
    assert_eq!(noted, "heard\n", "{what}");
    (farm, node, task)
}

#[test]
fn m7_a_cancel_is_heard() {
    let (farm, node, task) = heard("a cancel", |farm, _, task| {
        farm.manager.set_task_status(task, TaskStatus::Canceled).unwrap();
    });
    logged(&node, "task task aborted");
    farm.status(WorkerStatus::Asleep);
    let log = farm.log(&task);
    assert!(!log.contains("Resumed"), "{log}");
    resume(&node);
    farm.completed(&farm.script("true"));
    node.finish();
}

#[test]
fn m7_send_to_sleep_at_once_is_heard_and_outlives_the_pause() {
    let (farm, node, task) = heard("a sleep", |farm, _, _| farm.ask(WorkerStatus::Asleep, When::Now));
    farm.status(WorkerStatus::Asleep);
    assert!(is_queued(&farm, &task));
    is(&node, "/why", "asked by the Manager");
    resume(&node);
    is(&node, "/why", "asked by the Manager");
    node.finish();
}

#[test]
fn m7_shut_down_restart_and_sigterm_are_heard() {
    let ends = [
        ("a shutdown", Some(WorkerStatus::Offline), 0),
        ("a restart", Some(WorkerStatus::Restart), 47),
        ("SIGTERM", None, 0),
    ];
    for (what, asked, code) in ends {
        let (farm, mut node, task) = heard(what, |farm, node, _| match asked {
            Some(status) => farm.ask(status, When::Now),
            None => node.signal(Signal::SIGTERM),
        });
        assert_eq!(node.ended(), code, "{what}");
        assert!(is_queued(&farm, &task), "{what}");
        node.nothing_left();
    }
}

#[test]
fn m7_a_second_stop_and_a_kill_of_the_worker_leave_nothing() {
    let (farm, mut node, task) = running(
        "",
        "trap '' TERM INT; echo $$ > pid; echo running; while :; do sleep 0.02; done",
    );
    pause(&node);
    stands_still(&node);
    node.signal(Signal::SIGTERM);
    logged(&node, "ending the task");
    node.signal_again(Signal::SIGTERM);
    node.ended();
    assert!(is_queued(&farm, &task));
    node.nothing_left();

    let (_farm, mut node, _) = running("", WORKS);
    pause(&node);
    stands_still(&node);
    node.kill();
    node.nothing_left_but_files();
}

#[test]
fn m7_the_guard_of_what_stands_still_is_killed_and_then_both() {
    let (farm, mut node, task) = running("", WORKS);
    pause(&node);
    stands_still(&node);
    let guard = node.children()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    farm.says(&task, "Handed back: ");
    farm.status(WorkerStatus::Asleep);
    node.swept();
    resume(&node);
    std::fs::remove_file(node.folder.join("pid")).unwrap();
    farm.wait("the task to run again", |farm| {
        (farm.log(&task).matches("> running").count() == 2).then_some(())
    });
    pause(&node);
    stands_still(&node);
    let pids = [node.children()[0], node.pid()];
    for pid in pids {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    node.kill();
    let program = program(&node);
    node.start();
    node.until("the program to be gone", || !test_bed::lives(program));
    farm.status(WorkerStatus::Asleep);
    go(&node);
    resume(&node);
    farm.completed(&task);
    node.finish();
}

#[test]
fn m7_the_limit_of_a_drain_does_not_stand_still() {
    let (farm, mut node) = Farm::with_node();
    node.set("drain_limit", "1s");
    farm.start(&mut node);
    let task = farm.running(WORKS);
    pause(&node);
    stands_still(&node);
    node.signal(Signal::SIGQUIT);
    assert_eq!(node.ended(), 0);
    assert!(is_queued(&farm, &task));
    node.nothing_left();
}

#[test]
fn m7_one_that_stood_still_for_too_long_goes_back_and_is_run_later() {
    let (farm, node, task) = running("limit = \"1s\"", WORKS);
    pause(&node);
    farm.says(&task, "Stopped: it stood still for 1s");
    farm.status(WorkerStatus::Asleep);
    assert!(is_queued(&farm, &task));
    assert_eq!(farm.outcomes(&task), [""; 0]);
    go(&node);
    resume(&node);
    farm.completed(&task);
    node.finish();
}

#[test]
fn m9_a_task_goes_back_at_once_where_its_operator_wants_that() {
    let (farm, node, task) = running("policy = \"requeue\"", HEARS);
    pause(&node);
    assert_eq!(file(&node.folder.join("heard")), "heard\n");
    farm.says(&task, "Stopped: this worker was paused by hand");
    farm.status(WorkerStatus::Asleep);
    assert!(is_queued(&farm, &task));
    node.finish();
}

#[test]
fn m9_a_task_is_finished_first_where_its_operator_wants_that() {
    let (farm, node, task) = running("policy = \"sleep\"", WORKS);
    let next = farm.script("true");
    pause(&node);
    go(&node);
    farm.completed(&task);
    farm.status(WorkerStatus::Asleep);
    assert!(is_queued(&farm, &next));
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
    resume(&node);
    farm.completed(&next);
    node.finish();
}
