// SPDX-License-Identifier: GPL-3.0-or-later

//! What the Manager says over its Socket.IO takes effect at once. The pauses between questions are an hour long and a test
//! gives up after seconds, so that only a hint can have been the cause.

use std::fs;

use standin_manager::{Endpoint, JobSpec, Seen, TaskSpec, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, Node, bash, until};

const LATER: When = When::AfterTask;
const NOW: When = When::Now;

/// Nothing is asked without a hint.
const ONLY_ON_HINTS: &[(&str, &str)] = &[
    ("first_may_i_run", "1h"),
    ("may_i_run", "1h"),
    ("may_i_run_hinted", "1h"),
    ("idle_min", "1h"),
    ("idle_max", "1h"),
    ("asleep_poll", "1h"),
];

/// Ends when the file `go` appears, and obeys a signal.
pub(crate) const WORK: &str = "echo running; until [ -e go ]; do sleep 0.02; done";

/// A farm whose node is idle and acts on hints alone.
fn idle() -> (Farm, Node) {
    let farm = Farm::new();
    let node = farm.awake_node_with(ONLY_ON_HINTS);
    listens(&farm, &["/jobs", "/workers"]);
    (farm, node)
}

fn asleep() -> (Farm, Node) {
    let (farm, node) = idle();
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    listens(&farm, &["/workers"]);
    (farm, node)
}

/// A farm whose node runs a task.
fn busy() -> (Farm, Node, String) {
    let (farm, node) = idle();
    let task = farm.running(WORK);
    let job = farm.manager.task(&task).unwrap().job;
    listens(&farm, &["/jobs", "/workers", &format!("/jobs/{job}")]);
    (farm, node, task)
}

/// Waits until the one client of the Socket.IO is in these rooms, besides those it gets unasked, and has asked once since.
pub(crate) fn listens(farm: &Farm, rooms: &[&str]) {
    farm.wait(&format!("somebody to listen in {rooms:?}"), |farm| {
        farm.push_clients().last().filter(|client| {
            let unasked = ["/lifecycle", "/status"];
            let has: Vec<_> = client
                .rooms
                .iter()
                .map(String::as_str)
                .filter(|room| !unasked.contains(room) && !room.ends_with("/last-rendered"))
                .collect();
            has.len() == rooms.len() && rooms.iter().all(|room| has.contains(room))
        })
    });
}

pub(crate) fn job_of(farm: &Farm, task: &str) -> String {
    farm.manager.task(task).unwrap().job
}

/// The worker's process is gone from the task's tree, and what the Manager has decided stands.
pub(crate) fn stopped(farm: &Farm, node: &Node, task: &str, status: Option<TaskStatus>) {
    until(
        "the program to end",
        || node.marked().is_empty().then_some(()),
        || farm.logs(),
    );
    assert_eq!(farm.manager.task(task).map(|task| task.status), status);
}

/// Nobody has ever sent what ends the Manager.
pub(crate) fn harmless(farm: &Farm) {
    assert_eq!(farm.manager.killed(), None);
}

#[test]
fn every_action_takes_effect_at_once_while_idle() {
    for (status, when, code) in [
        (WorkerStatus::Offline, NOW, 0),
        (WorkerStatus::Offline, LATER, 0),
        (WorkerStatus::Restart, NOW, 47),
        (WorkerStatus::Restart, LATER, 47),
    ] {
        let (farm, mut node) = idle();
        farm.ask(status, when);
        assert_eq!(node.ended(), code);
        harmless(&farm);
    }
    let (farm, mut node) = idle();
    farm.ask(WorkerStatus::Asleep, LATER);
    farm.status(WorkerStatus::Asleep);
    assert_eq!(node.stop(), 0);
}

#[test]
fn every_action_takes_effect_at_once_while_asleep() {
    for (status, when, code) in [
        (WorkerStatus::Offline, NOW, 0),
        (WorkerStatus::Offline, LATER, 0),
        (WorkerStatus::Restart, NOW, 47),
        (WorkerStatus::Restart, LATER, 47),
    ] {
        let (farm, mut node) = asleep();
        farm.ask(status, when);
        assert_eq!(node.ended(), code);
    }
    for when in [NOW, LATER] {
        let (farm, node) = asleep();
        farm.ask(WorkerStatus::Awake, when);
        farm.awake();
        listens(&farm, &["/jobs", "/workers"]);
        let task = farm.script("true");
        farm.completed(&task);
        node.finish();
        harmless(&farm);
    }
}

#[test]
fn every_immediate_action_takes_effect_at_once_while_a_task_runs() {
    for (status, code) in [(WorkerStatus::Offline, 0), (WorkerStatus::Restart, 47)] {
        let (farm, mut node, task) = busy();
        farm.ask(status, NOW);
        assert_eq!(node.ended(), code);
        stopped(&farm, &node, &task, Some(TaskStatus::Queued));
        node.nothing_left();
        harmless(&farm);
    }
    let (farm, node, task) = busy();
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    stopped(&farm, &node, &task, Some(TaskStatus::Queued));
    node.finish();
}

#[test]
fn an_action_for_after_the_task_is_asked_about_at_once_and_waits_for_it() {
    let (farm, mut node, task) = busy();
    let asked = farm.requests(Endpoint::MayIRun).len();
    farm.ask(WorkerStatus::Offline, LATER);
    farm.asked(Endpoint::MayIRun, asked + 1);
    assert!(!node.marked().is_empty(), "the program goes on");
    fs::write(node.folder.join("go"), "").unwrap();
    assert_eq!(node.ended(), 0);
    farm.completed(&task);
}

#[test]
fn a_new_job_is_taken_at_once() {
    let (farm, node) = idle();
    for _ in 0..3 {
        let task = farm.script("true");
        farm.completed(&task);
    }
    node.finish();
    harmless(&farm);
}

#[test]
fn what_ends_the_task_at_the_manager_ends_it_here_at_once() {
    let (farm, node, task) = busy();
    farm.manager.cancel_job(&job_of(&farm, &task)).unwrap();
    stopped(&farm, &node, &task, Some(TaskStatus::Canceled));
    node.finish();

    let (farm, node, task) = busy();
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    stopped(&farm, &node, &task, Some(TaskStatus::Canceled));
    node.finish();

    let (farm, node, task) = busy();
    farm.manager.delete_job(&job_of(&farm, &task)).unwrap();
    stopped(&farm, &node, &task, None);
    node.finish();
    harmless(&farm);
}

#[test]
fn a_cancelled_task_does_not_disturb_its_neighbour_of_the_same_job() {
    let (farm, node) = idle();
    let job = JobSpec::new("job")
        .task(TaskSpec::new("first").command(bash(WORK)))
        .task(TaskSpec::new("second").command(bash(WORK)));
    let tasks = farm.job(job);
    let running = farm.wait("one of them to run", |farm| {
        let runs = |task: &&String| farm.log(task).contains("> running");
        tasks.iter().find(runs).cloned()
    });
    let other = tasks.iter().find(|task| **task != running).unwrap();
    let asked = farm.requests(Endpoint::MayIRun).len();
    farm.manager.set_task_status(other, TaskStatus::Canceled).unwrap();
    // Something that is heard after it, on the same connection, and does make the worker ask.
    farm.ask(WorkerStatus::Asleep, LATER);
    farm.asked(Endpoint::MayIRun, asked + 1);
    assert!(!node.marked().is_empty(), "the program goes on");
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&running);
    node.finish();
}

#[test]
fn a_deleted_worker_notices_it_at_once_and_its_successor_listens_again() {
    let (farm, node) = idle();
    let old = farm.worker();
    farm.manager.delete_worker(&old).unwrap();
    farm.wait("another worker to be awake", |farm| {
        farm.workers()
            .find(|worker| worker.id != old && worker.status == WorkerStatus::Awake)
            .map(|_| ())
    });
    listens(&farm, &["/jobs", "/workers"]);
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn after_a_cut_it_comes_back_asks_once_and_hears_again() {
    let (farm, node) = idle();
    farm.asked(Endpoint::FetchTask, 2);
    farm.manager.cut_push();
    farm.asked(Endpoint::FetchTask, 3);
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    // The one on coming back, and the one of the request, unless the first has met it.
    assert!(farm.requests(Endpoint::FetchTask).len() <= 4);
    node.finish();
    harmless(&farm);
}

#[test]
fn what_went_unheard_is_found_on_coming_back() {
    let (farm, node) = idle();
    farm.asked(Endpoint::FetchTask, 2);
    farm.manager.lose_events(1.0);
    let task = farm.script("true");
    farm.manager.cut_push();
    farm.completed(&task);
    node.finish();
}

#[test]
fn it_comes_back_when_the_manager_does() {
    let (farm, node) = idle();
    farm.manager.stop();
    farm.manager.start_again().unwrap();
    listens(&farm, &["/jobs", "/workers"]);
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

#[test]
fn what_the_last_step_of_another_node_frees_is_taken_although_nothing_else_tells_of_it() {
    let until_told = |file: &str| bash(&format!("echo running; until [ -e {file} ]; do sleep 0.02; done"));
    let (farm, first) = idle();
    let tasks = farm.job(
        JobSpec::new("job")
            .task(
                TaskSpec::new("frames")
                    .command(until_told("go"))
                    .command(bash("true").steps(1)),
            )
            .task(TaskSpec::new("left").after(0).command(until_told("over")))
            .task(TaskSpec::new("right").after(0).command(until_told("over"))),
    );
    farm.says(&tasks[0], "> running");
    let mut second = farm.node("second");
    second.config.timings.extend(ONLY_ON_HINTS);
    second.start();
    // At its start, and when it had entered the rooms.
    farm.wait("the second node to have nothing to do", |farm| {
        let id = farm.worker_named("second")?.id.clone();
        let of_it = |seen: &&Seen| seen.endpoint == Endpoint::FetchTask && seen.worker.as_ref() == Some(&id);
        (farm.requests().iter().filter(of_it).count() >= 2).then_some(())
    });
    listens(&farm, &["/jobs", "/workers"]);
    fs::write(first.folder.join("go"), "").unwrap();
    for task in &tasks[1..] {
        farm.says(task, "> running");
    }
    for node in [&first, &second] {
        fs::write(node.folder.join("over"), "").unwrap();
    }
    for task in &tasks {
        farm.completed(task);
    }
    first.finish();
    second.finish();
    harmless(&farm);
}
