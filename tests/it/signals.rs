// SPDX-License-Identifier: GPL-3.0-or-later

//! Signals: how a supervisor or a person stops a worker, and what it leaves behind.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, When, WorkerStatus};
use tokio::time::Instant;

use test_bed::{Farm, cancel, farm_with_grace, file, lives, logged, number, start_through};
use test_needs::missing;

#[test]
fn e1_term_while_idle_signs_off_and_exits_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let (farm, mut node) = Farm::with_awake_node();
        node.signal(signal);
        assert_eq!(node.ended(), 0);
        assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
        assert_eq!(farm.requests(Endpoint::SignOff).len(), 1);
        node.nothing_left();
    }
}

/// A mask goes through exec, and some supervisors forget theirs. With SIGCHLD in it no task ever ended; with SIGTERM, no
/// worker.
#[test]
fn e14_signals_that_were_blocked_by_whoever_started_it_are_heard_all_the_same() {
    let (farm, mut node) = Farm::with_node();
    start_through(&mut node, ["env", "--block-signal"]);
    farm.completed(&farm.script("true"));
    node.finish();
}

/// Also where the file is the worker's own log. It was SIGXFSZ for the worker, and so for the render.
#[test]
fn d2_a_limit_on_the_size_of_files_costs_lines_of_log_and_not_the_worker() {
    if missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    start_through(&mut node, ["prlimit", "--fsize=100000"]);
    let task = farm.script("yes 'a line of log' | head -n 30000; echo over");
    farm.completed(&task);
    farm.completed(&farm.script("true"));
    node.finish();
}

#[test]
fn e2_term_while_rendering_asks_politely_sends_the_last_lines_and_requeues() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("trap 'echo asked politely; exit 0' TERM; echo running; while :; do sleep 0.02; done");
    assert_eq!(node.stop(), 0);
    let log = farm.log(&task);
    assert!(log.contains("> asked politely"), "{log}");
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(
        farm.outcomes(&task),
        [""; 0],
        "an exit 0 after we asked is no completion"
    );
    let order: Vec<_> = farm.manager.requests().iter().map(|seen| seen.endpoint).collect();
    assert_eq!(order.last(), Some(&Endpoint::SignOff));
    node.nothing_left();
}

#[test]
fn e3_a_second_term_skips_the_grace() {
    let (farm, mut node) = Farm::with_node();
    node.set("grace", "10m");
    node.start();
    let task = farm.running("trap 'echo ignored' TERM; echo running; while :; do sleep 0.02; done");
    node.signal(Signal::SIGTERM);
    farm.says(&task, "> ignored");
    node.signal_again(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    node.nothing_left();
}

#[test]
fn e3_a_third_term_exits_at_once_and_nothing_of_the_task_survives() {
    let (farm, mut node) = Farm::with_node();
    node.set("grace", "10m")
        .set("leave_flush", "10m")
        .set("leave_sign_off", "10m")
        .set("changing_call", "10m");
    node.start();
    let task = farm.running("trap 'echo ignored' TERM; setsid sleep 1000 & echo running; while :; do sleep 0.02; done");
    farm.fault(Fault {
        endpoint: None,
        ..Fault::anywhere(FaultKind::Hang).forever()
    });
    node.signal(Signal::SIGTERM);
    node.until("the first signal to be heard", || node.log().contains("shutting down"));
    node.signal_again(Signal::SIGTERM);
    node.until("the task to be over", || node.children().is_empty());
    node.signal_again(Signal::SIGTERM);
    assert_eq!(node.ended(), 130);
    node.nothing_left_but_files();
    farm.manager.clear_faults();
    farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
    node.start();
    farm.wait("the next start to have made up for it", |farm| {
        let called = |endpoint| {
            farm.requests()
                .iter()
                .filter(|seen| seen.endpoint == endpoint && seen.status().is_some())
                .count()
        };
        (called(Endpoint::SignOff) == 1 && called(Endpoint::SignOn) == 2).then_some(())
    });
    node.finish();
}

#[test]
fn e8_a_signal_during_a_restart_gives_one_sign_off_and_0() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.fault(Fault::at(
        Endpoint::SignOff,
        FaultKind::DelayAnswer(Duration::from_millis(700)),
    ));
    farm.ask(WorkerStatus::Restart, When::Now);
    farm.asked(Endpoint::SignOff, 1);
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.requests(Endpoint::SignOff).len(), 1);
    node.nothing_left();
}

#[test]
fn e10_term_before_the_manager_is_there_exits_0_at_once_with_nothing_registered() {
    let farm = Farm::new();
    farm.manager.stop();
    let mut node = farm.node("node");
    node.start();
    node.until("the worker to miss its Manager", || node.log().contains("cannot"));
    assert_eq!(node.stop(), 0);
    farm.manager.start_again().unwrap();
    assert!(farm.manager.workers().is_empty());
    farm.start(&mut node);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn e10_term_while_a_registration_is_under_way_registers_once() {
    let farm = Farm::new();
    farm.fault(Fault::at(
        Endpoint::Register,
        FaultKind::DelayAnswer(Duration::from_millis(300)),
    ));
    let mut node = farm.node("node");
    node.start();
    farm.asked(Endpoint::Register, 1);
    assert_eq!(node.stop(), 0);
    farm.start(&mut node);
    assert_eq!(farm.manager.workers().len(), 1, "registered once");
    node.finish();
}

#[test]
fn e4_quit_finishes_the_task_reports_it_and_exits_0() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done");
    let next = farm.script("true");
    farm.says(&task, "> running");
    node.signal(Signal::SIGQUIT);
    node.until("the order to be heard", || node.log().contains("Drain"));
    std::fs::write(node.folder.join("go"), "").unwrap();
    assert_eq!(node.ended(), 0);
    farm.completed(&task);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    node.nothing_left();
}

/// The Manager takes the task of a worker that sleeps for unfinished, and gives it to somebody else.
#[test]
fn c28_a_worker_that_is_to_sleep_after_its_task_says_first_that_it_is_done() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let slow = FaultKind::Delay(Duration::from_millis(300));
    farm.fault(Fault::at(Endpoint::TaskUpdate, slow).forever());
    node.signal(Signal::SIGUSR1);
    logged(&node, "signal received: Sleep");
    fs::write(node.folder.join("go"), "").unwrap();
    farm.status(WorkerStatus::Asleep);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
    node.finish();
}

#[test]
fn usr1_sends_to_sleep_and_usr2_wakes() {
    let (farm, node) = Farm::with_awake_node();
    node.signal(Signal::SIGUSR1);
    farm.status(WorkerStatus::Asleep);
    node.signal(Signal::SIGUSR2);
    farm.awake();
    node.finish();
}

#[test]
fn signals_work_also_where_a_shell_left_them_ignored() {
    let (farm, mut node) = Farm::with_node();
    // What `worker &` in a script does to its child.
    let command = node.command();
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["-c", "trap '' INT QUIT; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    shell
        .current_dir(&node.folder)
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.start_with(&mut shell);
    farm.awake();
    node.signal(Signal::SIGINT);
    assert_eq!(node.ended(), 0);
}

#[test]
fn e9_a_manager_that_hangs_does_not_hold_a_worker_that_was_told_to_stop() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[
        ("leave_flush", "500ms"),
        ("leave_sign_off", "500ms"),
        ("push_leave", "100ms"),
        ("grace", "500ms"),
    ]);
    let task =
        farm.running("trap '' TERM; echo running; until [ -e go ]; do sleep 0.02; done; echo unsent; sleep 1000");
    farm.fault(Fault::anywhere(FaultKind::Hang).forever());
    fs::write(node.folder.join("go"), "").unwrap();
    let begin = Instant::now();
    assert_eq!(node.stop(), 0);
    // Twice what it may take: the machine may be busy.
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    node.nothing_left();
    farm.manager.clear_faults();
    fs::remove_file(node.folder.join("go")).unwrap();
    node.start();
    farm.says(&task, "> unsent");
    farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
    node.finish();
}

#[test]
fn e12_a_guard_that_was_stopped_hears_that_its_program_is_to_end() {
    let (farm, node) = farm_with_grace("100ms");
    let task = farm.running("echo $$ > pid; setsid sleep 1000 & echo running; while :; do sleep 0.02; done");
    let pid = number(&node.folder.join("pid"));
    kill(Pid::from_raw(node.children()[0]), Signal::SIGSTOP).unwrap();
    cancel(&farm, &task);
    assert!(!lives(pid) && node.marked().is_empty());
    assert!(!node.log().contains("a guard does not answer"), "{}", node.log());
    node.childless();
    node.finish();
}

#[test]
fn e12_a_guard_that_is_stopped_again_and_again_holds_up_nothing_for_good() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("grace", "100ms"), ("unkillable", "500ms")]);
    let task = farm.running(
        "echo $$ > pid; echo running; until [ -e go ]; do sleep 0.01; done; while :; do kill -STOP $PPID; echo > stopped; done",
    );
    let pid = number(&node.folder.join("pid"));
    fs::write(node.folder.join("go"), "").unwrap();
    file(&node.folder.join("stopped"));
    cancel(&farm, &task);
    assert!(!lives(pid) && node.marked().is_empty());
    node.childless();
    node.finish();
}
