// SPDX-License-Identifier: GPL-3.0-or-later

//! A guard that is hindered: stopped, traced, out of processes, blind; and words too long for it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{JobSpec, TaskSpec};

use test_bed::{Farm, Strace, as_user, bash, becoming_root, dies, exec, file, number, own_user, start_through, until};
use test_needs::{missing, skipped};

#[test]
fn i4_a_task_whose_name_is_too_long_for_the_kernel_runs() {
    let (farm, node) = Farm::with_awake_node();
    let name = "n".repeat(140_000);
    let job = JobSpec::new("job").task(TaskSpec::new(&name).command(bash("echo it runs")));
    let task = farm.job(job).remove(0);
    farm.completed(&task);
    assert!(farm.log(&task).contains("> it runs"));
    node.finish();
}

#[test]
fn i4_a_task_whose_program_or_words_are_too_long_for_the_kernel_fails_and_the_next_one_runs() {
    let (farm, node) = Farm::with_awake_node();
    let cases = [
        (exec(&"x".repeat(140_000), json!([])), "ENAMETOOLONG"),
        (exec(&format!("/{}", "x".repeat(140_000)), json!([])), "ENAMETOOLONG"),
        (exec("true", json!(["a".repeat(140_000)])), "E2BIG"),
    ];
    for (command, why) in cases {
        let task = farm.task(&[command]);
        farm.failed(&task);
        farm.says(&task, why);
        assert!(!farm.log(&task).contains("Handed back"));
    }
    farm.completed(&farm.script("true"));
    node.finish();
}

#[test]
fn i7_a_program_that_stops_its_guard_and_ends_has_ended() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("guard_silence", "500ms")]);
    let task = farm.script("kill -STOP $PPID; exit 0");
    farm.completed(&task);
    let task = farm.script("kill -STOP $PPID; exit 7");
    farm.failed(&task);
    assert!(farm.log(&task).contains("exited abnormally with code 7"));
    assert!(node.log().contains("a guard was stopped; it goes on"));
    node.childless();
    node.finish();
}

#[test]
fn i7_a_program_that_stops_its_guard_time_and_again_does_not_hold_a_stop() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("unkillable", "10m"), ("guard_silence", "10m")]);
    // It has said that it has heard the order by then.
    let task = farm.running(
        "trap 'sleep 0.5; while :; do kill -STOP $PPID; done' TERM; echo running; while :; do sleep 0.02; done",
    );
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.nothing_left();
}

/// Holds its guard as a tracer, and says so; `x86_64` and `aarch64` only.
const TRACER: &str = "setsid perl -e '$| = 1; my $call = qx(uname -m) =~ /x86_64/ ? 101 : 117; \
     print syscall($call, 16, $ARGV[0] + 0, 0, 0) == 0 ? \"held\\n\" : \"refused\\n\"; sleep 1000 while 1' $PPID & ";

/// Whether the task's program holds its guard by now.
fn is_held(farm: &Farm, task: &str) -> bool {
    let held = farm.wait("the guard to be held, or not", |farm| {
        let log = farm.log(task);
        (log.contains("> held") || log.contains("> refused")).then(|| log.contains("> held"))
    });
    if !held {
        skipped("a process may not trace its parent here");
    }
    held
}

#[test]
fn i7_a_worker_whose_guard_is_held_by_a_tracer_can_be_stopped() {
    if missing("perl") {
        return;
    }
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("guard_silence", "2s")]);
    let task = farm.script(&format!("{TRACER} sleep 1000"));
    if !is_held(&farm, &task) {
        return node.finish();
    }
    let guard = node.children()[0];
    assert_eq!(node.stop(), 0);
    dies(guard, &node);
    node.nothing_left();
}

#[test]
fn i7_a_task_whose_guard_is_held_by_a_tracer_is_given_back_and_runs_again() {
    if missing("perl") {
        return;
    }
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("guard_silence", "500ms"), ("linger", "10m")]);
    let task = farm.script(&format!("[ -e once ] && exit 0; touch once; {TRACER} sleep 1000"));
    if !is_held(&farm, &task) {
        return node.finish();
    }
    farm.completed(&task);
    assert!(farm.log(&task).contains("the guard of the program was lost"));
    node.childless();
    node.finish();
}

#[test]
fn f9_a_guard_that_cannot_fork_gives_its_task_back() {
    let (farm, node) = Farm::with_awake_node();
    let Some((task, guard)) = Strace::next_guard(&node, || farm.script("true")) else {
        return;
    };
    let strace = Strace::attach(&node, guard, "clone,clone3,fork,vfork:error=EAGAIN", false).unwrap();
    kill(Pid::from_raw(guard), Signal::SIGCONT).unwrap();
    farm.says(&task, "Handed back: no program can be started on this node");
    strace.detach();
    farm.completed(&task);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn i8_a_stray_that_cannot_be_seen_holds_neither_its_task_nor_a_stop() {
    if missing("unshare") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    node.set("unkillable", "500ms").set("output_drain", "100ms");
    let Some(user) = own_user(&farm, &node) else { return };
    let become_root = becoming_root(&node);
    let hide = "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", hide, "-"].map(str::to_owned);
    start_through(&mut node, wrapper.into_iter().chain(as_user(user)));
    farm.awake();
    let task = farm.script(&format!(
        "setsid {become_root} bash -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 1000' > /dev/null 2>&1 & \
         until [ -e pid ]; do sleep 0.02; done; exit 0",
    ));
    let pid = number(&node.folder.join("pid"));
    farm.completed(&task);
    assert!(farm.log(&task).contains(&format!(
        "left behind, and cannot be ended: a hidden process (pid {pid})"
    )));
    let guard = node.children()[0];
    assert_eq!(node.stop(), 0);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until(
        "the guard to be gone",
        || (!test_bed::lives(guard)).then_some(()),
        || file(&node.log_file()),
    );
    node.nothing_left();
}
