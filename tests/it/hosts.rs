// SPDX-License-Identifier: GPL-3.0-or-later

//! What a host does to a worker: it sleeps, it runs out of memory, descriptors, processes or disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{Endpoint, TaskStatus, WorkerStatus};

use test_bed::{
    Farm, Group, Node, Strace, as_user, dies, exec, file, lives, number, own_user, pass, start_through, until,
};
use test_needs::{missing, not_root};

/// Stops all of a node, worker, guard and programs, for a time, as a host does that sleeps; `meanwhile` happens then.
/// Answers how many requests the Manager had seen by then.
fn sleeps(farm: &Farm, node: &Node, meanwhile: impl FnOnce()) -> usize {
    let mut all: Vec<_> = node.marked().iter().map(|process| process.pid).collect();
    all.push(node.pid());
    let signal = |signal| {
        for pid in &all {
            // A short-lived one may have ended by now.
            kill(Pid::from_raw(*pid), signal).ok();
        }
    };
    signal(Signal::SIGSTOP);
    let seen = farm.manager.requests().len();
    meanwhile();
    pass(Duration::from_millis(1200));
    signal(Signal::SIGCONT);
    seen
}

#[test]
fn f1_e12_a_host_that_wakes_says_so_asks_first_and_keeps_the_task_it_still_has() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("contact_gap", "500ms")]);
    let task = farm.running("echo run >> runs; echo running; until [ -e go ]; do sleep 0.02; done");
    let seen = sleeps(&farm, &node, || ());
    let after = |farm: &Farm| -> Vec<_> {
        let requests = farm.manager.requests();
        requests[seen..].iter().map(|seen| seen.endpoint).collect()
    };
    until(
        "the Manager to be told",
        || after(&farm).contains(&Endpoint::StateChanged).then_some(()),
        || farm.logs(),
    );
    let order = after(&farm);
    let first = order.iter().position(|endpoint| *endpoint == Endpoint::MayIRun);
    let told = order.iter().position(|endpoint| *endpoint == Endpoint::StateChanged);
    assert!(first < told, "{order:?}");
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(file(&node.folder.join("runs")), "run\n");
    node.finish();
}

#[test]
fn f1_e12_a_host_that_wakes_ends_a_task_that_is_no_longer_wanted() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("contact_gap", "500ms")]);
    let task = farm.running("echo $$ > pid; echo running; while :; do sleep 0.02; done");
    let pid = number(&node.folder.join("pid"));
    sleeps(&farm, &node, || {
        farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    });
    dies(pid, &node);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.childless();
    node.finish();
}

#[test]
fn f3_a_program_that_is_killed_for_want_of_memory_is_said_with_its_peak_and_the_worker_lives() {
    if missing("perl") {
        return;
    }
    let (limit, folders): (_, &[&str]) = if Path::new("/sys/fs/cgroup/memory").exists() {
        ("memory.limit_in_bytes", &["/sys/fs/cgroup/memory"])
    } else {
        ("memory.max", &["/sys/fs/cgroup"])
    };
    let Some(group) = Group::make(folders, limit) else {
        return;
    };
    group.set(limit, &(96 << 20).to_string());
    let (farm, mut node) = Farm::with_node();
    group.start(&mut node);
    farm.awake();
    let task = farm.task(&[exec(
        "perl",
        json!(["-e", "my $x; $x .= 'x' x 1e6 for 1..1000; sleep 1000"]),
    )]);
    farm.failed(&task);
    let log = farm.log(&task);
    assert!(
        log.contains("killed by SIGKILL (9), because the memory ran out (its peak was "),
        "{log}"
    );
    assert!(
        log.contains("was killed by SIGKILL (9), out of memory, after "),
        "{log}"
    );
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

#[test]
fn f4_where_memory_is_short_the_program_is_what_the_kernel_takes_first() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let score = |pid: i32| -> i32 {
        let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    let guard = node.children()[0];
    let mut programs: Vec<_> = node.marked().iter().map(|process| process.pid).collect();
    programs.retain(|pid| *pid != guard);
    assert!(!programs.is_empty());
    assert!(programs.iter().all(|pid| score(*pid) == 500));
    assert!(score(guard) < 500 && score(node.pid()) < 500);
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.finish();
}

/// From now on the worker has no descriptor of this number or a higher one.
fn descriptors(node: &Node, limit: u32) {
    let worker = node.pid().to_string();
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &worker, &format!("--nofile={limit}:20000")])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn f9_a_task_that_ends_while_there_are_no_descriptors_loses_no_line_and_leaves_no_directory() {
    if missing("prlimit") {
        return;
    }
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo the last line");
    descriptors(&node, 10);
    fs::write(node.folder.join("go"), "").unwrap();
    node.until("the removal to be refused", || {
        node.log().contains("will be tried again: /tmp/")
    });
    descriptors(&node, 20_000);
    farm.completed(&task);
    assert!(farm.log(&task).contains(" > the last line"), "{}", farm.log(&task));
    node.until("the directory to be gone", || !node.temporary()[0].exists());
    node.finish();
}

#[test]
fn f9_a_start_with_too_few_descriptors_loses_no_report() {
    if missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo the last line");
    farm.manager.stop();
    fs::write(node.folder.join("go"), "").unwrap();
    node.outcome_on_disk(&task);
    node.kill();
    node.nothing_left_but_files();
    // It fails at one point after the other of the way, until it finds enough.
    for few in 4..20 {
        let begun = node.log().len();
        start_through(&mut node, ["prlimit", &format!("--nofile={few}")]);
        let said = |node: &Node| node.log().get(begun..).unwrap_or_default().to_owned();
        until(
            "the start to fail, or to look for the Manager",
            || (!node.runs() || said(&node).contains("using Manager")).then_some(()),
            String::new,
        );
        match node.runs() {
            true => node.kill(),
            false => assert_ne!(node.ended(), 0),
        }
        let damaged = node.home().join("spool/damaged");
        assert_eq!(
            fs::read_dir(damaged).unwrap().count(),
            0,
            "{few}: {}",
            &node.log()[begun..]
        );
    }
    farm.manager.start_again().unwrap();
    node.start();
    farm.completed(&task);
    assert!(farm.log(&task).contains(" > the last line"), "{}", farm.log(&task));
    node.finish();
}

#[test]
fn f9_a_worker_without_descriptors_waits_for_some_and_loses_nothing() {
    if missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_awake_node();
    for few in [3, 14, 17] {
        let (before, refusals) = (node.log().len(), ["handed back", "(os error 24)"]);
        descriptors(&node, few);
        let task = farm.script("echo over");
        // The most may be enough, as when no connection is open just then.
        node.until("the worker to be in want, or not", || {
            let is_over = !farm.outcomes(&task).is_empty();
            is_over || refusals.iter().any(|refusal| node.log()[before..].contains(refusal))
        });
        descriptors(&node, 20_000);
        farm.completed(&task);
        node.childless();
    }
    assert!(node.runs());
    node.finish();
}

#[test]
fn f9_a_worker_without_processes_waits_for_some_and_loses_nothing() {
    let Some(group) = Group::make(&["/sys/fs/cgroup/pids", "/sys/fs/cgroup"], "pids.max") else {
        return;
    };
    let (farm, mut node) = Farm::with_node();
    group.start(&mut node);
    farm.awake();
    // Longer than a runtime keeps a thread that has nothing to do: one that has none, and can have none, panics.
    pass(Duration::from_secs(11));
    for more in ["0", "1"] {
        let used: u32 = group.read("pids.current").trim().parse().unwrap();
        group.set("pids.max", &(used + more.parse::<u32>().unwrap()).to_string());
        let refusals = group.read("pids.events");
        let task = farm.script("echo over");
        node.until("something to be refused", || group.read("pids.events") != refusals);
        assert!(node.runs());
        group.set("pids.max", "max");
        farm.wait("the task to be over", |farm| {
            farm.task(&task)
                .filter(|task| !matches!(task.status, TaskStatus::Queued | TaskStatus::Active))
                .map(|_| ())
        });
        node.childless();
    }
    assert!(node.runs(), "{}", node.log());
    let task = farm.script("echo over");
    farm.completed(&task);
    node.finish();
}

#[test]
fn f9_a_fork_that_its_users_limit_refuses_gives_the_task_back() {
    if missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let Some(user) = own_user(&farm, &node) else { return };
    start_through(&mut node, as_user(user));
    farm.awake();
    let Some((task, guard)) = Strace::next_guard(&node, || farm.script("echo over")) else {
        return;
    };
    let own = as_user(user);
    let status = std::process::Command::new(&own[0])
        .args(&own[1..])
        .args(["prlimit", "--pid", &guard.to_string(), "--nproc=1"])
        .status();
    assert!(status.unwrap().success());
    kill(Pid::from_raw(guard), Signal::SIGCONT).unwrap();
    farm.says(&task, "Handed back: no program can be started on this node");
    farm.completed(&task);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.finish();
}

#[test]
fn a10_an_exec_without_memory_fails_the_task_with_the_reason() {
    let (farm, node) = Farm::with_awake_node();
    let Some((task, guard)) = Strace::next_guard(&node, || farm.script("echo over")) else {
        return;
    };
    let strace = Strace::attach(&node, guard, "execve:error=ENOMEM", true).unwrap();
    kill(Pid::from_raw(guard), Signal::SIGCONT).unwrap();
    farm.failed(&task);
    strace.detach();
    assert!(farm.log(&task).contains("(ENOMEM)"), "{}", farm.log(&task));
    let task = farm.script("echo over");
    farm.completed(&task);
    node.finish();
}

#[test]
fn f10_a_flood_while_nobody_listens_fills_neither_memory_nor_disk() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm
        .script("until [ -e go ]; do sleep 0.02; done; yes 'a line of a flood that nobody wants' | head -c 100000000");
    farm.reaches(&task, TaskStatus::Active);
    farm.manager.stop();
    fs::write(node.folder.join("go"), "").unwrap();
    node.outcome_on_disk(&task);
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    let peak: u64 = peak.unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB of memory");
    let folder = fs::read_dir(node.home().join("spool").join(&task)).unwrap().flatten();
    let disk: u64 = folder.map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(disk < 24 << 20, "{disk} bytes on disk");
    farm.manager.start_again().unwrap();
    farm.completed(&task);
    assert!(farm.log(&task).contains("missing here"));
    node.finish();
}

#[test]
fn e11_a_worker_whose_output_is_closed_works_on_and_a_hang_up_without_a_terminal_is_nothing() {
    let (farm, mut node) = Farm::with_node();
    start_through(&mut node, ["bash", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]);
    farm.awake();
    node.signal(Signal::SIGHUP);
    let task = farm.script("echo over; echo oops >&2; cat");
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("> over") && log.contains("> oops"), "{log}");
    node.finish();
}

#[test]
fn e14_as_process_1_it_takes_in_orphans_hurts_none_and_leaves_as_anywhere() {
    if not_root() | missing("unshare") | missing("nsenter") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    start_through(
        &mut node,
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    );
    farm.awake();
    let first = node.children()[0];
    let task = farm.script("(setsid sleep 1000 &); exit 0");
    farm.completed(&task);
    // A stranger in the same namespace, one of whose orphans ends and one of which stays.
    let strangers = std::process::Command::new("nsenter")
        .args([
            "-t",
            &first.to_string(),
            "-p",
            "-m",
            "bash",
            "-c",
            "(sleep 0.1 &); (exec -a stays sleep 1000 &)",
        ])
        .status();
    assert!(strangers.unwrap().success());
    let children = || -> Vec<i32> {
        let list = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    until(
        "the orphan that ended to be reaped",
        || (children().len() == 1).then_some(()),
        || format!("{:?}", children()),
    );
    let stays = children()[0];
    let task = farm.script("true");
    farm.completed(&task);
    assert!(lives(stays), "it was somebody else's");
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(node.ended(), 0);
    farm.status(WorkerStatus::Offline);
    assert!(!lives(stays), "the namespace ended with its first process");
    node.nothing_left();
}
