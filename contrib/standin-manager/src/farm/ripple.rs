// SPDX-License-Identifier: GPL-3.0-or-later
//! The state machine: one task's or job's new status, and what that does to the others.
//!
//! ```text
//! set_task_status -> log line, steps -> event -> ripple -> set_job_status -> job_became -> bulk change of tasks
//!                                                              ^                |
//!                                                              +--- next -------+
//! ```

use jiff::Timestamp;

use super::Farm;
use crate::words::{JobStatus, TaskStatus};

/// This share of a job's tasks failed for good means the job has failed.
const FAILED_TASKS_PERCENT: usize = 10;

/// What a job's new status brought about.
struct Became {
    next: Option<JobStatus>,
    /// Many tasks changed at once, without an event for each.
    tasks_changed: bool,
}

impl Became {
    const NOTHING: Self = Self {
        next: None,
        tasks_changed: false,
    };

    fn bulk(next: Option<JobStatus>) -> Self {
        Self {
            next,
            tasks_changed: true,
        }
    }
}

impl Farm {
    /// Nothing is checked: whatever the task was, it is `status` now.
    pub(crate) fn set_task_status(&mut self, at: usize, status: TaskStatus) {
        let old = self.tasks[at].status;
        self.tasks[at].status = status;
        if old != status {
            self.log_stamped(at, &format!("task changed status {old} -> {status}"));
            match status {
                TaskStatus::Completed => self.tasks[at].steps_completed = self.tasks[at].steps_total,
                TaskStatus::Queued => self.tasks[at].steps_completed = 0,
                TaskStatus::Active
                | TaskStatus::Canceled
                | TaskStatus::Failed
                | TaskStatus::SoftFailed
                | TaskStatus::Paused => {}
            }
        }
        self.announce_task(at, Some(old));
        self.tasks[at].updated = Timestamp::now();
        if let Some(job) = self.job_of(at) {
            self.ripple(job, status);
            // Afterwards, since the events of the job tell the sums of before.
            if old != status && matches!(status, TaskStatus::Completed | TaskStatus::Queued) {
                self.sum_steps(job);
            }
        }
    }

    /// The job's sums are only brought up to date when the steps of a task change, and when the job is requeued.
    pub(super) fn sum_steps(&mut self, job: usize) {
        let id = self.jobs[job].id.clone();
        let (completed, total) = self.tasks_of(&id).fold((0, 0), |(completed, total), task| {
            (completed + task.steps_completed, total + task.steps_total)
        });
        let job = &mut self.jobs[job];
        (job.steps_completed, job.steps_total, job.updated) = (completed, total, Timestamp::now());
    }

    fn count(&self, job: usize, statuses: &[TaskStatus]) -> usize {
        self.tasks_of(&self.jobs[job].id)
            .filter(|task| statuses.contains(&task.status))
            .count()
    }

    fn ripple(&mut self, job: usize, status: TaskStatus) {
        match status {
            TaskStatus::Queued if self.jobs[job].status == JobStatus::Completed => {
                self.set_job_status(job, JobStatus::Requeueing, "task was queued");
            }
            TaskStatus::Queued => {}
            TaskStatus::Paused => {
                self.pause_if_done(job, "last task got paused");
            }
            TaskStatus::Canceled => self.after_cancel(job),
            TaskStatus::Failed => self.after_failure(job),
            TaskStatus::Completed => self.after_completion(job),
            TaskStatus::Active | TaskStatus::SoftFailed => match self.jobs[job].status {
                JobStatus::Active | JobStatus::CancelRequested => {}
                JobStatus::Canceled
                | JobStatus::Completed
                | JobStatus::Failed
                | JobStatus::Paused
                | JobStatus::PauseRequested
                | JobStatus::Queued
                | JobStatus::Requeueing
                | JobStatus::UnderConstruction => {
                    self.set_job_status(job, JobStatus::Active, &format!("task became {status}"));
                }
            },
        }
    }

    fn pausing_is_done(&self, job: usize) -> bool {
        self.jobs[job].status == JobStatus::PauseRequested && self.count(job, &[TaskStatus::Active]) == 0
    }

    fn pause_if_done(&mut self, job: usize, reason: &str) -> bool {
        let done = self.pausing_is_done(job);
        if done {
            self.set_job_status(job, JobStatus::Paused, reason);
        }
        done
    }

    fn after_cancel(&mut self, job: usize) {
        if self.count(job, &[TaskStatus::Active, TaskStatus::Queued, TaskStatus::SoftFailed]) == 0 {
            let reason = "canceled task was last runnable task of job, canceling job";
            self.set_job_status(job, JobStatus::Canceled, reason);
        } else {
            self.pause_if_done(job, "no more active tasks after task cancellation");
        }
    }

    fn after_failure(&mut self, job: usize) {
        let total = self.tasks_of(&self.jobs[job].id).count();
        let percent = (self.count(job, &[TaskStatus::Failed]) * 100).checked_div(total);
        if percent.is_some_and(|percent| percent >= FAILED_TASKS_PERCENT) {
            self.set_job_status(job, JobStatus::Failed, "too many tasks failed");
        } else if !self.pause_if_done(job, "no more active tasks after task failure")
            && self.jobs[job].status == JobStatus::Queued
        {
            self.set_job_status(job, JobStatus::Active, "task failed, but not enough to fail the job");
        }
    }

    fn after_completion(&mut self, job: usize) {
        if self.all_completed(job) {
            self.set_job_status(job, JobStatus::Completed, "all tasks completed");
        } else if !self.pause_if_done(job, "no more active tasks after task completion")
            && self.jobs[job].status == JobStatus::Queued
        {
            self.set_job_status(job, JobStatus::Active, "no more tasks to do");
        }
    }

    fn all_completed(&self, job: usize) -> bool {
        self.tasks_of(&self.jobs[job].id)
            .all(|task| task.status == TaskStatus::Completed)
    }

    /// Follows a chain such as cancel-requested -> canceled to its end.
    pub(crate) fn set_job_status(&mut self, job: usize, status: JobStatus, reason: &str) {
        let mut next = Some(status);
        while let Some(status) = next
            && status != self.jobs[job].status
        {
            let previous = self.jobs[job].status;
            self.jobs[job].status = status;
            self.jobs[job].activity = format!("Changed to status \"{status}\": {reason}");
            let became = self.job_became(job, status, previous);
            self.announce_job(job, Some(previous), became.tasks_changed);
            next = became.next;
        }
        if status == JobStatus::Requeueing {
            self.sum_steps(job);
        }
        self.jobs[job].updated = Timestamp::now();
    }

    fn job_became(&mut self, job: usize, status: JobStatus, previous: JobStatus) -> Became {
        match status {
            JobStatus::Completed | JobStatus::Canceled | JobStatus::Paused | JobStatus::Active => Became::NOTHING,
            JobStatus::UnderConstruction => Became::NOTHING,
            JobStatus::CancelRequested | JobStatus::Failed => {
                let from = [TaskStatus::Active, TaskStatus::Queued, TaskStatus::SoftFailed];
                let why = format!("Manager cancelled this task because the job got status \"{status}\".");
                self.change_tasks(job, &from, TaskStatus::Canceled, &why);
                Became::bulk((status == JobStatus::CancelRequested).then_some(JobStatus::Canceled))
            }
            JobStatus::PauseRequested => {
                let why = format!("Manager paused this task because the job got status \"{status}\".");
                self.change_tasks(
                    job,
                    &[TaskStatus::Queued, TaskStatus::SoftFailed],
                    TaskStatus::Paused,
                    &why,
                );
                Became::bulk(self.pausing_is_done(job).then_some(JobStatus::Paused))
            }
            JobStatus::Requeueing if previous == JobStatus::UnderConstruction => Became::bulk(None),
            JobStatus::Requeueing => {
                self.requeue(job, previous);
                Became::bulk(Some(JobStatus::Queued))
            }
            JobStatus::Queued => Became::bulk(self.all_completed(job).then_some(JobStatus::Completed)),
        }
    }

    fn requeue(&mut self, job: usize, previous: JobStatus) {
        let from: &[TaskStatus] = if previous == JobStatus::Completed {
            TaskStatus::ALL
        } else {
            &[
                TaskStatus::Canceled,
                TaskStatus::Failed,
                TaskStatus::Paused,
                TaskStatus::SoftFailed,
            ]
        };
        let why = format!("Queued because job transitioned status from \"{previous}\" to \"requeueing\"");
        self.change_tasks(job, from, TaskStatus::Queued, &why);
        let (id, now) = (self.jobs[job].id.clone(), Timestamp::now());
        for task in self.tasks.iter_mut().filter(|task| task.job == id) {
            match task.status {
                TaskStatus::Completed => (task.steps_completed, task.updated) = (task.steps_total, now),
                TaskStatus::Queued => (task.steps_completed, task.updated) = (0, now),
                TaskStatus::Active
                | TaskStatus::Canceled
                | TaskStatus::Failed
                | TaskStatus::SoftFailed
                | TaskStatus::Paused => {}
            }
        }
    }

    /// In bulk: no line in the task logs, no event per task.
    fn change_tasks(&mut self, job: usize, from: &[TaskStatus], to: TaskStatus, why: &str) {
        let (id, now) = (self.jobs[job].id.clone(), Timestamp::now());
        for task in self
            .tasks
            .iter_mut()
            .filter(|task| task.job == id && from.contains(&task.status))
        {
            task.status = to;
            why.clone_into(&mut task.activity);
            task.updated = now;
        }
    }

    /// Every active task of this worker goes back to the pool.
    pub(super) fn return_tasks(&mut self, worker: usize, reason: &str) {
        let id = self.workers[worker].id.clone();
        for at in 0..self.tasks.len() {
            if self.tasks[at].status == TaskStatus::Active && self.tasks[at].worker.as_ref() == Some(&id) {
                self.return_task(at, reason);
            }
        }
    }

    pub(super) fn return_task(&mut self, at: usize, reason: &str) {
        let paused = self
            .job_of(at)
            .is_some_and(|job| matches!(self.jobs[job].status, JobStatus::PauseRequested | JobStatus::Paused));
        let to = if paused { TaskStatus::Paused } else { TaskStatus::Queued };
        let activity = format!("Task was {to} by Manager because {reason}");
        self.tasks[at].activity.clone_from(&activity);
        self.set_task_status(at, to);
        self.log_stamped(at, &activity);
    }
}
