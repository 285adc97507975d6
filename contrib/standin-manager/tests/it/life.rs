// SPDX-License-Identifier: GPL-3.0-or-later
//! What becomes of jobs and tasks when people or late updates change them.

use serde_json::json;
use standin_manager::{StandIn, TaskStatus};

use crate::client::{Caller, job, standin};

fn statuses(standin: &StandIn, job: &str) -> (&'static str, Vec<&'static str>) {
    let tasks = standin.tasks(job).iter().map(|task| task.status.as_str()).collect();
    (standin.job(job).unwrap().status.as_str(), tasks)
}

#[test]
fn a_job_is_completed_when_all_its_tasks_are() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, _) = job(&standin, 2);
    assert_eq!(statuses(&standin, &job).0, "queued");
    worker.reports(&worker.got(), "completed");
    assert_eq!(statuses(&standin, &job), ("active", vec!["completed", "queued"]));
    worker.reports(&worker.got(), "completed");
    assert_eq!(statuses(&standin, &job).0, "completed");
}

#[test]
fn cancelling_a_job_cancels_the_running_task_without_a_line_in_its_log() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, tasks) = job(&standin, 2);
    let task = worker.got();
    standin.cancel_job(&job).unwrap();
    assert_eq!(statuses(&standin, &job), ("canceled", vec!["canceled", "canceled"]));
    assert!(!standin.task_log(&task).contains("canceled"));
    let activity = standin.task(&tasks[1]).unwrap().activity;
    assert_eq!(
        activity,
        "Manager cancelled this task because the job got status \"cancel-requested\"."
    );
    assert_eq!(worker.fetch().status, 204);
}

#[test]
fn late_updates_bring_a_cancelled_job_back() {
    for (late, task_status, job_status) in [
        ("active", "active", "active"),
        ("completed", "completed", "canceled"),
        ("queued", "queued", "canceled"),
    ] {
        let standin = standin();
        let worker = Caller::awake(&standin, "w");
        let (job, _) = job(&standin, 2);
        let task = worker.got();
        standin.cancel_job(&job).unwrap();
        worker.reports(&task, late);
        assert_eq!(
            statuses(&standin, &job),
            (job_status, vec![task_status, "canceled"]),
            "{late}"
        );
    }
}

#[test]
fn a_late_failure_makes_a_cancelled_job_active_when_others_could_try() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    (0..2).for_each(|at| drop(Caller::registered(&standin, &format!("other{at}"))));
    let (job, _) = job(&standin, 2);
    let task = worker.got();
    standin.cancel_job(&job).unwrap();
    worker.reports(&task, "failed");
    assert_eq!(statuses(&standin, &job), ("active", vec!["soft-failed", "canceled"]));
}

#[test]
fn pausing_waits_for_the_running_task() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, _) = job(&standin, 2);
    let task = worker.got();
    standin.pause_job(&job).unwrap();
    assert_eq!(statuses(&standin, &job), ("pause-requested", vec!["active", "paused"]));
    assert_eq!(worker.may_i_run(&task)["mayKeepRunning"], true);
    assert_eq!(worker.fetch().status, 204, "not handed out again meanwhile");
    worker.reports(&task, "completed");
    assert_eq!(statuses(&standin, &job), ("paused", vec!["completed", "paused"]));
}

#[test]
fn handing_back_to_a_pausing_job_pauses_or_gets_it_stuck() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (first, _) = job(&standin, 1);
    worker.got();
    standin.pause_job(&first).unwrap();
    worker.changed("asleep");
    assert_eq!(statuses(&standin, &first), ("paused", vec!["paused"]));
    worker.changed("awake");
    let (second, _) = job(&standin, 1);
    let task = worker.got();
    standin.pause_job(&second).unwrap();
    worker.reports(&task, "queued");
    assert_eq!(statuses(&standin, &second), ("pause-requested", vec!["queued"]));
}

#[test]
fn requeueing_leaves_active_and_completed_tasks_alone_unless_all_were_completed() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, tasks) = job(&standin, 3);
    worker.reports(&worker.got(), "completed");
    worker.got();
    standin.set_task_status(&tasks[2], TaskStatus::Canceled).unwrap();
    standin.requeue_job(&job).unwrap();
    assert_eq!(
        statuses(&standin, &job),
        ("queued", vec!["completed", "active", "queued"])
    );
    assert_eq!(worker.got(), tasks[1], "and it is handed out again");
    worker.reports(&tasks[1], "completed");
    worker.reports(&worker.got(), "completed");
    assert_eq!(statuses(&standin, &job).0, "completed");
    standin.requeue_job(&job).unwrap();
    assert_eq!(statuses(&standin, &job), ("queued", vec!["queued"; 3]));
    assert_eq!(standin.job(&job).unwrap().steps_completed, 0);
}

#[test]
fn a_deleted_job_takes_its_log_along() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, _) = job(&standin, 1);
    let task = worker.got();
    assert!(std::fs::read_dir(standin.storage()).unwrap().count() > 0);
    standin.delete_job(&job).unwrap();
    assert_eq!(worker.may_i_run(&task)["reason"], "Task not found");
    assert_eq!(worker.update(&task, &json!({"taskStatus": "completed"})).status, 404);
    assert_eq!(standin.task_log(&task), "");
    assert!(!standin.storage().join(format!("job-{}", &job[..4])).join(&job).exists());
}

#[test]
fn deleting_a_worker_requeues_its_task() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (job, tasks) = job(&standin, 1);
    worker.got();
    standin.delete_worker(&worker.id).unwrap();
    assert_eq!(statuses(&standin, &job).1, ["queued"]);
    assert!(
        standin
            .task_log(&tasks[0])
            .ends_with("Task was queued by Manager because worker is being deleted\n")
    );
}

#[test]
fn a_reassigned_task_is_no_longer_the_first_ones() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let other = Caller::awake(&standin, "x");
    job(&standin, 1);
    let task = worker.got();
    standin.reassign(&task, &other.id).unwrap();
    assert_eq!(worker.update(&task, &json!({"taskStatus": "completed"})).status, 409);
    assert_eq!(worker.may_i_run(&task)["reason"], "task not assigned to this worker");
    assert_eq!(other.got(), task);
}
