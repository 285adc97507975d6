// SPDX-License-Identifier: GPL-3.0-or-later
//! Failures: soft, hard, block-listed, and of the whole job.

use standin_manager::StandIn;

use crate::client::{Caller, job, standin};

fn crowd(standin: &StandIn, size: usize) -> Vec<Caller> {
    (0..size).map(|at| Caller::awake(standin, &format!("w{at}"))).collect()
}

fn status(standin: &StandIn, task: &str) -> &'static str {
    standin.task(task).unwrap().status.as_str()
}

#[test]
fn the_first_two_of_enough_workers_fail_softly_and_the_third_for_good() {
    let standin = standin();
    let workers = crowd(&standin, 5);
    let (job, tasks) = job(&standin, 20);
    for (worker, expected) in workers.iter().zip(["soft-failed", "soft-failed", "failed"]) {
        let task = worker.got();
        assert_eq!(task, tasks[0], "the first of the job goes to the next worker");
        worker.reports(&task, "failed");
        assert_eq!(status(&standin, &task), expected);
    }
    assert_eq!(
        standin.job(&job).unwrap().status.as_str(),
        "active",
        "one of twenty is not 10 %"
    );
    let log = standin.task_log(&tasks[0]);
    for line in [
        "Task failed by 1 worker, Manager will mark it as soft failure. 2 more failures will cause hard failure.",
        "Task failed by 2 workers, Manager will mark it as soft failure. 1 more failure will cause hard failure.",
        "Task failed by 3 workers, Manager will mark it as hard failure",
    ] {
        assert!(log.contains(line), "{line}\nnot in\n{log}");
    }
}

#[test]
fn a_worker_never_gets_again_what_it_failed_until_a_person_requeues() {
    let standin = standin();
    let workers = crowd(&standin, 3);
    let (_, tasks) = job(&standin, 1);
    workers[0].reports(&workers[0].got(), "failed");
    assert_eq!(workers[0].fetch().status, 204);
    standin
        .set_task_status(&tasks[0], standin_manager::TaskStatus::Queued)
        .unwrap();
    assert_eq!(workers[0].got(), tasks[0]);
}

#[test]
fn with_one_other_known_worker_the_first_failure_fails_the_job() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    Caller::registered(&standin, "never seen");
    let (job, tasks) = job(&standin, 30);
    worker.reports(&worker.got(), "failed");
    let row = standin.job(&job).unwrap();
    let why = "Changed to status \"failed\": no more workers left to run tasks of type \"misc\"";
    assert_eq!((row.status.as_str(), row.activity.as_str()), ("failed", why));
    assert_eq!(
        (status(&standin, &tasks[0]), status(&standin, &tasks[1])),
        ("failed", "canceled")
    );
}

#[test]
fn deleted_workers_still_count_as_able() {
    let standin = standin();
    let workers = crowd(&standin, 3);
    standin.delete_worker(&workers[1].id).unwrap();
    standin.delete_worker(&workers[2].id).unwrap();
    job(&standin, 30);
    let task = workers[0].got();
    workers[0].reports(&task, "failed");
    assert_eq!(status(&standin, &task), "soft-failed");
}

#[test]
fn the_second_failure_on_a_task_type_blocks_the_worker() {
    let standin = standin();
    let workers = crowd(&standin, 4);
    let (job, _) = job(&standin, 30);
    workers[0].reports(&workers[0].got(), "failed");
    assert!(standin.job(&job).unwrap().blocked.is_empty());
    workers[0].reports(&workers[0].got(), "failed");
    assert_eq!(
        standin.job(&job).unwrap().blocked,
        [(workers[0].id.clone(), "misc".to_owned())]
    );
    assert_eq!(workers[0].fetch().status, 204);
    standin.requeue_job(&job).unwrap();
    assert_eq!(workers[0].fetch().status, 200, "a requeue by a person forgets it");
}

#[test]
fn blocking_requeues_what_the_worker_had_failed_for_good() {
    let standin = standin();
    let workers = crowd(&standin, 5);
    let (_, tasks) = job(&standin, 30);
    (0..3).for_each(|at| workers[at].reports(&workers[at].got(), "failed"));
    assert_eq!(status(&standin, &tasks[0]), "failed");
    workers[2].reports(&workers[2].got(), "failed");
    assert_eq!(status(&standin, &tasks[0]), "queued", "its last owner is blocked now");
    let why = "Task was queued by Manager because worker w2 was blocked from tasks of type \"misc\"";
    assert_eq!(standin.task(&tasks[0]).unwrap().activity, why);
}

#[test]
fn ten_percent_failed_fails_the_job() {
    let standin = standin();
    let workers = crowd(&standin, 5);
    let (job, tasks) = job(&standin, 10);
    (0..3).for_each(|at| workers[at].reports(&workers[at].got(), "failed"));
    let row = standin.job(&job).unwrap();
    assert_eq!(
        (row.status.as_str(), row.activity.as_str()),
        ("failed", "Changed to status \"failed\": too many tasks failed")
    );
    assert_eq!(status(&standin, &tasks[9]), "canceled");
}
