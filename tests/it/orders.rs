// SPDX-License-Identifier: GPL-3.0-or-later

//! Every signal in every state: starting, idle, running, asleep, leaving, and where the worker itself is stuck.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, WorkerStatus};
use tokio::time::Instant;

use test_bed::{Farm, Node, lives, logged, start_through, until};
use test_needs::{missing, skipped};

const LEAVE: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// A task that ends when the node's folder has a file `go`, and ignores being asked to end.
const STUBBORN: &str = "trap 'echo ignored' TERM; echo running; until [ -e go ]; do sleep 0.02; done";

fn go(node: &Node) {
    fs::write(node.folder.join("go"), "").unwrap();
}

/// How often the Manager was told, answered or not.
fn told(farm: &Farm, endpoint: Endpoint) -> usize {
    farm.requests(endpoint).len()
}

#[test]
fn e1_any_signal_to_leave_while_asleep_signs_off_once_and_exits_0() {
    for signal in LEAVE {
        let (farm, mut node) = Farm::with_awake_node();
        node.signal(Signal::SIGUSR1);
        farm.status(WorkerStatus::Asleep);
        node.signal(signal);
        assert_eq!(node.ended(), 0);
        assert_eq!(told(&farm, Endpoint::SignOff), 1);
        assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
        node.nothing_left();
    }
}

#[test]
fn e10_any_signal_to_leave_while_the_sign_on_hangs_exits_0_and_signs_off() {
    for signal in LEAVE {
        let (farm, mut node) = Farm::with_node();
        farm.fault(Fault::at(Endpoint::SignOn, FaultKind::Hang));
        node.start();
        farm.asked(Endpoint::SignOn, 1);
        node.signal(signal);
        assert_eq!(node.ended(), 0);
        // The Manager may have taken the sign-on for one.
        assert_eq!(told(&farm, Endpoint::SignOff), 1);
        node.nothing_left();
    }
}

#[test]
fn e4_a_stop_in_mid_drain_ends_the_task_and_another_skips_the_grace() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("grace", "10m")]);
    let task = farm.running(STUBBORN);
    node.signal(Signal::SIGQUIT);
    logged(&node, "signal received: Drain");
    node.signal(Signal::SIGTERM);
    farm.says(&task, "> ignored");
    assert!(node.runs());
    node.signal(Signal::SIGINT);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(told(&farm, Endpoint::SignOff), 1);
    node.nothing_left();
}

#[test]
fn e4_a_sleep_or_a_wake_does_not_take_back_a_drain() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running(STUBBORN);
    for (signal, order) in [
        (Signal::SIGQUIT, "Drain"),
        (Signal::SIGUSR1, "Sleep"),
        (Signal::SIGUSR2, "Wake"),
        (Signal::SIGHUP, "HangUp"),
    ] {
        node.signal(signal);
        logged(&node, &format!("signal received: {order}"));
    }
    go(&node);
    assert_eq!(node.ended(), 0);
    farm.completed(&task);
    node.nothing_left();
}

#[test]
fn usr1_in_mid_task_lets_it_finish_then_sleeps_until_usr2() {
    let (farm, node) = Farm::with_awake_node();
    let (task, next) = (farm.script(STUBBORN), farm.script("true"));
    farm.says(&task, "> running");
    node.signal(Signal::SIGUSR1);
    logged(&node, "signal received: Sleep");
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Awake, "it still works");
    go(&node);
    farm.completed(&task);
    farm.status(WorkerStatus::Asleep);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    node.signal(Signal::SIGUSR2);
    farm.completed(&next);
    node.finish();
}

#[test]
fn usr2_in_mid_task_takes_back_a_usr1() {
    let (farm, node) = Farm::with_awake_node();
    let (task, next) = (farm.script(STUBBORN), farm.script("true"));
    farm.says(&task, "> running");
    let said = told(&farm, Endpoint::StateChanged);
    for (signal, order) in [(Signal::SIGUSR1, "Sleep"), (Signal::SIGUSR2, "Wake")] {
        node.signal(signal);
        logged(&node, &format!("signal received: {order}"));
    }
    go(&node);
    farm.completed(&task);
    farm.completed(&next);
    assert_eq!(told(&farm, Endpoint::StateChanged), said, "it was awake all the time");
    node.finish();
}

#[test]
fn usr1_before_the_manager_is_there_is_obeyed_when_it_is() {
    let farm = Farm::new();
    let task = farm.script("true");
    farm.manager.stop();
    let mut node = farm.node("node");
    node.start();
    logged(&node, "cannot");
    node.signal(Signal::SIGUSR1);
    logged(&node, "signal received: Sleep");
    farm.manager.start_again().unwrap();
    farm.status(WorkerStatus::Asleep);
    assert_eq!(told(&farm, Endpoint::FetchTask), 0);
    node.signal(Signal::SIGUSR2);
    farm.completed(&task);
    node.finish();
}

#[test]
fn usr1_while_it_waits_for_its_home_is_obeyed_when_it_has_it() {
    let farm = Farm::new();
    let mut first = farm.awake_node();
    let mut second = farm.node("second");
    second.environment.push(("FLAMENCO_HOME".into(), first.home().into()));
    second.set("lock_timeout", "10m").start();
    logged(&second, "flamenco-worker starts");
    second.signal(Signal::SIGUSR1);
    logged(&second, "signal received: Sleep");
    assert_eq!(first.stop(), 0);
    farm.status(WorkerStatus::Asleep);
    assert_eq!(second.stop(), 0);
    first.nothing_left();
}

#[test]
fn e8_a_stop_while_the_sign_off_hangs_leaves_at_once_and_signs_off_once() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("leave", "30m"), ("leave_sign_off", "30m")]);
    farm.fault(Fault::at(Endpoint::SignOff, FaultKind::Hang).forever());
    node.signal(Signal::SIGTERM);
    farm.asked(Endpoint::SignOff, 1);
    node.signal_again(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    assert_eq!(told(&farm, Endpoint::SignOff), 1);
    assert!(node.home().join("signed-on").exists(), "for the next start");
    node.nothing_left();
}

#[test]
fn e9_c21_a_sign_off_that_hangs_is_tried_three_times_within_its_time() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("leave_sign_off", "1500ms")]);
    farm.fault(Fault::at(Endpoint::SignOff, FaultKind::Hang).forever());
    assert_eq!(node.stop(), 0);
    assert_eq!(told(&farm, Endpoint::SignOff), 3);
    node.nothing_left();
}

#[test]
fn e9_a_stop_takes_20_seconds_at_the_most_with_the_worst_of_programs_and_managers() {
    let farm = Farm::new();
    // As it comes: only the tests have shorter ones.
    let mut node = farm.awake_node_with(&[
        ("grace", "8s"),
        ("backoff_min", "1s"),
        ("backoff_max", "30s"),
        ("asleep_backoff_max", "10s"),
    ]);
    let script = "trap '' TERM; echo running; until [ -e go ]; do sleep 0.02; done; echo unsent; (setsid sleep 1000 &) ; sleep 1000";
    let task = farm.running(script);
    farm.fault(Fault::anywhere(FaultKind::Hang).forever());
    go(&node);
    let begin = Instant::now();
    assert_eq!(node.stop(), 0);
    let took = begin.elapsed();
    // A second for a machine that is busy.
    assert!(
        (Duration::from_secs(14)..Duration::from_secs(21)).contains(&took),
        "{took:?}"
    );
    assert_eq!(told(&farm, Endpoint::SignOff), 3);
    node.nothing_left();
    let spool = fs::read_dir(node.home().join("spool").join(&task)).unwrap().flatten();
    let files: Vec<_> = spool.map(|entry| fs::read(entry.path()).unwrap()).collect();
    let kept = files
        .iter()
        .any(|bytes| String::from_utf8_lossy(bytes).contains("> unsent"));
    assert!(kept, "what could not be sent is on disk");
}

#[test]
fn e3_a_third_signal_ends_a_worker_that_is_stuck_itself() {
    let (farm, mut node) = Farm::with_node();
    let Some(library) = stuck_in_a_note(&node) else { return };
    start_through(&mut node, ["env", &format!("LD_PRELOAD={}", library.display())]);
    farm.awake();
    farm.running("echo $$ > pid; echo running; sleep 1000");
    kill(Pid::from_raw(node.children()[0]), Signal::SIGKILL).unwrap();
    let stuck = || node.folder.join("stuck").exists().then_some(());
    until("the worker to be stuck", stuck, || node.log());
    let pid = node.pid();
    for _ in 0..2 {
        node.signal_again(Signal::SIGTERM);
        let taken = || pending(pid).then_some(());
        until("the signal to be taken", taken, || node.log());
        assert!(lives(pid));
    }
    assert!(
        !node.log().contains("signal received"),
        "it hears nothing:\n{}",
        node.log()
    );
    node.signal_again(Signal::SIGTERM);
    assert_eq!(node.ended(), 130);
    node.nothing_left_but_files();
}

/// A library below which the note that a worker makes when it hands a task back never comes to its end; then there is a
/// file `stuck`.
fn stuck_in_a_note(node: &Node) -> Option<PathBuf> {
    if missing("cc") {
        return None;
    }
    let library = node.folder.join("stuck.so");
    let source = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdarg.h>
        #include <string.h>
        #include <unistd.h>
        int open64(const char *path, int flags, ...) {
            va_list more;
            va_start(more, flags);
            int mode = va_arg(more, int);
            va_end(more);
            if (strstr(path, "/home/resting") && (flags & O_ACCMODE) != O_RDONLY) {
                close(openat(AT_FDCWD, "stuck", O_WRONLY | O_CREAT, 0600));
                for (;;) pause();
            }
            return openat(AT_FDCWD, path, flags, mode);
        }
    "#;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-x", "c", "-", "-o"]).arg(&library);
    let mut compiler = compiler.stdin(Stdio::piped()).spawn().unwrap();
    compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
    Some(library)
}

/// timeout(1) sends what it gets to its child, and then to the group that the child is in.
#[test]
fn e3_the_same_signal_twice_at_once_is_one_and_the_program_keeps_its_grace() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("grace", "10m")]);
    let task = farm.running("trap 'sleep 0.5; echo tidied up; exit' TERM; echo running; while :; do sleep 0.02; done");
    let pid = node.pid();
    let begun = Instant::now();
    for _ in 0..2 {
        node.signal(Signal::SIGTERM);
        let taken = || pending(pid).then_some(());
        until("the signal to be taken", taken, || node.log());
    }
    let at_once = begun.elapsed() < Duration::from_millis(100);
    assert_eq!(node.ended(), 0);
    if at_once {
        assert!(farm.log(&task).contains("> tidied up"), "{}", farm.log(&task));
    } else {
        skipped("this machine is too busy to send two signals at once");
    }
    node.nothing_left();
}

/// Whether no signal waits to be taken by a process.
fn pending(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let masks = status
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")));
    masks
        .into_iter()
        .all(|mask| mask.trim().chars().all(|digit| digit == '0'))
}

#[test]
fn e11_a_terminal_that_goes_away_is_a_stop() {
    if missing("script") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    // A shell that hands the signal on only by being gone.
    start_through(
        &mut node,
        [
            "bash",
            "-c",
            "exec script -qfec \"exec $(printf '%q ' \"$0\" \"$@\")\" said",
        ],
    );
    farm.awake();
    let task = farm.running(STUBBORN);
    let worker = node.children()[0];
    node.kill();
    until("the worker to leave", || (!lives(worker)).then_some(()), || farm.logs());
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(told(&farm, Endpoint::SignOff), 1);
    node.nothing_left();
}
