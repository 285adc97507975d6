// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that is killed at any moment of a reload is a worker that was killed.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use test_bed::{Farm, pass};

/// A number that looks random, and is another one each time.
fn dice(sides: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % sides
}

/// `FLAMENCO_TEST_RELOADS` says how often.
#[test]
fn l8_one_that_is_killed_in_a_reload_leaves_nothing_and_each_task_is_completed_once() {
    let rounds = std::env::var("FLAMENCO_TEST_RELOADS").map_or(20, |text| text.parse().unwrap());
    let (farm, mut node) = Farm::with_node();
    // What is killed so often would count against the task.
    node.set("crash_window", "1ms").set("lock_timeout", "5s");
    farm.start(&mut node);
    let mut tasks = Vec::new();
    for _ in 0..rounds {
        tasks.push(farm.running("[ -e again ] && exit; touch again; setsid sleep 1000 & echo running; sleep 1000"));
        node.signal(Signal::SIGHUP);
        pass(Duration::from_micros(dice(120_000)));
        kill(Pid::from_raw(node.pid()), Signal::SIGKILL).unwrap();
        assert_eq!(node.ended(), -9);
        node.nothing_left_but_files();
        node.start();
        farm.completed(tasks.last().unwrap());
        std::fs::remove_file(node.folder.join("again")).unwrap();
    }
    for task in &tasks {
        assert_eq!(farm.outcomes(task), ["completed"], "{}", farm.log(task));
    }
    node.swept();
    node.finish();
}
