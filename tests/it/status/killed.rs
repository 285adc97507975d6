// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs, guards and workers that are killed at random moments, while somebody asks for the status all the time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use standin_manager::TaskStatus;

use super::asked;
use test_bed::{Farm, Node, children, kill_together, pass, processes, until};

/// A task with a process of its own session and one that holds on for a while; some end soon by themselves.
const TASKS: [&str; 3] = [
    "setsid sleep 600 & sleep 600 & echo running; wait",
    "trap '' TERM INT; sleep 0.1 & echo running; sleep 0.2",
    "(setsid sleep 600 &) ; exec sleep 600",
];

/// A number that looks random, and is another one each time.
fn dice(sides: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % sides
}

/// The living processes that bear a mark.
fn marked(mark: &str) -> BTreeSet<i32> {
    let all = processes().into_iter();
    all.filter(|process| process.bears_mark(mark))
        .map(|process| process.pid)
        .collect()
}

/// Asks once. What lived before and after the answer lived all the time: it must not have been denied.
fn look(home: &Path, mark: &str) -> Value {
    let before = marked(mark);
    let seen = asked(home);
    let lived: Vec<_> = before.intersection(&marked(mark)).copied().collect();
    let nothing_left = seen["processes_left"].as_array().is_none_or(Vec::is_empty);
    let is_denied = seen["activity"] == "idle" || (seen["state"] == "not running" && nothing_left);
    assert!(
        lived.is_empty() || !is_denied,
        "{lived:?} lived while this was said: {seen}"
    );
    seen
}

/// Kills what a round is about, at a random moment. Answers whether the worker was among it.
fn strike(node: &mut Node, round: u64) -> bool {
    let guard = node.children().first().copied();
    let program = guard.and_then(|guard| children(guard).first().copied());
    let targets: Vec<_> = match round % 6 {
        0 => program.into_iter().collect(),
        1 => guard.into_iter().collect(),
        2 => vec![node.pid()],
        3 => guard.into_iter().chain([node.pid()]).collect(),
        4 => program.into_iter().chain(guard).collect(),
        _ => program.into_iter().chain([node.pid()]).collect(),
    };
    let is_worker = targets.contains(&node.pid());
    match targets.as_slice() {
        [one] => drop(kill(Pid::from_raw(*one), Signal::SIGKILL)),
        several => kill_together(several),
    }
    is_worker
}

/// `FLAMENCO_TEST_KILLS` says how often.
#[test]
fn j12_idle_is_never_said_while_a_process_of_a_task_lives_whoever_is_killed() {
    let kills = std::env::var("FLAMENCO_TEST_KILLS").map_or(6, |text| text.parse().unwrap());
    let (farm, mut node) = Farm::with_node();
    node.set("strike_pause_min", "1ms").set("strike_pause_max", "2ms");
    node.set("grace", "100ms").start();
    farm.awake();
    let (home, mark) = (node.home(), node.mark().split_once('=').unwrap().1.to_owned());
    let (is_over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                look(&home, &mark);
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..kills {
            let task = farm.script(TASKS[usize::try_from(dice(3)).unwrap()]);
            until(
                "the task to run",
                || (!marked(&mark).is_empty()).then_some(()),
                || node.log(),
            );
            pass(Duration::from_micros(dice(250_000)));
            if strike(&mut node, round) {
                assert_eq!(node.ended(), -9);
                node.start();
            }
            farm.manager.set_task_status(&task, TaskStatus::Canceled).ok();
            until(
                "nothing to live",
                || (marked(&mark).is_empty() || looker.is_finished()).then_some(()),
                || node.log(),
            );
            if looker.is_finished() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        looker.join().unwrap();
    });
    eprintln!("{kills} kills, {} looks", looks.load(Ordering::Relaxed));
    // The last start may still be at it.
    node.swept();
    node.finish();
}
