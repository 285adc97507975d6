// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever becomes of the connection to the Manager's Socket.IO, and whatever comes over it: asking alone is enough, and
//! memory stays bounded.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use standin_manager::{Endpoint, Options, PushOptions, PushRefusal, TaskStatus, When, WorkerStatus};

use crate::push::{WORK, harmless, job_of, listens, stopped};
use test_bed::{Farm, Node};

const NOW: When = When::Now;

/// What may be held in memory by an idle worker of the debug build, whatever it is told. It is about 20 MiB; a flood that
/// was kept would be hundreds.
pub(crate) const MEMORY_KIB: u64 = 64 << 10;

/// A life with questions at the usual short pauses of these tests: work, a cancelled job, sleep, waking, shut down.
fn everything_works(farm: &Farm, mut node: Node) {
    let task = farm.script("true");
    farm.completed(&task);
    let cancelled = farm.running(WORK);
    farm.manager.cancel_job(&job_of(farm, &cancelled)).unwrap();
    stopped(farm, &node, &cancelled, Some(TaskStatus::Canceled));
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    farm.ask(WorkerStatus::Awake, NOW);
    farm.awake();
    let task = farm.script("true");
    farm.completed(&task);
    let peak = peak_kib(&node);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    farm.ask(WorkerStatus::Offline, NOW);
    assert_eq!(node.ended(), 0);
    node.nothing_left();
    harmless(farm);
}

/// Largest resident memory of the node's worker so far.
pub(crate) fn peak_kib(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn turned_off_it_is_not_tried_and_everything_works() {
    let (farm, mut node) = Farm::with_node();
    node.config.top.push("push = false".into());
    farm.start(&mut node);
    everything_works(&farm, node);
    assert!(farm.requests(Endpoint::Push).is_empty());
}

#[test]
fn where_a_proxy_refuses_it_that_is_said_once_and_everything_works() {
    for status in [400, 404, 502, 503] {
        let refused = Some(PushRefusal {
            status,
            body: "<html>no</html>".into(),
        });
        let push = PushOptions {
            refused,
            ..PushOptions::default()
        };
        let farm = Farm::with(Options {
            push,
            ..Options::default()
        });
        let node = farm.awake_node_with(&[("push_refused", "10ms")]);
        farm.asked(Endpoint::Push, 5);
        let log = node.log_file();
        everything_works(&farm, node);
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.matches("cannot listen to the Manager").count(), 1, "{log}");
    }
}

#[test]
fn with_the_connection_cut_again_and_again_everything_works() {
    let (farm, node) = Farm::with_awake_node();
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let is_over = is_over;
            while is_over.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                farm.manager.cut_push();
            }
        });
        everything_works(&farm, node);
        drop(over);
    });
}

#[test]
fn with_events_lost_everything_works() {
    let push = PushOptions {
        seed: 1,
        lost: 0.8,
        ..PushOptions::default()
    };
    let farm = Farm::with(Options {
        push,
        ..Options::default()
    });
    let node = farm.awake_node();
    everything_works(&farm, node);
}

#[test]
fn a_flood_is_no_flood_of_questions_and_everything_works() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[
        ("push_window", "1s"),
        ("hint_pause", "1s"),
        ("idle_min", "5s"),
        ("idle_max", "5s"),
    ]);
    listens(&farm, &["/jobs", "/workers"]);
    let own = format!(
        r#"42["/workers",{{"id":"{}","status":"awake","status_change":{{"is_lazy":true,"status":"asleep"}}}}]"#,
        farm.worker()
    );
    let before = farm.requests(Endpoint::FetchTask).len();
    let start = farm.manager.now();
    farm.manager.push_raw(&own, 100_000);
    listens(&farm, &[]);
    farm.asked(Endpoint::FetchTask, before + 2);
    let seconds = (farm.manager.now() - start).as_secs_f64();
    let asked = farm.requests(Endpoint::FetchTask).len() - before;
    assert!(asked as f64 <= 5.0 + seconds * 1.3, "{asked} in {seconds} s");
    everything_works(&farm, node);
}

#[test]
fn fed_nonsense_it_keeps_its_memory_and_everything_works() {
    let (farm, node) = Farm::with_awake_node();
    listens(&farm, &["/jobs", "/workers"]);
    let worker = farm.worker();
    for text in [
        String::new(),
        "43".into(),
        "42".into(),
        "0{}".into(),
        "41".into(),
        "42[\"/jobs\",{\"status\":{}}]".into(),
        format!("42[\"/workers\",{{\"id\":\"{worker}\",\"status_change\":7"),
        format!("42[\"/workers\",{}{worker}]", "[".repeat(10_000)),
        "\u{1f980}".repeat(1000),
    ] {
        farm.manager.push_raw(&text, 100);
    }
    let connected = farm.manager.push_counts().connected;
    // Too large: a lost connection, not memory.
    farm.manager
        .push_raw(&format!("42[\"/jobs\",\"{}\"]", "x".repeat(100 << 20)), 1);
    farm.wait("another connection", |farm| {
        (farm.push_counts().connected > connected).then_some(())
    });
    everything_works(&farm, node);
}
