// SPDX-License-Identifier: GPL-3.0-or-later
//! Which worker gets which task, and the task as it is handed out.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Farm, Refused, Task, Worker};
use crate::{
    spec::CommandSpec,
    words::{JobStatus, TaskStatus, WorkerStatus},
};

/// Answer of a task request.
pub(crate) enum Handed {
    Task(Box<AssignedTask>),
    Nothing,
    /// 423: something is asked of the worker first.
    Locked(WorkerStatus),
}

/// A task on its way to a worker; fields in the order the Manager sends them.
#[derive(Serialize)]
pub(crate) struct AssignedTask {
    commands: Option<Vec<CommandSpec>>,
    job: String,
    job_priority: i64,
    job_type: String,
    name: String,
    priority: i64,
    status: TaskStatus,
    steps_completed: i64,
    steps_total: i64,
    task_type: String,
    uuid: String,
}

impl Farm {
    pub(crate) fn hand_out(&mut self, worker: usize) -> Result<Handed, Refused> {
        let handed = self.choose(worker);
        self.seen(worker);
        handed
    }

    fn choose(&mut self, worker: usize) -> Result<Handed, Refused> {
        if let Some(asked) = self.workers[worker].requested {
            return Ok(Handed::Locked(asked.status));
        }
        let status = self.workers[worker].status;
        if status != WorkerStatus::Awake {
            let message = format!("worker is in state \"{status}\", requires state \"awake\" to execute tasks");
            return Err(Refused::new(409, message));
        }
        let unclean = self.workers[worker].unclean_sign_ons;
        let too_many = self.options.unclean_sign_ons.is_some_and(|most| unclean > most);
        let at = match self.still_running(worker) {
            Some(at) if too_many => {
                self.set_task_status(at, TaskStatus::SoftFailed);
                return Err(Refused::new(400, "too many unclean sign-on requests detected"));
            }
            Some(at) => at,
            None => match self.find_task(worker) {
                Some(at) => {
                    self.assign(at, worker);
                    at
                }
                None => return Ok(Handed::Nothing),
            },
        };
        let text = format!("Task assigned to worker {}", self.workers[worker].identifier());
        self.log_stamped(at, &text);
        self.set_task_status(at, TaskStatus::Active);
        self.touch(at);
        self.announce_worker(worker, None);
        Ok(self.job_of(at).map_or(Handed::Nothing, |job| {
            let (task, job) = (&self.tasks[at], &self.jobs[job]);
            Handed::Task(Box::new(AssignedTask {
                commands: self.customised(task, &self.workers[worker]),
                job: task.job.clone(),
                job_priority: job.priority,
                job_type: job.job_type.clone(),
                name: task.name.clone(),
                priority: task.priority,
                status: task.status,
                steps_completed: task.steps_completed,
                steps_total: task.steps_total,
                task_type: task.kind.clone(),
                uuid: task.id.clone(),
            }))
        }))
    }

    pub(crate) fn assign(&mut self, at: usize, worker: usize) {
        let (id, now) = (self.workers[worker].id.clone(), Timestamp::now());
        let task = &mut self.tasks[at];
        (task.worker, task.touched, task.updated) = (Some(id), Some(now), now);
    }

    fn job_runs(&self, task: &Task) -> Option<i64> {
        let job = self.jobs.iter().find(|job| job.id == task.job)?;
        matches!(job.status, JobStatus::Active | JobStatus::Queued).then_some(job.priority)
    }

    pub(crate) fn runs_in_active_job(&self, task: &Task) -> bool {
        let job = self.jobs.iter().find(|job| job.id == task.job);
        task.status == TaskStatus::Active && job.is_some_and(|job| job.status == JobStatus::Active)
    }

    /// The task it has already, so that a lost answer costs nothing.
    fn still_running(&self, worker: usize) -> Option<usize> {
        let id = Some(&self.workers[worker].id);
        self.tasks.iter().position(|task| {
            task.status == TaskStatus::Active && task.worker.as_ref() == id && self.job_runs(task).is_some()
        })
    }

    /// The first of those with the highest job priority, then task priority.
    fn find_task(&self, worker: usize) -> Option<usize> {
        let worker = &self.workers[worker];
        let candidates = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| self.runnable(task, worker));
        let ranked =
            candidates.filter_map(|(at, task)| Some((Reverse(self.job_runs(task)?), Reverse(task.priority), at)));
        ranked.min().map(|(_, _, at)| at)
    }

    fn runnable(&self, task: &Task, worker: &Worker) -> bool {
        let completed = |id: &String| {
            self.task(id)
                .is_none_or(|at| self.tasks[at].status == TaskStatus::Completed)
        };
        let blocked = |job: &super::Job| {
            job.blocked
                .iter()
                .any(|(id, kind)| *id == worker.id && *kind == task.kind)
        };
        matches!(task.status, TaskStatus::Queued | TaskStatus::SoftFailed)
            && worker.task_types.contains(&task.kind)
            && !task.failed_by.contains(&worker.id)
            && task.after.iter().all(completed)
            && !self.jobs.iter().any(|job| job.id == task.job && blocked(job))
    }

    /// Variables are replaced in text and in the text of lists, no deeper.
    fn customised(&self, task: &Task, worker: &Worker) -> Option<Vec<CommandSpec>> {
        let expand = |value: &mut Value| {
            if let Value::String(text) = value {
                *text = self.expanded(text, &worker.platform);
            }
        };
        let mut commands = task.commands.as_deref()?.clone();
        for command in &mut commands {
            let Value::Object(parameters) = &mut command.parameters else {
                continue;
            };
            for value in parameters.values_mut() {
                match value {
                    Value::String(_) => expand(value),
                    Value::Array(items) => items.iter_mut().for_each(expand),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
                }
            }
        }
        Some(commands)
    }

    /// The worker's own platform wins over `all`; what nobody configured stays as it is.
    fn expanded(&self, text: &str, platform: &str) -> String {
        let mut text = text.replace("{jobs}", &self.storage.to_string_lossy());
        for wanted in [platform, "all"] {
            for variable in self
                .options
                .variables
                .iter()
                .filter(|variable| variable.platform == wanted)
            {
                text = text.replace(&format!("{{{}}}", variable.name), &variable.value);
            }
        }
        text
    }
}
