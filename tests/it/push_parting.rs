// SPDX-License-Identifier: GPL-3.0-or-later

//! A connection to the Manager's Socket.IO that ends while it is in a room can make the whole farm hang: in the real Manager
//! when something is broadcast in that instant, in this one each time. It did: a worker that stopped closed its connection
//! as it was, beside its own sign-off, and one stop in some hundred was the last thing the Manager answered.

use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Options, Parted, PushOptions, Seen, When, WorkerStatus};

use crate::push::{WORK, job_of, listens};
use test_bed::{Farm, Node};

/// One with which every mistake counts.
fn fragile() -> PushOptions {
    PushOptions {
        wedges: true,
        ..PushOptions::default()
    }
}

fn farm(push: PushOptions) -> Farm {
    Farm::with(Options {
        push,
        ..Options::default()
    })
}

fn idle(push: PushOptions, timings: &[(&'static str, &'static str)]) -> (Farm, Node) {
    let farm = farm(push);
    let node = farm.awake_node_with(timings);
    listens(&farm, &["/jobs", "/workers"]);
    (farm, node)
}

/// Runs a task, with the rooms that belong to it.
fn busy() -> (Farm, Node) {
    let (farm, node) = idle(fragile(), &[]);
    let task = farm.running(WORK);
    listens(
        &farm,
        &["/jobs", "/workers", &format!("/jobs/{}", job_of(&farm, &task))],
    );
    (farm, node)
}

fn asleep() -> (Farm, Node) {
    let (farm, node) = idle(fragile(), &[]);
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    listens(&farm, &["/workers"]);
    (farm, node)
}

/// The Manager answers, and every connection that ended was in no room.
fn unharmed(farm: &Farm, partings: usize) -> Vec<Parted> {
    let parted = farm.manager.parted();
    assert!(parted.iter().all(|parted| parted.rooms.is_empty()), "{parted:?}");
    assert!(parted.len() >= partings, "{parted:?}\n{}", farm.logs());
    assert!(!farm.manager.wedged());
    parted
}

fn last(farm: &Farm, endpoint: Endpoint) -> Seen {
    farm.requests(endpoint)
        .pop()
        .unwrap_or_else(|| panic!("no {endpoint:?}\n{}", farm.logs()))
}

/// The only connection was gone before the sign-off, which nobody broadcasts to it any more.
fn gone_before_the_sign_off(farm: &Farm) {
    let parted = unharmed(farm, 1);
    let said = last(farm, Endpoint::SignOff);
    assert_eq!(said.status(), Some(204));
    assert!(parted[0].at < said.received, "{parted:?} {said}");
}

#[test]
fn i1_a_stop_leaves_every_room_before_it_signs_off() {
    for start in [|| idle(fragile(), &[]), busy, asleep] {
        let (farm, mut node) = start();
        assert_eq!(node.stop(), 0);
        gone_before_the_sign_off(&farm);
        node.nothing_left();
    }
}

#[test]
fn i1_a_restart_and_a_shut_down_leave_every_room_before_they_sign_off() {
    for (status, code) in [(WorkerStatus::Restart, 47), (WorkerStatus::Offline, 0)] {
        for start in [|| idle(fragile(), &[]), busy, asleep] {
            let (farm, mut node) = start();
            farm.ask(status, When::Now);
            assert_eq!(node.ended(), code);
            gone_before_the_sign_off(&farm);
        }
    }
}

#[test]
fn i1_a_second_stop_does_not_hurry_past_the_rooms() {
    let (farm, mut node) = busy();
    node.signal(Signal::SIGTERM);
    node.signal(Signal::SIGINT);
    assert_eq!(node.ended(), 0);
    gone_before_the_sign_off(&farm);
    node.nothing_left();
}

#[test]
fn i1_a_drain_leaves_every_room_before_it_signs_off() {
    let (farm, mut node) = busy();
    node.signal(Signal::SIGQUIT);
    std::fs::write(node.folder.join("go"), "").unwrap();
    assert_eq!(node.ended(), 0);
    gone_before_the_sign_off(&farm);
}

#[test]
fn i1_a_connection_without_answers_to_its_pings_is_left_before_it_is_closed() {
    let push = PushOptions {
        answers_pings: false,
        ..fragile()
    };
    let (farm, node) = idle(push, &[("push_ping", "50ms"), ("push_silence", "300ms")]);
    farm.wait("it to come back again and again", |farm| {
        (farm.parted().len() >= 3).then_some(())
    });
    unharmed(&farm, 3);
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
    unharmed(&farm, 3);
}

#[test]
fn i1_a_text_that_is_too_large_is_no_reason_to_run_out_of_a_room() {
    let (farm, node) = idle(fragile(), &[]);
    farm.manager
        .push_raw(&format!("42[\"/jobs\",\"{}\"]", "x".repeat(8 << 20)), 1);
    farm.wait("it to part", |farm| farm.parted().first().map(|_| ()));
    listens(&farm, &["/jobs", "/workers"]);
    unharmed(&farm, 1);
    node.finish();
}

#[test]
fn i1_a_text_of_a_task_with_a_long_name_is_no_reason_to_leave() {
    let (farm, node) = idle(fragile(), &[]);
    let worker = farm.worker();
    let name = "x".repeat(140_000);
    farm.manager.push_raw(
        &format!(r#"42["/task",{{"activity":"","id":"t","job_id":"j","name":"{name}"}}]"#),
        1,
    );
    // Heard after it, on the same connection.
    farm.manager.ask(&worker, WorkerStatus::Asleep, When::Now).unwrap();
    farm.status(WorkerStatus::Asleep);
    unharmed(&farm, 0);
    assert_eq!(farm.manager.push_counts().connected, 1);
    node.finish();
}

#[test]
fn i1_too_many_events_empty_the_rooms_and_end_no_connection() {
    let (farm, node) = idle(fragile(), &[("push_window", "1s")]);
    farm.manager.push_raw(r#"42["/status",{"status":"active"}]"#, 1000);
    listens(&farm, &[]);
    unharmed(&farm, 0);
    assert_eq!(farm.manager.push_counts().connected, 1);
    node.finish();
    gone_before_the_sign_off(&farm);
}

#[test]
fn i1_a_worker_that_registers_anew_is_gone_before_it_signs_on() {
    let (farm, node) = idle(fragile(), &[]);
    let old = farm.worker();
    farm.manager.delete_worker(&old).unwrap();
    farm.wait("another worker to be awake", |farm| {
        let other = |worker: &&standin_manager::Worker| worker.id != old && worker.status == WorkerStatus::Awake;
        farm.workers().find(other).map(|_| ())
    });
    let parted = unharmed(&farm, 1);
    let said = last(&farm, Endpoint::SignOn);
    assert!(parted[0].at < said.received, "{parted:?} {said}");
    listens(&farm, &["/jobs", "/workers"]);
    node.finish();
    unharmed(&farm, 2);
}

#[test]
fn i1_a_reload_leaves_every_room_before_the_successor_comes() {
    for start in [|| idle(fragile(), &[]), busy, asleep] {
        let (farm, mut node) = start();
        node.config.top = vec!["push = false".into()];
        node.write_config();
        node.signal(Signal::SIGHUP);
        node.until("the successor", || node.log().contains("taking over from the worker"));
        unharmed(&farm, 1);
        assert_eq!(farm.manager.push_counts().connected, 1, "it is turned off");
        assert_eq!(node.stop(), 0);
        node.nothing_left();
    }
}

#[test]
fn i1_a_manager_that_does_not_acknowledge_delays_a_stop_and_no_more() {
    let push = PushOptions {
        acknowledges: false,
        ..fragile()
    };
    let farm = farm(push);
    let mut node = farm.awake_node_with(&[("push_answer", "100ms")]);
    listens(&farm, &["/jobs", "/workers"]);
    let start = farm.manager.now();
    assert_eq!(node.stop(), 0);
    let took = farm.manager.now() - start;
    assert!(took < Duration::from_secs(20), "{took:?}");
    gone_before_the_sign_off(&farm);
}

#[test]
fn i1_tasks_of_a_moment_leave_no_room_behind() {
    let (farm, node) = idle(fragile(), &[]);
    let tasks: Vec<_> = (0..20).map(|_| farm.script("true")).collect();
    for task in &tasks {
        farm.completed(task);
    }
    listens(&farm, &["/jobs", "/workers"]);
    node.finish();
    gone_before_the_sign_off(&farm);
}
