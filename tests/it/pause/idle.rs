// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker without a task.

use std::time::Duration;

use standin_manager::{Endpoint, When, WorkerStatus};
use test_bed::{Farm, logged};

use super::{command, is, is_queued, pause, resume, status, told};

#[test]
fn m1_an_idle_worker_takes_no_task_until_it_is_resumed_whatever_becomes_of_it_meanwhile() {
    let (farm, mut node) = Farm::with_awake_node();
    assert_eq!(told(&node, &["pause"]), "is paused until it is resumed");
    farm.status(WorkerStatus::Asleep);
    let task = farm.script("true");
    is(&node, "/why", "this worker was paused by hand");
    assert_eq!(status(&node)["paused"]["reason"], "asked");

    // Its supervisor restarts it, and another program takes over.
    node.stop();
    node.start();
    is(&node, "/state", "asleep");
    farm.status(WorkerStatus::Asleep);
    let (code, said) = command(&node, &["reload"]);
    assert_eq!(code, 0, "{said}");
    is(&node, "/why", "this worker was paused by hand");
    // A wake-up from afar is answered, and changes nothing.
    let fetches = farm.requests(Endpoint::FetchTask).len();
    farm.ask(WorkerStatus::Awake, When::Now);
    farm.wait("the request to be answered", |farm| {
        let worker = farm.workers().next()?;
        (worker.requested.is_none() && worker.status == WorkerStatus::Asleep).then_some(())
    });
    assert_eq!(farm.requests(Endpoint::FetchTask).len(), fetches);
    assert!(is_queued(&farm, &task));

    resume(&node);
    farm.completed(&task);
    assert_eq!(told(&node, &["resume"]), "was not paused");
    node.stop();
    farm.start(&mut node);
    node.finish();
}

#[test]
fn m1_a_pause_ends_by_itself_when_its_time_is_over() {
    let (farm, mut node) = Farm::with_awake_node();
    let said = told(&node, &["pause", "--for", "90min"]);
    let until = said.strip_prefix("is paused until ").unwrap();
    farm.status(WorkerStatus::Asleep);
    let line = crate::status::status(&node.home(), &[]);
    let line = String::from_utf8(line.stdout).unwrap();
    let words = "asleep: this worker was paused by hand, until ";
    assert!(line.contains(words), "{line} {until}");
    // The later word counts, and a restart does not make it longer.
    told(&node, &["pause", "--for", "1s"]);
    node.kill();
    node.start();
    logged(&node, "the time is over for which this worker was paused");
    farm.completed(&farm.script("true"));
    assert!(status(&node)["paused"].is_null());
    node.finish();
}

#[test]
fn m1_what_is_no_time_is_refused_and_a_worker_that_is_not_there_is_named() {
    let (farm, mut node) = Farm::with_awake_node();
    let (code, said) = command(&node, &["pause", "-for", "5"]);
    assert!(code == 2 && said.contains("\"5s\" for seconds"), "{code} {said}");
    let (code, said) = command(&node, &["pause", "--for", "1000000000000000d"]);
    assert_ne!(code, 0, "{said}");
    pause(&node);
    farm.status(WorkerStatus::Asleep);
    node.stop();
    let (code, said) = command(&node, &["resume"]);
    assert!(code == 1 && said.contains("no worker uses the home"), "{code} {said}");
}

#[test]
fn m1_whoever_connects_and_says_nothing_keeps_nobody_waiting_long() {
    let (farm, node) = Farm::with_awake_node();
    let socket = node.home().join("flamenco-worker.pause");
    let silent: Vec<_> = (0..3)
        .map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap())
        .collect();
    let mut nonsense = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    nonsense.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Write::write_all(&mut nonsense, &[b'x'; 4096]).unwrap();
    pause(&node);
    farm.status(WorkerStatus::Asleep);
    drop(silent);
    node.finish();
}
