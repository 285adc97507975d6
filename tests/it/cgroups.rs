// SPDX-License-Identifier: GPL-3.0-or-later

//! With a control group of its own for each program. That all else holds without one, every other test shows.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, TaskStatus};

use test_bed::{Farm, Group, Node, bash, cancel, dies, file, lives, logged, number, until};
use test_needs::{missing, skipped};

/// A node whose worker starts in `group`, awake.
fn node_in(group: &Group, farm: &Farm) -> Node {
    let mut node = farm.node("node");
    node.set("grace", "200ms");
    group.start(&mut node);
    farm.awake();
    node
}

/// Waits until no program has a group any more.
fn no_groups(group: &Group, node: &Node) {
    until(
        "the groups to be gone",
        || group.below().is_empty().then_some(()),
        || format!("{:?}\n{}", group.below(), node.log()),
    );
}

#[test]
fn a4_a_program_has_a_group_and_all_of_it_is_gone_with_the_group() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node_in(&group, &farm);
    let task =
        farm.running("grep ^0:: /proc/self/cgroup > mine; setsid sleep 1000 & echo $! > pid; echo running; wait");
    let guard = node.children()[0];
    let mine = file(&node.folder.join("mine"));
    let id = node.mark().split_once('=').unwrap().1.to_owned();
    assert!(mine.trim().ends_with(&format!("/flamenco-{id}.{guard}")), "{mine}");
    let pid = number(&node.folder.join("pid"));
    cancel(&farm, &task);
    assert!(!lives(pid));
    no_groups(&group, &node);
    node.finish();
}

#[test]
fn a4_who_left_the_tree_but_not_the_group_is_ended_too() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node_in(&group, &farm);
    // A stranger that was moved in: nobody's descendant here, as what a service started for the program would be.
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let below = group.below();
    assert_eq!(below.len(), 1);
    group.set(&format!("{}/cgroup.procs", below[0]), &pid.to_string());
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert!(!lives(pid));
    stranger.wait().unwrap();
    no_groups(&group, &node);
    node.finish();
}

#[test]
fn f4_a_limit_on_memory_that_cannot_be_had_is_said_and_the_task_runs() {
    let Some(group) = Group::unified() else { return };
    if group.read("cgroup.controllers").contains("memory") {
        return skipped("memory can be limited here");
    }
    let (farm, mut node) = Farm::with_node();
    node.config.top.push("node.memory = \"70%\"".into());
    group.start(&mut node);
    farm.completed(&farm.script("true"));
    logged(&node, "`memory` of [node] has no effect");
    node.finish();
}

#[test]
fn a5_forks_without_end_are_ended_at_once_by_the_group() {
    if missing("perl") {
        return;
    }
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node_in(&group, &farm);
    let program = "use POSIX; $| = 1; $SIG{TERM} = 'IGNORE'; \
         for (1..300) { if (!fork) { while (1) { setsid; select undef, undef, undef, 0.05; my $p = fork; exit if $p; } } } \
         print \"running\\n\"; sleep 1000 while 1;";
    let task = farm.task(&[test_bed::exec("perl", serde_json::json!(["-e", program]))]);
    farm.says(&task, "> running");
    cancel(&farm, &task);
    assert!(node.marked().is_empty());
    node.childless();
    no_groups(&group, &node);
    node.finish();
}

#[test]
fn a17_a_killed_guards_group_is_ended_and_removed_by_the_worker() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node_in(&group, &farm);
    let task = farm.running(
        "setsid sleep 1000 & echo $! > pid; echo run >> runs; echo running; until [ -e go ]; do sleep 0.02; done",
    );
    let pid = number(&node.folder.join("pid"));
    std::fs::write(node.folder.join("go"), "").unwrap();
    kill(Pid::from_raw(node.children()[0]), Signal::SIGKILL).unwrap();
    dies(pid, &node);
    farm.completed(&task);
    no_groups(&group, &node);
    node.finish();
}

#[test]
fn b2_a_group_that_an_earlier_life_left_is_ended_and_removed_at_the_start() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let mut node = node_in(&group, &farm);
    // It sheds every mark there is: only its group tells.
    let shed = "import os,resource; resource.setrlimit(10,(-1,-1)); os.setsid(); \
                os.execve('/bin/sleep',['sleep','1000'],{})";
    if missing("python3") {
        return;
    }
    let task = farm.task(&[bash(&format!(
        "python3 -c \"{shed}\" & echo $! > pid; echo running; sleep 1000"
    ))]);
    farm.says(&task, "> running");
    let pid = number(&node.folder.join("pid"));
    let sheds = || {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()
            .filter(|name| name == "sleep\n")
    };
    until("all marks to be shed", sheds, || node.log());
    let guard = node.children()[0];
    kill(Pid::from_raw(guard), Signal::SIGSTOP).unwrap();
    node.kill();
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    dies(guard, &node);
    assert!(lives(pid) && group.below().len() == 1);
    farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
    group.start(&mut node);
    dies(pid, &node);
    farm.asked(Endpoint::SignOn, 2);
    no_groups(&group, &node);
    node.finish();
}

#[test]
fn b3_the_groups_of_another_home_are_not_touched() {
    let Some(group) = Group::unified() else { return };
    let farm = Farm::new();
    let node = node_in(&group, &farm);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let mut second = farm.node("second");
    group.start(&mut second);
    logged(&second, "now awake");
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Active);
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    second.finish();
    node.finish();
}
