// SPDX-License-Identifier: GPL-3.0-or-later

//! What an answer to a report means, by who gave it: the Manager, or something on the way.

use std::fs;

use standin_manager::{Endpoint, Fault, FaultKind, JobSpec, TaskSpec};

use test_bed::{Farm, Node, bash, file};

/// Not in the Manager's shape.
fn proxy(code: u16, body: &str) -> FaultKind {
    FaultKind::Status {
        code,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

/// The numbers that `seq` printed, as the Manager's log of the task has them.
fn numbers(farm: &Farm, task: &str) -> Vec<u32> {
    let log = farm.log(task);
    let printed = log.lines().filter_map(|line| line.split_once(" > ")?.1.parse().ok());
    printed.collect()
}

/// Whether the history says this of how a task was reported.
fn is_reported(node: &Node, task: &str, standing: &str) -> bool {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .args(["history", "--json", task])
        .env("FLAMENCO_HOME", node.home())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains(&format!("\"report\":\"{standing}\""))
}

#[test]
fn c14_too_large_an_update_is_halved_and_nothing_of_it_is_lost() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(
        Fault::at(
            Endpoint::TaskUpdate,
            proxy(413, "<html>Request Entity Too Large</html>"),
        )
        .skip(1)
        .times(4),
    );
    let task = farm.script("seq 1 50000");
    farm.completed(&task);
    assert!(numbers(&farm, &task).into_iter().eq(1..=50_000));
    node.finish();
}

#[test]
fn c17_an_update_whose_answer_is_lost_repeats_one_piece_at_most_and_the_outcome_stands() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::DropAnswer).skip(1).times(2));
    let task = farm.script("for i in $(seq 1 40); do echo $i; sleep 0.02; done");
    farm.completed(&task);
    let came = numbers(&farm, &task);
    let mut once = came.clone();
    once.sort_unstable();
    once.dedup();
    assert!(once.into_iter().eq(1..=40), "{came:?}");
    let repeats = came.windows(2).filter(|pair| pair[1] <= pair[0]).count();
    assert!((1..=2).contains(&repeats), "{came:?}");
    let next = farm.script("true");
    farm.completed(&next);
    assert_eq!(farm.outcomes(&task), ["completed"]);

    farm.manager.clear_requests();
    let steps = |kind| Fault::at(Endpoint::TaskUpdate, kind);
    farm.fault(steps(FaultKind::DropAnswer).times(20));
    let task = farm.script("true");
    farm.completed(&task);
    node.until("the outcome to be delivered", || is_reported(&node, &task, "delivered"));
    assert!(farm.outcomes(&task).iter().all(|status| status == "completed"));
    node.finish();
}

#[test]
fn c30_a_404_or_409_of_a_proxy_drops_nothing() {
    let (farm, node) = Farm::with_awake_node();
    for answer in [
        proxy(404, "<html>Not Found</html>"),
        proxy(404, r#"{"message":"Not Found"}"#),
        proxy(409, "<html>Conflict</html>"),
        proxy(409, r#"{"code":404,"message":"?"}"#),
        proxy(409, ""),
    ] {
        farm.fault(Fault::at(Endpoint::TaskUpdate, answer).times(2));
        let task = farm.script("seq 1 1000; echo ran >> runs");
        farm.completed(&task);
        assert!(numbers(&farm, &task).into_iter().eq(1..=1000));
        assert_eq!(file(&node.folder.join("runs")), "ran\n");
        fs::remove_file(node.folder.join("runs")).unwrap();
    }
    node.finish();
}

#[test]
fn c13_a_deleted_task_is_stopped_and_keeps_no_other_back() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("first_may_i_run", "10m")]);
    let task = farm.script("while :; do echo tick; sleep 0.02; done");
    farm.says(&task, "> tick");
    let job = farm.manager.task(&task).unwrap().job;
    farm.manager.delete_job(&job).unwrap();
    let next = farm.script("true");
    farm.completed(&next);
    node.until("the deleted task to be put away", || is_reported(&node, &task, "gone"));
    node.finish();
}

#[test]
fn c29_an_outcome_is_set_aside_when_only_that_fails_for_long_and_its_task_is_not_run_again() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("set_aside", "1s"), ("idle_min", "100ms")]);
    farm.fault(Fault::at(Endpoint::TaskUpdate, proxy(403, "<html>Forbidden</html>")).forever());
    let task = farm.script("echo ran >> runs");
    node.until("the outcome to be set aside", || is_reported(&node, &task, "set-aside"));
    // The Manager asks for the task again: that is a chance for its outcome.
    farm.manager.clear_faults();
    farm.completed(&task);
    let next = farm.script("true");
    farm.completed(&next);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    node.finish();
}

#[test]
fn d6_the_logs_of_many_tasks_are_each_in_order_whatever_fails_between() {
    let (farm, node) = Farm::with_awake_node();
    for skip in [3, 11, 23, 31, 47] {
        farm.fault(
            Fault::at(Endpoint::TaskUpdate, FaultKind::status(500))
                .skip(skip)
                .times(2),
        );
    }
    let job = (0..20).fold(JobSpec::new("job"), |job, _| {
        job.task(TaskSpec::new("task").command(bash("seq 1 500")))
    });
    let tasks = farm.job(job);
    for task in &tasks {
        farm.completed(task);
        assert!(numbers(&farm, task).into_iter().eq(1..=500), "{}", farm.log(task));
    }
    node.finish();
}
