// SPDX-License-Identifier: GPL-3.0-or-later
//! A worker says `failed`: may another one try, is this one blocked, has the whole job failed?

use super::Farm;
use crate::words::{JobStatus, TaskStatus};

/// `task_fail_after_softfail_count` of a fresh configuration.
const SOFT_FAILURES: usize = 3;
/// `blocklist_threshold` of a fresh configuration. Reached at the second failure, since the present one is counted twice.
const BLOCK_AFTER: usize = 3;

impl Farm {
    pub(super) fn task_failed(&mut self, at: usize, worker: usize) {
        let (worker_id, name) = (self.workers[worker].id.clone(), self.workers[worker].name.clone());
        let (job_id, kind) = (self.tasks[at].job.clone(), self.tasks[at].kind.clone());
        if !self.tasks[at].failed_by.contains(&worker_id) {
            self.tasks[at].failed_by.push(worker_id.clone());
        }
        let failures = self
            .tasks_of(&job_id)
            .filter(|task| task.kind == kind && task.failed_by.contains(&worker_id));
        if failures.count() + 1 >= BLOCK_AFTER {
            self.block(at, &worker_id);
            if self.capable(at) == 0 {
                return self.fail_job_with(at, worker);
            }
            self.return_failed_tasks(
                &worker_id,
                &job_id,
                &format!("worker {name} was blocked from tasks of type \"{kind}\""),
            );
        }
        let failed = self.tasks[at].failed_by.len();
        if failed >= SOFT_FAILURES {
            let who = workers(failed);
            self.log_stamped(
                at,
                &format!("Task failed by {who}, Manager will mark it as hard failure"),
            );
            self.set_task_status(at, TaskStatus::Failed);
        } else if self.capable(at) <= 1 {
            // One other worker is not enough: the Manager means to discount this one, which it has done already.
            self.fail_job_with(at, worker);
        } else {
            let (who, left) = (workers(failed), SOFT_FAILURES - failed);
            let failures = if left == 1 { "failure" } else { "failures" };
            self.log_stamped(
                at,
                &format!("Task failed by {who}, Manager will mark it as soft failure. {left} more {failures} will cause hard failure."),
            );
            self.set_task_status(at, TaskStatus::SoftFailed);
        }
    }

    fn block(&mut self, at: usize, worker: &str) {
        let block = (worker.to_owned(), self.tasks[at].kind.clone());
        if let Some(job) = self.job_of(at)
            && !self.jobs[job].blocked.contains(&block)
        {
            self.jobs[job].blocked.push(block);
        }
    }

    /// Workers that are not blocked and have not failed this task. Deleted ones, sleepers and those without the task type
    /// all count.
    fn capable(&self, at: usize) -> usize {
        let task = &self.tasks[at];
        let blocked = self
            .job_of(at)
            .map(|job| self.jobs[job].blocked.as_slice())
            .unwrap_or_default();
        self.workers
            .iter()
            .filter(|worker| !blocked.iter().any(|(id, kind)| *id == worker.id && *kind == task.kind))
            .filter(|worker| !task.failed_by.contains(&worker.id))
            .count()
    }

    fn return_failed_tasks(&mut self, worker: &str, job: &str, reason: &str) {
        for at in 0..self.tasks.len() {
            let task = &self.tasks[at];
            if task.job == job && task.status == TaskStatus::Failed && task.worker.as_deref() == Some(worker) {
                self.return_task(at, reason);
            }
        }
    }

    fn fail_job_with(&mut self, at: usize, worker: usize) {
        let (who, kind) = (self.workers[worker].identifier(), self.tasks[at].kind.clone());
        self.log_stamped(
            at,
            &format!("Task failed by worker {who}, Manager will fail the entire job as there are no more workers left for tasks of type \"{kind}\"."),
        );
        self.set_task_status(at, TaskStatus::Failed);
        if let Some(job) = self.job_of(at) {
            self.set_job_status(
                job,
                JobStatus::Failed,
                &format!("no more workers left to run tasks of type \"{kind}\""),
            );
        }
    }
}

fn workers(count: usize) -> String {
    if count == 1 {
        "1 worker".to_owned()
    } else {
        format!("{count} workers")
    }
}
