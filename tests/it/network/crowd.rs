// SPDX-License-Identifier: GPL-3.0-or-later

//! A farm loses its Manager and regains it, all of it in the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, Options, Outcome, Snapshot, WorkerStatus};
use tokio::time::Instant;

use super::count;
use test_bed::{Farm, Node, until};

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

fn start(farm: &Farm, number: usize) -> Node {
    let mut node = farm.node(&format!("node-{number}"));
    node.arguments.retain(|argument| argument != "-debug");
    node.set("idle_min", "250ms")
        .set("idle_max", "1s")
        .set("backoff_min", "50ms")
        .set("backoff_max", "1500ms")
        .start();
    node
}

fn all_awake(farm: &Snapshot<'_>) -> Option<()> {
    let awake = farm.workers().filter(|worker| worker.status == WorkerStatus::Awake);
    (awake.count() == WORKERS).then_some(())
}

fn all_waiting(farm: &Snapshot<'_>) -> Option<()> {
    let pending = farm.requests().iter().filter(|seen| seen.outcome == Outcome::Pending);
    (pending.count() == WORKERS).then_some(())
}

fn all_heard(farm: &Snapshot<'_>) -> Option<()> {
    let ids: BTreeSet<_> = farm.requests().iter().filter_map(|seen| seen.worker.as_ref()).collect();
    (ids.len() == WORKERS).then_some(())
}

/// The first request of each worker, counted by tenths of a second after the very first.
fn first_requests(farm: &Farm) -> BTreeMap<u128, usize> {
    let mut first = BTreeMap::new();
    for seen in farm.manager.requests() {
        if let Some(worker) = seen.worker {
            first.entry(worker).or_insert(seen.received);
        }
    }
    let start = first.values().min().copied().unwrap_or_default();
    let mut tenths = BTreeMap::new();
    for received in first.values() {
        *tenths.entry((*received - start).as_millis() / 100).or_insert(0) += 1;
    }
    tenths
}

/// Time itself is the fact that is waited for.
fn pass(farm: &Farm, time: Duration) {
    let then = farm.manager.now() + time;
    until(
        "time to pass",
        || (farm.manager.now() >= then).then_some(()),
        String::new,
    );
}

#[test]
fn c22_a_hundred_workers_that_lose_the_manager_together_come_back_one_by_one_and_in_time() {
    let farm = Farm::with(options());
    let nodes: Vec<Node> = (0..WORKERS).map(|number| start(&farm, number)).collect();
    farm.wait("a hundred workers to be awake", all_awake);
    // All wait for the same answer, so that all of them lose the Manager in the same instant.
    farm.fault(Fault::at(Endpoint::FetchTask, FaultKind::Hang).forever());
    farm.wait("each worker to wait for its answer", all_waiting);
    farm.manager.stop();
    farm.manager.clear_faults();
    // Long enough for every pause to have grown to its full length.
    pass(&farm, Duration::from_secs(3));
    farm.manager.clear_requests();
    let back = Instant::now();
    farm.manager.start_again().unwrap();
    farm.wait("each worker to be heard of again", all_heard);
    let took = back.elapsed();
    assert!(took < Duration::from_secs(3), "the last one came after {took:?}");
    let tenths = first_requests(&farm);
    assert!(tenths.values().all(|count| *count <= WORKERS / 3), "{tenths:?}");

    // Past the first check, by which every one must have been heard of.
    pass(&farm, Duration::from_secs(6));
    let others: Vec<_> = farm
        .manager
        .workers()
        .into_iter()
        .filter(|worker| worker.status != WorkerStatus::Awake)
        .map(|worker| (worker.name, worker.status))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(farm.manager.workers().len(), WORKERS);
    // Whoever was given up, if only for a moment, has said its state again.
    assert_eq!(count(&farm, Endpoint::StateChanged), 0);
    for node in &nodes {
        node.signal(Signal::SIGTERM);
    }
    for mut node in nodes {
        assert_eq!(node.ended(), 0);
        node.nothing_left();
    }
}
