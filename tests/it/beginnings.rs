// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that is told to leave while it starts: at any step, and whatever its parent has left to it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, WorkerStatus};

use test_bed::{Farm, Node, logged, pass, start_through, until};
use test_needs::missing;

/// A step of a process: the how manyeth call of this name.
type Step = (String, usize);

/// Starts the node's worker and ends it as soon as it is signed on; all its steps from where it listens to SIGTERM.
fn steps(farm: &Farm, node: &mut Node) -> Vec<Step> {
    let seen = node.folder.join("steps");
    start_through(node, ["strace".into(), "-o".into(), seen.clone().into_os_string()]);
    farm.awake();
    kill(Pid::from_raw(node.children()[0]), Signal::SIGTERM).unwrap();
    assert_eq!(node.ended(), 0);
    let mut counts = BTreeMap::new();
    let mut listens = false;
    let mut steps = Vec::new();
    for line in fs::read_to_string(seen).unwrap().lines() {
        let Some((call, _)) = line.split_once('(').filter(|(call, _)| !call.contains(' ')) else {
            continue;
        };
        let count = counts.entry(call.to_owned()).or_insert(0);
        *count += 1;
        if listens {
            steps.push((call.to_owned(), *count));
        }
        // An address: what a worker has in memory is for root to see.
        listens |= ["{", "0x"]
            .iter()
            .any(|how| line.starts_with(&format!("rt_sigaction(SIGTERM, {how}")));
    }
    steps
}

/// Numbers below a bound, the same ones each time.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        // Knuth's multiplier for 64 bits.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    }
}

#[test]
fn e10_term_at_any_step_of_a_start_exits_0() {
    if missing("strace") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let steps = steps(&farm, &mut node);
    assert!(steps.len() > 300, "{}", steps.len());
    // The first ones, before there is a log, and some of all others.
    let mut random = numbers(4711);
    let some: Vec<_> = (0..40).map(|_| 40 + random(steps.len() - 40)).collect();
    for at in (0..40).chain(some) {
        let (call, count) = &steps[at];
        let inject = format!("--inject={call}:signal=TERM:when={count}");
        let nowhere = "/dev/null".to_owned();
        start_through(&mut node, ["strace".to_owned(), "-o".to_owned(), nowhere, inject]);
        // A step of the end, or of another way: it does not come.
        let code = told_again(&farm, &mut node);
        assert_eq!(code, 0, "at step {at}, {call} number {count}\n{}", node.log());
    }
    assert_eq!(farm.requests(Endpoint::Register).len(), 1);
    farm.status(WorkerStatus::Offline);
    node.nothing_left();
}

/// Ends a worker that has become awake after all.
fn told_again(farm: &Farm, node: &mut Node) -> i32 {
    let awake = || {
        farm.manager
            .workers()
            .first()
            .is_some_and(|worker| worker.status == WorkerStatus::Awake)
    };
    until(
        "the worker to end or to be awake",
        || (!node.runs() || awake()).then_some(()),
        || farm.logs(),
    );
    if let Some(worker) = node.runs().then(|| node.children().first().copied()).flatten() {
        kill(Pid::from_raw(worker), Signal::SIGTERM).ok();
    }
    node.ended()
}

/// Whether a process handles SIGTERM, by the kernel's word.
fn listens(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (Signal::SIGTERM as i32 - 1) & 1 == 1)
}

#[test]
fn e10_of_a_hundred_starts_none_that_listens_dies_of_term() {
    let (_farm, mut node) = Farm::with_node();
    let mut random = numbers(1234);
    let mut heard = 0;
    // Microseconds, which follow what a start takes on this machine now: in about half of them it listens by then.
    let mut window = 5000;
    for start in 0..100 {
        node.start();
        pass(Duration::from_micros(u64::try_from(random(window)).unwrap()));
        let must = listens(node.pid());
        node.signal(Signal::SIGTERM);
        let code = node.ended();
        // Before the first line of `main` nobody can listen.
        assert!(
            code == 0 || (code == -15 && !must),
            "start {start}: {code}\n{}",
            node.log()
        );
        heard += u32::from(must);
        window = if must { 1000.max(window / 5 * 4) } else { window / 4 * 5 };
    }
    assert!(heard > 20, "only {heard} were told after they listened");
    node.nothing_left();
}

#[test]
fn e10_term_while_it_waits_for_its_home_leaves_the_home_to_the_other() {
    let farm = Farm::new();
    let first = farm.awake_node();
    let mut second = farm.node("second");
    second.environment.push(("FLAMENCO_HOME".into(), first.home().into()));
    second.set("lock_timeout", "10m").start();
    logged(&second, "flamenco-worker starts");
    second.until("it to listen", || listens(second.pid()));
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended(), 0);
    assert_eq!(farm.requests(Endpoint::SignOff).len(), 0);
    first.finish();
}

#[test]
fn e14_signals_that_a_parent_has_blocked_are_heard_and_programs_begin_with_none() {
    let (farm, mut node) = Farm::with_node();
    start_through(&mut node, ["env", "--block-signal", "--ignore-signal=CHLD"]);
    farm.awake();
    let task = farm.script("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("SigBlk:\t0000000000000000"), "{log}");
    assert!(log.contains("SigIgn:\t0000000000000000"), "{log}");
    node.signal(Signal::SIGUSR1);
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn e14_a_signal_that_was_sent_before_it_listened_is_heard_then() {
    let (farm, mut node) = Farm::with_node();
    // To itself, blocked, and then it becomes the worker.
    let script = "kill -TERM $$; exec \"$0\" \"$@\"";
    start_through(&mut node, ["env", "--block-signal=TERM", "bash", "-c", script]);
    assert_eq!(node.ended(), 0);
    assert!(farm.requests(Endpoint::Register).is_empty());
}

#[test]
fn e14_without_a_path_a_home_a_terminal_or_a_mask_of_modes_it_works_and_keeps_its_secrets() {
    let (farm, mut node) = Farm::with_node();
    let bare = "umask 000; cd /; exec env -u HOME -u PATH -u TERM \"$0\" \"$@\" --config \"$CONFIG\" 3</dev/null";
    let config = node.folder.join("flamenco-worker.toml");
    node.environment.push(("CONFIG".into(), config.into()));
    start_through(&mut node, ["bash", "-c", bare]);
    farm.awake();
    let task = farm.script("ls /proc/self/fd; echo in $PWD");
    farm.completed(&task);
    let log = farm.log(&task);
    // 3 is what `ls` has opened itself, to read the folder.
    assert!(log.contains("> in /") && !log.contains("> 4"), "{log}");
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(node.home()), 0o700);
    for entry in fs::read_dir(node.home()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains("credentials") {
            assert_eq!(mode(entry.path()), 0o600);
        }
    }
    node.finish();
}
