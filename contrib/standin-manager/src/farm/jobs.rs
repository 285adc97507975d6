// SPDX-License-Identifier: GPL-3.0-or-later
//! Jobs as people handle them: handed in, cancelled, paused, requeued, deleted; and single tasks likewise.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Event, Farm, Job, Refused, Task, new_id};
use crate::{
    spec::{JobSpec, TaskSpec},
    words::{JobStatus, TaskStatus},
};

/// All tasks have it in this version.
const TASK_PRIORITY: i64 = 50;

impl Farm {
    pub(crate) fn submit(&mut self, spec: JobSpec, settings: Value, metadata: Value) -> Result<usize, Refused> {
        let now = Timestamp::now();
        let job = new_id();
        let mut made: Vec<Task> = Vec::with_capacity(spec.tasks.len());
        for task in spec.tasks {
            let earlier = task.after.iter().map(|at| made.get(*at).map(|task| task.id.clone()));
            let Some(after) = earlier.collect::<Option<Vec<String>>>() else {
                return Err(Refused::new(
                    400,
                    format!("task {:?} depends on one that does not come before it", task.name),
                ));
            };
            made.push(new_task(&job, made.len() + 1, task, after, now));
        }
        self.tasks.extend(made);
        self.jobs.push(Job {
            id: job,
            name: spec.name,
            job_type: spec.job_type,
            priority: spec.priority,
            status: JobStatus::Queued,
            activity: String::new(),
            steps_completed: 0,
            steps_total: 0,
            created: now,
            updated: now,
            delete_requested: None,
            blocked: Vec::new(),
            settings,
            metadata,
        });
        let at = self.jobs.len() - 1;
        self.announce_job(at, None, false);
        Ok(at)
    }

    /// As the page does it: requeueing forgets who failed and who was blocked.
    pub(crate) fn change_job(&mut self, id: &str, status: JobStatus, reason: &str) -> Result<(), Refused> {
        let at = self.known_job(id)?;
        self.set_job_status(at, status, reason);
        if status == JobStatus::Requeueing {
            self.jobs[at].blocked.clear();
            for task in self.tasks.iter_mut().filter(|task| task.job == id) {
                task.failed_by.clear();
            }
        }
        Ok(())
    }

    pub(crate) fn change_task(&mut self, id: &str, status: TaskStatus, reason: &str) -> Result<(), Refused> {
        let at = self.known_task(id)?;
        reason.clone_into(&mut self.tasks[at].activity);
        self.set_task_status(at, status);
        if status == TaskStatus::Queued {
            self.tasks[at].failed_by.clear();
        }
        Ok(())
    }

    /// Rows and files go. The real one answers first and does it some milliseconds later.
    pub(crate) fn delete_job(&mut self, id: &str) -> Result<(), Refused> {
        let at = self.known_job(id)?;
        self.jobs[at].delete_requested = Some(Timestamp::now());
        self.announce_job(at, None, false);
        self.remove_files(id);
        self.tasks.retain(|task| task.job != id);
        let job = Box::new(self.jobs.remove(at));
        self.announce(Event::Job {
            job,
            previous: None,
            tasks_changed: false,
            deleted: true,
        });
        Ok(())
    }

    pub(crate) fn known_job(&self, id: &str) -> Result<usize, Refused> {
        self.job(id).ok_or_else(|| Refused::new(404, "no such job"))
    }

    pub(crate) fn known_task(&self, id: &str) -> Result<usize, Refused> {
        self.task(id).ok_or_else(|| Refused::new(404, "no such task"))
    }
}

fn new_task(job: &str, index: usize, spec: TaskSpec, after: Vec<String>, now: Timestamp) -> Task {
    Task {
        id: new_id(),
        job: job.to_owned(),
        index,
        name: spec.name,
        kind: spec.kind,
        priority: TASK_PRIORITY,
        status: TaskStatus::Queued,
        activity: String::new(),
        steps_completed: 0,
        steps_total: spec
            .commands
            .iter()
            .map(|command| command.total_step_count.max(1))
            .fold(0, i64::wrapping_add),
        worker: None,
        commands: (!spec.commands.is_empty()).then(|| Arc::new(spec.commands)),
        after,
        failed_by: Vec::new(),
        created: now,
        updated: now,
        touched: None,
    }
}

/// What a job without metadata of its own shows.
pub(crate) fn no_metadata() -> Value {
    json!({})
}
