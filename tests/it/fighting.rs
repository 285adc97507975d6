// SPDX-License-Identifier: GPL-3.0-or-later

//! What fights back: forks, hides, changes hands, or cannot die. All of it is bounded by a count or a limit of its own
//! user: nothing here can take the machine.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, TaskStatus, When, WorkerStatus};

use test_bed::{
    Farm, Group, Node, Strace, as_user, becoming_root, cancel, dies, exec, farm_with_grace, file, lives, logged,
    number, own_user, start_through, until,
};
use test_needs::missing;

/// So many processes that each replace themselves by a child again and again, `pause` seconds apart.
fn forking(count: u32, pause: f64, own_session: bool) -> CommandSpec {
    let setsid = if own_session { "POSIX::setsid();" } else { "" };
    let program = format!(
        "use POSIX; $| = 1; $SIG{{TERM}} = 'IGNORE'; \
         for (1..{count}) {{ if (!fork) {{ while (1) {{ {setsid} select undef, undef, undef, {pause}; my $p = fork; exit if $p; }} }} }} \
         print \"running\\n\"; sleep 1000 while 1;"
    );
    exec("perl", json!(["-e", program]))
}

#[test]
fn a5_descendants_that_fork_while_they_are_killed_are_all_ended() {
    if missing("perl") {
        return;
    }
    // With more of them a pause, for all the forks together must leave the machine able to do anything else.
    for (count, pause, own_session) in [
        (4, 0.0, false),
        (4, 0.0, true),
        (200, 0.1, false),
        (200, 0.1, true),
        (1500, 1.0, false),
        (1500, 1.0, true),
    ] {
        let (farm, node) = farm_with_grace("100ms");
        let task = farm.task(&[forking(count, pause, own_session)]);
        farm.says(&task, "> running");
        cancel(&farm, &task);
        let left = node.marked();
        assert!(
            left.is_empty(),
            "{count} processes, own session: {own_session}: {} are left",
            left.len()
        );
        node.childless();
        node.finish();
    }
}

#[test]
fn a5_a_fork_bomb_at_the_limit_of_its_user_is_ended() {
    if missing("perl") | missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    node.set("grace", "100ms");
    let Some(user) = own_user(&farm, &node) else { return };
    let limited = [vec!["prlimit".into(), "--nproc=200".into()], as_user(user)].concat();
    start_through(&mut node, limited);
    farm.awake();
    // A refused fork waits: the bomb stays at its limit, and would grow at once into whatever place is made.
    let bomb = "$| = 1; $SIG{TERM} = 'IGNORE'; print \"running\\n\"; while (1) { defined fork or select undef, undef, undef, 0.3 }";
    let task = farm.task(&[exec("perl", json!(["-e", bomb]))]);
    farm.says(&task, "> running");
    let full = || (node.marked().len() > 150).then_some(());
    until("the bomb to be at its limit", full, || node.log());
    cancel(&farm, &task);
    node.childless();
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

/// Runs `script` until its file `pid` names a process, cancels it, and expects that process to be gone.
fn is_ended(script: &str, prepare: impl Fn(i32)) {
    let (farm, node) = farm_with_grace("200ms");
    let task = farm.running(&format!("{script}; echo running; while :; do sleep 0.02; done"));
    until(
        "pid",
        || node.folder.join("pid").exists().then_some(()),
        || farm.log(&task),
    );
    let pid = number(&node.folder.join("pid"));
    assert!(lives(pid));
    prepare(pid);
    cancel(&farm, &task);
    assert!(!lives(pid), "{script}");
    assert!(node.marked().is_empty(), "{script}: {:?}", node.marked());
    node.childless();
    node.finish();
}

#[test]
fn a4_a_daemon_that_cut_every_tie_still_dies() {
    // Its own session, no parent of ours, no output of ours, deaf, and without the mark in its environment.
    is_ended(
        "(env -i PATH=$PATH setsid nohup bash -c \"trap '' INT TERM HUP QUIT; echo \\$\\$ > pid; \
         while :; do sleep 0.1; done\" > /dev/null 2>&1 < /dev/null &)",
        |_| (),
    );
}

#[test]
fn a4_a_stopped_descendant_still_dies() {
    is_ended("setsid sleep 1000 & echo $! > pid", |pid| {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    });
    is_ended("sleep 1000 & echo $! > pid", |pid| {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    });
}

#[test]
fn a4_a_traced_descendant_still_dies() {
    if missing("strace") {
        return;
    }
    is_ended(
        "setsid strace -f -o trace bash -c 'echo $$ > pid; while :; do sleep 0.1; done' & :",
        |_| (),
    );
}

#[test]
fn a4_a_pid_namespace_still_dies() {
    if missing("unshare") | test_needs::not_root() {
        return;
    }
    // The first process of a namespace is deaf to every signal of its own kind; ours comes from outside. `pid` is what
    // we call it: /proc is still the outer one.
    is_ended(
        "unshare -pf bash -c \"trap '' TERM; setsid sleep 1000 & readlink /proc/self > /dev/null; sleep 1000 & wait\" & \
         until grep . /proc/$!/task/$!/children > /dev/null; do sleep 0.01; done; \
         tr -d ' ' < /proc/$!/task/$!/children > pid; echo >> pid",
        |_| (),
    );
}

#[test]
fn a11_a_program_that_cannot_die_is_said_and_nothing_else_is_taken_until_it_is_gone() {
    let Some(ice) = Group::make(&["/sys/fs/cgroup/freezer"], "freezer.state") else {
        return;
    };
    let (farm, node) = hanging(&ice);
    let next = farm.script("true");
    farm.status(WorkerStatus::Asleep);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&next), [""; 0]);
    ice.set("freezer.state", "THAWED");
    farm.completed(&next);
    node.childless();
    node.finish();
}

#[test]
fn a11_a_worker_with_a_program_that_cannot_die_leaves_cleanly_and_its_next_life_waits_for_it() {
    let Some(ice) = Group::make(&["/sys/fs/cgroup/freezer"], "freezer.state") else {
        return;
    };
    let (farm, mut node) = hanging(&ice);
    let pid = number(&node.folder.join("pid"));
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    let next = farm.script("true");
    node.start();
    again(&farm, &node);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    assert!(lives(pid));
    ice.set("freezer.state", "THAWED");
    farm.completed(&next);
    assert!(!lives(pid));
    node.finish();
}

/// Waits until also the second life of a worker has refused to take a task.
fn again(farm: &Farm, node: &Node) {
    // The Manager remembers that it was asleep when it left; somebody wakes it.
    farm.status(WorkerStatus::Asleep);
    farm.ask(WorkerStatus::Awake, When::Now);
    let said = || (node.log().matches("no new task until they are gone").count() >= 2).then_some(());
    until("the next life to hold back", said, || node.log());
}

/// A cancelled task whose program hangs in the kernel, as one does on a dead file server: the old freezer keeps even
/// SIGKILL from it.
fn hanging(ice: &Group) -> (Farm, Node) {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("grace", "100ms"), ("unkillable", "500ms")]);
    let task = farm.running("echo $$ > pid; echo running; while :; do sleep 0.02; done");
    ice.set("cgroup.procs", &number(&node.folder.join("pid")).to_string());
    ice.set("freezer.state", "FROZEN");
    let frozen = || ice.read("freezer.state").contains("FROZEN").then_some(());
    until("the program to hang", frozen, String::new);
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    farm.says(&task, "left behind, and cannot be ended: bash");
    logged(&node, "no new task until they are gone");
    (farm, node)
}

#[test]
fn a12_a_kill_that_is_refused_is_tried_again_until_it_works() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("grace", "100ms"), ("unkillable", "500ms")]);
    let task = farm.running("trap '' TERM; echo $$ > pid; echo running; while :; do sleep 0.02; done");
    let pid = number(&node.folder.join("pid"));
    let guard = node.children()[0];
    let refuse = "kill,pidfd_send_signal:error=EPERM";
    let Some(strace) = Strace::attach(&node, guard, refuse, false) else {
        return;
    };
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    farm.says(&task, "left behind, and cannot be ended: bash");
    farm.status(WorkerStatus::Asleep);
    assert!(lives(pid));
    let tries = strace.seen().matches("SIGKILL").count();
    let again = || (strace.seen().matches("SIGKILL").count() > tries).then_some(());
    until("another try", again, || strace.seen());
    strace.detach();
    dies(pid, &node);
    farm.awake();
    node.childless();
    node.finish();
}

#[test]
fn a18_a_descendant_that_became_another_users_is_said_and_does_not_hold_the_worker() {
    let (farm, mut node) = Farm::with_node();
    node.set("grace", "100ms").set("unkillable", "500ms");
    let Some(user) = own_user(&farm, &node) else { return };
    let become_root = becoming_root(&node);
    start_through(&mut node, as_user(user));
    farm.awake();
    let task = farm.script(&format!(
        "setsid {become_root} sleep 1000 & echo $! > pid; echo running; while :; do sleep 0.02; done"
    ));
    farm.says(&task, "> running");
    let pid = number(&node.folder.join("pid"));
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    until(
        "the program to be root's",
        || (name()? == "sleep\n").then_some(()),
        || node.log(),
    );
    let guard = node.children()[0];
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    farm.says(&task, "left behind, and cannot be ended: sleep");
    logged(&node, "no new task until they are gone");
    let before = ticks(guard);
    let next = farm.script("true");
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    assert!(lives(pid) && lives(guard), "the guard stays with it");
    assert!(ticks(guard) - before < 20, "the guard spins");
    // The next life knows it by what the kernel keeps of it, for its environment is hidden.
    start_through(&mut node, as_user(user));
    again(&farm, &node);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    farm.completed(&next);
    dies(guard, &node);
    node.finish();
}

/// The processor time of a process so far, in hundredths of a second.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12]
        .map(|field: usize| fields[field].parse::<u64>().unwrap())
        .iter()
        .sum()
}

/// It was run again at once, a dozen times a second, for ever, with as many lines at the Manager.
#[test]
fn a17_a_program_that_kills_its_guard_each_time_fails_its_task() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("setsid sleep 1000 & echo $$ >> pids; sleep 0.1; kill -9 $PPID; sleep 1000");
    farm.failed(&task);
    let log = farm.log(&task);
    assert!(log.contains("time after time: does it kill its parent?"), "{log}");
    assert!(node.log().contains("does it kill its parent? "), "{}", node.log());
    assert_eq!(file(&node.folder.join("pids")).lines().count(), 3);
    farm.completed(&farm.script("true"));
    node.childless();
    node.finish();
}
