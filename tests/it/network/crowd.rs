// SPDX-License-Identifier: GPL-3.0-or-later

//! A farm loses its Manager and regains it, all of it in the same moment.

use std::time::Duration;

use standin_manager::{Options, WorkerStatus};
use tokio::time::Instant;

use crate::harness::{Farm, until};

const WORKERS: usize = 100;

/// A twentieth of the real times: 60 s of patience, 5 minutes until the first check, 30 s between two tries.
fn options() -> Options {
    Options {
        worker_timeout: Duration::from_secs(3),
        timeout_check: Duration::from_millis(200),
        first_timeout_check: Duration::from_secs(5),
        ..Options::default()
    }
}

#[test]
fn c22_a_hundred_workers_that_lose_the_manager_together_come_back_one_by_one_and_in_time() {
    let farm = Farm::with(options());
    let mut nodes = Vec::new();
    for number in 0..WORKERS {
        let mut node = farm.node(&format!("node-{number}"));
        node.arguments.retain(|argument| argument != "-debug");
        node.set("idle_min", "250ms")
            .set("idle_max", "1s")
            .set("backoff_min", "50ms")
            .set("backoff_max", "1500ms");
        node.start();
        nodes.push(node);
    }
    let awake = |farm: &standin_manager::Snapshot<'_>| {
        let awake = farm.workers().filter(|worker| worker.status == WorkerStatus::Awake);
        (awake.count() == WORKERS).then_some(())
    };
    farm.wait("a hundred workers to be awake", awake);
    farm.manager.stop();
    for node in &nodes {
        until(
            "each worker to miss the Manager",
            || node.log().contains("cannot fetch a task").then_some(()),
            || node.log(),
        );
    }
    farm.manager.clear_requests();
    let back = Instant::now();
    farm.manager.start_again().unwrap();
    let heard = |farm: &standin_manager::Snapshot<'_>| {
        let ids: std::collections::BTreeSet<_> =
            farm.requests().iter().filter_map(|seen| seen.worker.as_ref()).collect();
        (ids.len() == WORKERS).then_some(())
    };
    farm.wait("each worker to be heard of again", heard);
    let took = back.elapsed();
    assert!(took < Duration::from_secs(3), "the last one came after {took:?}");

    // First requests, by tenths of a second: no moment has more than its share.
    let mut first = std::collections::BTreeMap::new();
    for seen in farm.manager.requests() {
        if let Some(worker) = seen.worker {
            first.entry(worker).or_insert(seen.received);
        }
    }
    let start = *first.values().min().unwrap();
    let mut tenths = std::collections::BTreeMap::new();
    for received in first.values() {
        *tenths.entry((*received - start).as_millis() / 100).or_insert(0) += 1;
    }
    let most = tenths.values().max().copied().unwrap_or(0);
    assert!(most <= WORKERS / 3, "{tenths:?}");

    // Past the first check, and the patience after it.
    let checked = farm.manager.now() + Duration::from_secs(6);
    until(
        "two checks to be over",
        || (farm.manager.now() >= checked).then_some(()),
        String::new,
    );
    let others: Vec<_> = farm
        .manager
        .workers()
        .into_iter()
        .filter(|worker| worker.status != WorkerStatus::Awake)
        .map(|worker| (worker.name, worker.status))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(farm.manager.workers().len(), WORKERS);
    for node in &nodes {
        assert!(!node.log().contains("timeout"), "{}", node.log());
        node.signal(nix::sys::signal::Signal::SIGTERM);
    }
    for mut node in nodes {
        assert_eq!(node.ended(), 0);
        node.nothing_left();
    }
}
