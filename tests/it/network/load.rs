// SPDX-License-Identifier: GPL-3.0-or-later

//! A slow Manager and a program that says much.

use std::time::Duration;

use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus};

use test_bed::Farm;

#[test]
fn c15_a_slow_manager_does_not_slow_the_program() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update_timeout", "60s")]);
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::Delay(Duration::from_secs(4))).forever());
    // More than any pipe holds, many times over.
    let task = farm.script("seq 1 500000; touch printed");
    farm.reaches(&task, TaskStatus::Active);
    node.until("the program to have printed everything", || {
        node.folder.join("printed").exists()
    });
    let accepted = farm
        .requests(Endpoint::TaskUpdate)
        .iter()
        .filter(|seen| seen.finished.is_some())
        .count();
    assert!(
        accepted <= 1,
        "the program did not wait for the Manager, which had answered {accepted} updates"
    );
    farm.manager.clear_faults();
    farm.completed(&task);
    let log = farm.log(&task);
    let printed = log.lines().filter(|line| line.contains(" > ")).count();
    assert_eq!(printed, 500_000);
    node.finish();
}

#[test]
fn c16_what_does_not_fit_is_dropped_counted_and_said_where_it_was() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("update_timeout", "3s")]);
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::Hang));
    let task =
        farm.script("seq -f 'line %012.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 1 600000");
    farm.reaches(&task, TaskStatus::Active);
    node.until("the task to be over", || node.children().is_empty());
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
    farm.completed(&task);
    let log = farm.log(&task);
    let kept = log.lines().filter(|line| line.contains(" > line ")).count();
    let counted: usize = log
        .lines()
        .filter_map(|line| {
            line.strip_prefix("[... ")?
                .split_whitespace()
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    assert!(kept < 600_000, "nothing had to be dropped: this test tests nothing");
    assert_eq!(kept + counted, 600_000);
    // Lines are in order, and a gap stands where its lines would.
    let numbers: Vec<usize> = log
        .lines()
        .filter_map(|line| line.split(" > line ").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect();
    assert!(numbers.is_sorted() && numbers.first() == Some(&1) && numbers.last() == Some(&600_000));
    node.finish();
}
