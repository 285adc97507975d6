// SPDX-License-Identifier: GPL-3.0-or-later

//! Worker and guard die, alone or together, at any step of a task's life; a tracer sees to it, at a system call, so
//! that what is tested is the program as it is delivered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, Node, Strace, dies, file, kill_together, lives, number, start_as};
use test_needs::missing;

#[test]
fn a7_an_abort_in_the_instant_of_the_programs_own_end_gives_one_outcome_that_the_manager_has_too() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[
        ("first_may_i_run", "1ms"),
        ("may_i_run", "1ms"),
        ("may_i_run_hinted", "1ms"),
    ]);
    for round in 0..16 {
        let task = farm.running(&format!("echo running; until [ -e go-{round} ]; do sleep 0.001; done"));
        let go = || fs::write(node.folder.join(format!("go-{round}")), "").unwrap();
        let cancel = || farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
        if round % 2 == 0 {
            go();
            cancel();
        } else {
            cancel();
            go();
        }
        let fetches = farm.requests(Endpoint::FetchTask).len();
        farm.asked(Endpoint::FetchTask, fetches + 2);
        let status = farm.manager.task(&task).unwrap().status;
        let outcomes = farm.outcomes(&task);
        if status == TaskStatus::Completed {
            assert_eq!(outcomes, ["completed"], "{}", farm.log(&task));
        } else {
            assert_eq!(
                (status, outcomes.len()),
                (TaskStatus::Canceled, 0),
                "{}",
                farm.log(&task)
            );
        }
        node.childless();
    }
    node.finish();
}

/// Calls of a guard from its first to its last.
const GUARDS_STEPS: [&str; 14] = [
    "signalfd4:signal=KILL:when=1",
    "recvfrom,read:signal=KILL:when=1",
    "clone,clone3,fork:signal=KILL:when=1",
    "chdir:signal=KILL:when=1",
    "poll:signal=KILL:when=1",
    "poll:signal=KILL:when=2",
    "wait4:signal=KILL:when=2",
    "wait4:signal=KILL:when=4",
    "sendto:signal=KILL:when=1",
    "pidfd_open:signal=KILL:when=1",
    "kill:signal=KILL:when=2",
    "getrusage:signal=KILL:when=1",
    "sendto:signal=KILL:when=2",
    "exit_group:signal=KILL:when=1",
];

#[test]
fn a17_a_guard_that_dies_at_any_step_leaves_nothing_and_its_task_is_run_again() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("output_drain", "50ms")]);
    let mut died = 0;
    for step in GUARDS_STEPS {
        // The guard is stopped at its first step, and changes hands: of the worker, which makes the same calls, the
        // second tracer has no hold.
        let submit = || farm.script("setsid sleep 1000 & echo over");
        let Some((task, guard)) = Strace::next_guard(&node, submit) else {
            return;
        };
        let second = Strace::attach(&node, guard, step, false).unwrap();
        kill(Pid::from_raw(guard), Signal::SIGCONT).unwrap();
        dies(guard, &node);
        let seen = second.detach();
        // How often a guard goes round is its own affair: one may end well before the last of these steps.
        died += usize::from(seen.contains("killed by SIGKILL"));
        farm.completed(&task);
        node.childless();
        assert!(node.marked().is_empty(), "{step}: {:?}", node.marked());
        assert!(farm.outcomes(&task).iter().all(|word| word == "completed"), "{step}");
    }
    assert!(died >= 10, "only {died} of {} steps were met", GUARDS_STEPS.len());
    node.finish();
}

#[test]
fn a17_a_guard_killed_over_what_its_program_left_does_not_undo_the_programs_own_end() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("output_drain", "10m")]);
    // It leaves a process that holds the output no more: the guard waits for the drain.
    let runs = node.folder.join("runs");
    let left = "setsid bash -c 'touch ready; exec sleep 1000' > /dev/null 2>&1 &";
    let script = format!("{left} until [ -e ready ]; do sleep 0.01; done; echo $$ >> {runs:?}");
    let task = farm.script(&script);
    let program: i32 = file(&runs).trim().parse().unwrap();
    let guard = node.children()[0];
    // Reaped, and said: the guard sleeps until the drain is over.
    let sleeps = || fs::read_to_string(format!("/proc/{guard}/stat")).is_ok_and(|stat| stat.contains(") S "));
    let is_over = || !fs::exists(format!("/proc/{program}")).unwrap() && sleeps();
    node.until("the program to be reaped", is_over);
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    farm.completed(&task);
    node.childless();
    assert!(node.marked().is_empty(), "{:?}", node.marked());
    assert_eq!(farm.outcomes(&task), ["completed"]);
    assert_eq!(file(&runs).lines().count(), 1);
    node.finish();
}

/// Calls of the worker itself in the course of one task: where it makes folders and files, starts the guard, hears of
/// its end, writes and sends what it has to say, and tidies up.
const WORKERS_STEPS: [&str; 10] = [
    "mkdir:signal=KILL:when=1",
    "socketpair:signal=KILL:when=1",
    "pipe2:signal=KILL:when=1",
    "clone3,clone,vfork:signal=KILL:when=1",
    "wait4:signal=KILL:when=1",
    "wait4:signal=KILL:when=2",
    "rename:signal=KILL:when=1",
    "rename:signal=KILL:when=2",
    "rename:signal=KILL:when=3",
    "rmdir,unlinkat:signal=KILL:when=1",
];

#[test]
fn b1_a_worker_that_dies_at_any_step_leaves_nothing_and_no_result_is_lost() {
    let mut died = 0;
    for step in WORKERS_STEPS {
        let (farm, mut node) = Farm::with_awake_node();
        let Some(strace) = Strace::attach(&node, node.pid(), step, false) else {
            return;
        };
        let task = farm.script("setsid sleep 1000 & echo run >> runs; echo over");
        let worker = node.pid();
        let over = |status| status == TaskStatus::Completed;
        node.until(&format!("the worker to die at {step}, or to come through"), || {
            !lives(worker) || over(farm.manager.task(&task).unwrap().status)
        });
        // First, for a tracer has the first word at a death.
        let dead = !lives(worker);
        strace.detach();
        let dead = dead || !lives(worker);
        if dead {
            assert_eq!(node.ended(), -9, "{step}");
            died += 1;
            node.nothing_left_but_files();
            node.start();
            // It has tidied up by then; what was said before its death may look like what is waited for next.
            farm.asked(Endpoint::SignOn, 2);
        }
        farm.completed(&task);
        farm.awake();
        assert!(farm.outcomes(&task).iter().all(|word| word == "completed"), "{step}");
        assert!(file(&node.folder.join("runs")).lines().count() <= 2, "{step}");
        assert_eq!(farm.requests(Endpoint::Register).len(), 1, "{step}");
        node.childless();
        if dead {
            node.swept();
        }
        node.finish();
    }
    assert!(died >= 6, "only {died} of {} steps were met", WORKERS_STEPS.len());
}

/// A task that survives its worker and guard, which are killed as one: what is left of it bears a mark in `bearing`.
fn survivor(farm: &Farm, node: &mut Node, bearing: &str) -> i32 {
    let task = farm.running(&format!(
        "{bearing} sleep 1000 & echo $! > pid; echo running; sleep 1000"
    ));
    let pid = number(&node.folder.join("pid"));
    let named = || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
    node.until("the program to be there", named);
    let both = [node.pid(), node.children()[0]];
    kill_together(&both);
    assert_eq!(node.ended(), -9);
    dies(both[1], node);
    assert!(lives(pid), "{bearing}: nothing is left to be found");
    farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
    pid
}

#[test]
fn b2_what_survived_worker_and_guard_is_ended_before_anything_is_asked_of_the_manager() {
    for bearing in [
        "setsid",
        "env -i setsid",
        "bash -c 'ulimit -S -x unlimited; exec setsid \"$@\"' -",
    ] {
        let (farm, mut node) = Farm::with_awake_node();
        let pid = survivor(&farm, &mut node, bearing);
        farm.manager.stop();
        let asked = farm.manager.requests().len();
        node.start();
        dies(pid, &node);
        assert_eq!(farm.manager.requests().len(), asked);
        farm.manager.start_again().unwrap();
        farm.awake();
        let task = farm.script("true");
        farm.completed(&task);
        node.finish();
    }
}

#[test]
fn b3_a_stranger_and_another_homes_survivor_are_not_touched() {
    let (farm, mut node) = Farm::with_awake_node();
    let pid = survivor(&farm, &mut node, "env -i setsid");
    let mut other = farm.node("other");
    other.start();
    farm.wait("the other to be awake", |farm| {
        farm.workers()
            .find(|worker| worker.name == "other" && worker.status == WorkerStatus::Awake)
            .map(|_| ())
    });
    assert!(lives(pid));
    node.start();
    dies(pid, &node);
    node.swept();
    node.finish();
    other.finish();
}

/// The worker ends with this code while a task runs, and its next life makes good for it.
fn is_made_good(end: impl Fn(&mut Node) -> Option<i32>) {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running(
        "trap '' TERM; setsid sleep 1000 & echo run >> runs; echo running; until [ -e go ]; do sleep 0.02; done",
    );
    let Some(code) = end(&mut node) else { return };
    assert_eq!(node.ended(), code, "{}", node.log());
    node.nothing_left_but_files();
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Active);
    fs::write(node.folder.join("go"), "").unwrap();
    node.start();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "run\nrun\n");
    node.finish();
}

#[test]
fn b6_a_worker_that_aborts_takes_its_tree_along_and_the_task_is_requeued_at_once() {
    is_made_good(|node| {
        node.signal(Signal::SIGABRT);
        Some(-6)
    });
}

#[test]
fn b6_a_worker_that_panics_takes_its_tree_along_and_the_task_is_requeued_at_once() {
    is_made_good(|node| {
        // The runtime has no answer to this.
        Strace::attach(node, node.pid(), "epoll_wait:error=EIO:when=1", false).map(|strace| {
            dies(node.pid(), node);
            strace.detach();
            101
        })
    });
}

#[test]
fn b6_a_panic_in_a_thread_beside_the_event_loop_ends_the_worker_too() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let folder = farm.folder.path().join("textures");
    fs::create_dir(&folder).unwrap();
    node.config.top.push(format!("[node]\nreadable = [{folder:?}]"));
    farm.start(&mut node);
    // A thread looks into the folder before each task, and the standard library has no answer to this.
    let Some(strace) = Strace::attach_for(&folder, &node, node.pid(), "close:error=EIO") else {
        return;
    };
    let task = farm.script("true");
    dies(node.pid(), &node);
    strace.detach();
    assert_eq!(node.ended(), 101, "{}", node.log());
    let log = node.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains(" error a fault in flamenco-worker ends it: panicked at "),
        "{log}"
    );
    node.nothing_left_but_files();
    node.start();
    farm.completed(&task);
    node.finish();
}

#[test]
fn f8_a_host_that_goes_down_in_mid_task_has_it_requeued_at_the_next_start() {
    is_made_good(|node| {
        let mut all: Vec<_> = node.marked().iter().map(|process| process.pid).collect();
        all.push(node.pid());
        kill_together(&all);
        Some(-9)
    });
}

#[test]
fn b7_a_worker_that_is_killed_again_and_again_stays_who_it_is_and_asks_no_more_than_it_must() {
    let (farm, mut node) = Farm::with_awake_node();
    let worker = farm.worker();
    for _ in 0..5 {
        node.kill();
        let before = farm.requests(Endpoint::SignOn).len();
        node.start();
        farm.asked(Endpoint::SignOn, before + 1);
        farm.awake();
    }
    assert_eq!(farm.worker(), worker);
    assert_eq!(farm.manager.workers().len(), 1);
    assert_eq!(farm.requests(Endpoint::Register).len(), 1);
    assert_eq!(farm.requests(Endpoint::SignOn).len(), 6);
    assert!(farm.requests(Endpoint::SignOff).len() <= 5);
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

#[test]
fn b8_a_binary_that_is_replaced_in_mid_task_disturbs_nothing_and_the_next_start_runs_the_new_one() {
    let (farm, mut node) = Farm::with_node();
    let real = node.command().get_program().to_owned();
    let installed = node.folder.join("flamenco-worker");
    fs::copy(&real, &installed).unwrap();
    start_as(&mut node, &[installed.clone().into()]);
    farm.awake();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    // The new version, in the place of the old one as a package manager puts it there.
    let new = node.folder.join("new");
    let script = format!(
        "#!/bin/sh\necho new > version\nexec {} \"$@\"\n",
        real.to_string_lossy()
    );
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(&new, &installed).unwrap();
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    let task = farm.running("echo running; until [ -e on ]; do sleep 0.02; done");
    farm.ask(WorkerStatus::Restart, When::AfterTask);
    assert!(!node.folder.join("version").exists());
    fs::write(node.folder.join("on"), "").unwrap();
    assert_eq!(node.ended(), 47);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
    start_as(&mut node, &[installed.into()]);
    farm.awake();
    assert_eq!(file(&node.folder.join("version")), "new\n");
    node.finish();
}

#[test]
fn a17_worker_and_guard_that_die_at_random_moments_leave_nothing() {
    if missing("bash") {
        return;
    }
    let (farm, mut node) = Farm::with_awake_node();
    // Spread over the life of a task; each is a moment of its own.
    for round in 0..12_u64 {
        let task = farm.script("setsid sleep 1000 & (env -i setsid sleep 1000 &) ; sleep 0.05; echo over");
        farm.reaches(&task, TaskStatus::Active);
        test_bed::pass(Duration::from_millis(round * 7));
        let mut victims = node.children();
        if round % 3 != 0 {
            victims.push(node.pid());
        }
        if round % 3 == 2 {
            victims.reverse();
        }
        kill_together(&victims);
        if round % 3 != 0 {
            assert_eq!(node.ended(), -9);
            node.start();
        }
        farm.completed(&task);
        node.childless();
        node.nothing_left_but_files();
    }
    node.finish();
}
