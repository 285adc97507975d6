// SPDX-License-Identifier: GPL-3.0-or-later

//! A program that ends while what it started goes on: waited for while it works, ended when it idles.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::TaskStatus;

use test_bed::{Farm, cancel, exec, farm_with_grace, file, lives, number, pass};
use test_needs::missing;

/// What the log says of those who are waited for.
const WAITED_FOR: &str = "hold its output: they are waited for while they work";

#[test]
fn i18_setsid_as_the_program_does_not_fork_and_its_program_is_the_task() {
    if missing("setsid") {
        return;
    }
    let (farm, node) = Farm::with_awake_node();
    let task = farm.task(&[exec(
        "setsid",
        json!(["bash", "-c", "sleep 0.5; echo $$ is over; exit 3"]),
    )]);
    farm.failed(&task);
    let log = farm.log(&task);
    let said = log.lines().find(|line| line.ends_with(" is over")).unwrap_or_default();
    let pids: Vec<_> = said.split(' ').filter(|word| word.parse::<i32>().is_ok()).collect();
    let prefix = said.split(' ').find_map(|word| word.strip_prefix("pid="));
    assert_eq!(prefix, pids.last().copied(), "setsid is not the program: {log}");
    assert!(log.contains("exited abnormally with code 3"), "{log}");
    assert!(!log.contains("left behind"), "{log}");
    node.finish();
}

#[test]
fn i18_setsid_as_the_program_is_asked_to_end_as_any_other() {
    if missing("setsid") {
        return;
    }
    let (farm, node) = farm_with_grace("10s");
    let script = "trap 'echo cleaned > cleaned; exit 0' TERM; echo running; while :; do sleep 0.02; done";
    let task = farm.task(&[exec("setsid", json!(["bash", "-c", script]))]);
    farm.says(&task, "> running");
    cancel(&farm, &task);
    assert_eq!(file(&node.folder.join("cleaned")), "cleaned\n");
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.childless();
    node.finish();
}

#[test]
fn i18_a_program_leads_no_group_and_is_in_no_session_of_ours() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("read -r pid _ _ parent group session _ < /proc/$$/stat; echo $pid $parent $group $session > ids; cut -d' ' -f6 /proc/$PPID/stat >> ids");
    farm.completed(&task);
    let ids: Vec<i32> = file(&node.folder.join("ids"))
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [pid, parent, group, session, guards] = ids[..] else {
        panic!("{ids:?}")
    };
    assert_ne!(pid, group);
    assert_eq!(group, session);
    assert_eq!(guards, parent, "the guard leads its own session");
    assert_ne!(session, guards);
    node.finish();
}

/// Leaves a process that does `work` until the file `go` is there, and then says so; expects it to be waited for.
fn is_waited_for(work: &str, linger: &'static str) {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("linger", linger), ("output_drain", "100ms")]);
    let script = format!("(until [ -e go ]; do {work}; done; echo the real end) & echo leaving");
    let task = farm.script(&script);
    farm.says(&task, WAITED_FOR);
    // Longer than anything that is idle would be waited for.
    pass(Duration::from_secs(3));
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Active);
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("> the real end"), "{log}");
    assert_eq!(log.matches(WAITED_FOR).count(), 1, "{log}");
    assert!(!log.contains("left behind"), "{log}");
    node.childless();
    node.finish();
}

#[test]
fn i18_what_a_wrapper_left_in_the_background_is_waited_for_while_it_uses_the_processor() {
    is_waited_for(":", "1s");
}

#[test]
fn i18_what_a_wrapper_left_in_the_background_is_waited_for_while_it_prints() {
    is_waited_for("echo tick; sleep 0.1", "2s");
}

#[test]
fn i18_what_works_below_a_shell_that_waits_is_waited_for() {
    // The shell holds the output and does nothing; its child works, and holds none.
    is_waited_for("bash -c 'until [ -e go ]; do :; done' > /dev/null 2>&1", "1s");
}

#[test]
fn a6_what_holds_the_output_and_idles_is_named_and_ended_and_the_exit_code_stands() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("output_drain", "50ms")]);
    let task = farm.script("sleep 1000 & echo $! > pid; exit 0");
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains(WAITED_FOR), "{log}");
    assert!(log.contains("left behind and ended: sleep (pid "), "{log}");
    assert!(log.contains("left behind and idle; it was not waited for"), "{log}");
    assert!(log.contains("ended with code 0"), "{log}");
    assert!(!lives(number(&node.folder.join("pid"))));
    node.finish();
}

#[test]
fn a6_what_gave_up_the_output_is_not_waited_for_though_it_works() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("linger", "10m"), ("output_drain", "100ms")]);
    let task = farm.script("nohup bash -c 'while :; do :; done' > /dev/null 2>&1 & exit 0");
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(!log.contains(WAITED_FOR), "{log}");
    assert!(log.contains("left behind and ended: "), "{log}");
    node.childless();
    node.finish();
}

#[test]
fn i18_what_is_waited_for_is_asked_to_end_and_its_task_is_not_completed() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("linger", "10s"), ("grace", "10s")]);
    let work = "trap \"echo cleaned > cleaned; exit 0\" TERM; while :; do :; done";
    let task = farm.script(&format!("setsid bash -c '{work}' & echo leaving"));
    farm.says(&task, WAITED_FOR);
    cancel(&farm, &task);
    assert_eq!(file(&node.folder.join("cleaned")), "cleaned\n");
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.childless();
    node.finish();
}

#[test]
fn i18_a_guard_killed_while_what_it_waits_for_works_gives_no_completed_task() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("linger", "10s")]);
    let work = "until [ -e go ]; do :; done; echo the real end";
    let task = farm.script(&format!("echo run >> runs; ({work}) & exit 0"));
    farm.says(&task, WAITED_FOR);
    kill(Pid::from_raw(node.children()[0]), Signal::SIGKILL).unwrap();
    farm.says(&task, "the guard of the program was lost");
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    assert_eq!(file(&node.folder.join("runs")), "run\nrun\n");
    node.childless();
    node.finish();
}
