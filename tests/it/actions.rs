// SPDX-License-Identifier: GPL-3.0-or-later

//! The Worker Actions menu: every entry, both flavours, from each state it can meet; with the exit code, and what the
//! Manager saw.

use standin_manager::{Endpoint, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, Node};

const LATER: When = When::AfterTask;
const NOW: When = When::Now;

/// A farm whose node runs a task that ends when the file `go` appears.
/// It only asks: what a hint brings about besides is for `push`.
fn busy() -> (Farm, Node, String) {
    let (farm, mut node) = Farm::with_node();
    node.config.top.push("push = false".into());
    farm.start(&mut node);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo done");
    (farm, node, task)
}

fn asleep() -> (Farm, Node) {
    let (farm, node) = Farm::with_awake_node();
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.status(WorkerStatus::Asleep);
    (farm, node)
}

fn let_the_task_end(node: &Node) {
    std::fs::write(node.folder.join("go"), "").unwrap();
}

/// Waits until the request was seen by the worker's next question, which must not have changed anything.
fn asked_twice(farm: &Farm) {
    let before = farm.requests(Endpoint::MayIRun).len();
    farm.asked(Endpoint::MayIRun, before + 2);
}

/// The endpoints called after the outcome of `task` was accepted.
fn after_outcome(farm: &Farm, task: &str) -> Vec<Endpoint> {
    let requests = farm.manager.requests();
    let outcome = requests
        .iter()
        .position(|seen| {
            seen.task.as_deref() == Some(task) && seen.json().is_some_and(|body| body["taskStatus"].is_string())
        })
        .expect("an outcome was sent");
    let ours = |endpoint: &Endpoint| !matches!(endpoint, Endpoint::MayIRun | Endpoint::OutputProduced);
    requests[outcome + 1..]
        .iter()
        .map(|seen| seen.endpoint)
        .filter(ours)
        .collect()
}

#[test]
fn shut_down_after_the_task_finishes_it_takes_no_new_one_and_exits_0() {
    let (farm, mut node, task) = busy();
    let next = farm.script("true");
    farm.ask(WorkerStatus::Offline, LATER);
    asked_twice(&farm);
    let_the_task_end(&node);
    assert_eq!(node.ended(), 0);
    farm.completed(&task);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    assert_eq!(after_outcome(&farm, &task), [Endpoint::FetchTask, Endpoint::SignOff]);
    node.nothing_left();
}

#[test]
fn shut_down_immediately_aborts_the_task_which_is_requeued_and_exits_0() {
    let (farm, mut node, task) = busy();
    farm.ask(WorkerStatus::Offline, NOW);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    node.nothing_left();
}

#[test]
fn shut_down_of_an_idle_worker_exits_0_in_both_flavours() {
    for when in [LATER, NOW] {
        let (farm, mut node) = Farm::with_awake_node();
        farm.ask(WorkerStatus::Offline, when);
        assert_eq!(node.ended(), 0);
        assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
        node.nothing_left();
    }
}

#[test]
fn shut_down_of_a_sleeper_exits_0_in_both_flavours() {
    for when in [LATER, NOW] {
        let (farm, mut node) = asleep();
        farm.ask(WorkerStatus::Offline, when);
        assert_eq!(node.ended(), 0);
        assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    }
}

#[test]
fn e7_restart_exits_with_the_configured_code_after_the_task() {
    let (farm, mut node, task) = busy();
    farm.ask(WorkerStatus::Restart, LATER);
    asked_twice(&farm);
    let_the_task_end(&node);
    assert_eq!(node.ended(), 47);
    farm.completed(&task);
    node.nothing_left();
}

#[test]
fn e7_restart_immediately_requeues_the_task_and_the_next_process_finishes_it() {
    let (farm, mut node, task) = busy();
    farm.ask(WorkerStatus::Restart, NOW);
    assert_eq!(node.ended(), 47);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    node.nothing_left();
    let_the_task_end(&node);
    node.start();
    farm.completed(&task);
    assert_eq!(farm.manager.workers().len(), 1, "it is the same worker");
    node.finish();
}

#[test]
fn e7_restart_of_an_idle_and_of_a_sleeping_worker_exits_with_the_code() {
    for when in [LATER, NOW] {
        let (farm, mut node) = Farm::with_awake_node();
        farm.ask(WorkerStatus::Restart, when);
        assert_eq!(node.ended(), 47);
        let (farm, mut node) = asleep();
        farm.ask(WorkerStatus::Restart, when);
        assert_eq!(node.ended(), 47);
    }
}

#[test]
fn restart_is_offered_only_for_a_worker_with_a_restart_exit_code() {
    let (farm, mut node) = Farm::with_node();
    node.arguments.clear();
    farm.start(&mut node);
    assert!(!farm.manager.workers()[0].can_restart);
    assert!(farm.manager.ask(&farm.worker(), WorkerStatus::Restart, NOW).is_err());
    node.finish();
    for spelling in [
        "-restart-exit-code=48",
        "--restart-exit-code=48",
        "-restart-exit-status=48",
    ] {
        let mut node = farm.node(spelling);
        node.arguments = vec![spelling.into()];
        node.start();
        let name = node.name.clone();
        farm.wait("the worker to be awake", |farm| {
            farm.workers()
                .find(|worker| worker.name == name && worker.status == WorkerStatus::Awake && worker.can_restart)
                .map(|_| ())
        });
        node.finish();
    }
}

#[test]
fn sleep_after_the_task_finishes_it_then_takes_none_until_woken() {
    let (farm, node, task) = busy();
    let next = farm.script("true");
    farm.ask(WorkerStatus::Asleep, LATER);
    asked_twice(&farm);
    let_the_task_end(&node);
    farm.completed(&task);
    farm.status(WorkerStatus::Asleep);
    let calls = after_outcome(&farm, &task);
    assert_eq!(calls[..2], [Endpoint::FetchTask, Endpoint::StateChanged]);
    let polls = farm.requests(Endpoint::State).len();
    farm.asked(Endpoint::State, polls + 3);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    farm.ask(WorkerStatus::Awake, NOW);
    farm.completed(&next);
    node.finish();
}

#[test]
fn sleep_immediately_confirms_only_when_no_process_of_the_task_is_left() {
    let (farm, node) = Farm::with_awake_node();
    // It takes half a second to obey, and its child was started in a session of its own.
    let task =
        farm.script("trap 'sleep 0.5; exit 0' TERM; setsid sleep 1000 & echo running; while :; do sleep 0.05; done");
    farm.says(&task, "> running");
    assert!(!node.marked().is_empty());
    farm.ask(WorkerStatus::Asleep, NOW);
    farm.wait("the worker to be asleep", |farm| {
        farm.workers()
            .next()
            .filter(|worker| worker.status == WorkerStatus::Asleep)
            .map(|_| ())
    });
    let left = node.marked();
    assert!(left.is_empty(), "confirmed while {left:?} still ran");
    let requeued = farm.manager.task(&task).unwrap();
    assert_eq!(requeued.status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.finish();
}

#[test]
fn sleep_of_an_idle_worker_and_of_a_sleeper_is_confirmed_in_both_flavours() {
    for when in [LATER, NOW] {
        let (farm, node) = Farm::with_awake_node();
        farm.ask(WorkerStatus::Asleep, when);
        farm.status(WorkerStatus::Asleep);
        assert!(farm.manager.workers()[0].requested.is_none());
        // Asked again of a sleeper it changes nothing, and leaves no request behind.
        farm.ask(WorkerStatus::Asleep, when);
        farm.asked(Endpoint::State, farm.requests(Endpoint::State).len() + 2);
        let worker = farm.manager.workers().remove(0);
        assert_eq!(
            (worker.status, worker.requested.is_none()),
            (WorkerStatus::Asleep, true)
        );
        node.finish();
    }
}

#[test]
fn wake_up_wakes_a_sleeper_and_disturbs_nobody_else() {
    let (farm, node) = asleep();
    farm.ask(WorkerStatus::Awake, LATER);
    farm.status(WorkerStatus::Awake);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    farm.ask(WorkerStatus::Awake, NOW);
    asked_twice(&farm);
    let_the_task_end(&node);
    farm.completed(&task);
    node.finish();
}

#[test]
fn a_request_taken_back_before_it_was_met_changes_nothing() {
    let (farm, mut node, task) = busy();
    farm.ask(WorkerStatus::Offline, LATER);
    asked_twice(&farm);
    farm.ask(WorkerStatus::Awake, NOW);
    let_the_task_end(&node);
    farm.completed(&task);
    let next = farm.script("true");
    farm.completed(&next);
    assert!(node.runs());
    node.finish();
}

#[test]
fn a_remembered_sleep_is_followed_at_the_next_start() {
    let (farm, mut node) = asleep();
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    node.start();
    farm.status(WorkerStatus::Asleep);
    node.finish();
}

#[test]
fn an_unknown_request_means_asleep_and_is_acknowledged_as_asked() {
    let (farm, node) = Farm::with_awake_node();
    farm.ask(WorkerStatus::Testing, NOW);
    farm.status(WorkerStatus::Testing);
    let task = farm.script("true");
    let polls = farm.requests(Endpoint::State).len();
    farm.asked(Endpoint::State, polls + 3);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    farm.ask(WorkerStatus::Awake, NOW);
    farm.completed(&task);
    node.finish();
}

#[test]
fn between_two_tasks_there_is_no_pause_and_no_other_call_than_the_fetch() {
    let (farm, mut node) = Farm::with_node();
    node.config.top.push("push = false".into());
    node.set("idle_min", "20s").set("idle_max", "20s");
    let first = farm.script("true");
    let second = farm.script("true");
    node.start();
    farm.completed(&first);
    farm.completed(&second);
    assert_eq!(after_outcome(&farm, &first)[0], Endpoint::FetchTask);
    node.until("the worker to rest", || node.children().is_empty());
    node.finish();
}
