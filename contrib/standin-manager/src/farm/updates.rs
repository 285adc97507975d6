// SPDX-License-Identifier: GPL-3.0-or-later
//! What workers report about a task: updates, may-i-run, pictures.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Event, Farm, Refused, Uploaded, When, is_id};
use crate::words::TaskStatus;

/// 25 MiB, still accepted.
const LARGEST_PICTURE: usize = 26_214_400;
/// The queue of the whole Manager, plus the one in work.
const PICTURES_WAITING: usize = 3 + 1;

/// Body of a task update.
#[derive(Default)]
pub(crate) struct Update {
    pub(crate) status: Option<TaskStatus>,
    pub(crate) activity: Option<String>,
    pub(crate) log: Option<String>,
    pub(crate) steps: Option<i64>,
}

/// Answer of may-i-run.
pub(crate) struct Verdict {
    pub(crate) may: bool,
    pub(crate) reason: String,
    pub(crate) status_change: bool,
}

impl Verdict {
    fn no(reason: &str) -> Self {
        Self {
            may: false,
            reason: reason.to_owned(),
            status_change: false,
        }
    }
}

impl Farm {
    /// The task, if the id is one and somebody handed it in.
    pub(crate) fn task_to_update(&self, id: &str) -> Result<usize, Refused> {
        if !is_id(id) {
            return Err(Refused::new(400, "task ID not valid"));
        }
        self.task(id)
            .ok_or_else(|| Refused::new(404, format!("task {id} not found")))
    }

    /// Accepted from the last owner, whatever the task's status has become: so late updates bring tasks and jobs back.
    pub(crate) fn update_task(&mut self, at: usize, worker: usize, update: Update) -> Result<(), Refused> {
        let id = &self.tasks[at].id;
        match &self.tasks[at].worker {
            None => {
                let message = format!("task {id} is not assigned to any worker, so also not to you");
                return Err(Refused::new(409, message));
            }
            Some(owner) if *owner != self.workers[worker].id => {
                return Err(Refused::new(409, format!("task {id} is not assigned to you")));
            }
            Some(_) => {}
        }
        if update.status == Some(TaskStatus::SoftFailed) {
            return Err(Refused::new(
                400,
                "task status soft-failed not allowed to be sent by Worker",
            ));
        }
        self.carry_out(at, worker, update);
        self.touch(at);
        self.seen(worker);
        Ok(())
    }

    /// In the Manager's order: activity, log, steps, status.
    fn carry_out(&mut self, at: usize, worker: usize, update: Update) {
        let status = update.status.filter(|status| *status != self.tasks[at].status);
        if let Some(activity) = update.activity {
            self.tasks[at].activity = activity;
        }
        self.log(at, update.log.as_deref().unwrap_or_default());
        let steps = update.steps.map(|steps| steps.min(self.tasks[at].steps_total));
        let stepped = steps.filter(|steps| *steps != self.tasks[at].steps_completed);
        if let Some(steps) = stepped {
            self.tasks[at].steps_completed = steps;
            if let Some(job) = self.job_of(at) {
                self.sum_steps(job);
                self.announce_job(job, None, false);
            }
        }
        match status {
            Some(TaskStatus::Failed) => self.task_failed(at, worker),
            Some(status) => self.set_task_status(at, status),
            None if stepped.is_some() => self.announce_task(at, None),
            None => {}
        }
    }

    pub(super) fn touch(&mut self, at: usize) {
        let now = Timestamp::now();
        (self.tasks[at].touched, self.tasks[at].updated) = (Some(now), now);
    }

    /// The worker's own status does not matter; only a non-lazy request does.
    pub(crate) fn may_i_run(&mut self, id: &str, worker: usize) -> Result<Verdict, Refused> {
        if !is_id(id) {
            return Err(Refused::new(400, "task ID not valid"));
        }
        let Some(at) = self.task(id) else {
            return Ok(Verdict::no("Task not found"));
        };
        let verdict = self.verdict(at, worker);
        if verdict.may {
            self.touch(at);
        }
        self.seen(worker);
        Ok(verdict)
    }

    fn verdict(&self, at: usize, worker: usize) -> Verdict {
        let (task, worker) = (&self.tasks[at], &self.workers[worker]);
        if worker.requested.is_some_and(|asked| asked.when == When::Now) {
            return Verdict {
                status_change: true,
                ..Verdict::no("worker status change requested")
            };
        }
        if task.worker.as_ref() != Some(&worker.id) {
            return Verdict::no("task not assigned to this worker");
        }
        if task.status != TaskStatus::Active {
            return Verdict::no(&format!("task is in non-runnable status \"{}\"", task.status));
        }
        Verdict {
            may: true,
            reason: String::new(),
            status_change: false,
        }
    }

    /// Any worker may send a picture for any task; whether it is one is not looked at. `Ok(false)`: no such task.
    pub(crate) fn picture(&mut self, id: &str, worker: usize, mime: &str, bytes: &[u8]) -> Result<bool, Refused> {
        self.seen(worker);
        if bytes.len() > LARGEST_PICTURE {
            return Err(Refused::new(
                413,
                format!("image too large; should be max {LARGEST_PICTURE} bytes"),
            ));
        }
        let Some(at) = self.task(id) else { return Ok(false) };
        let now = Instant::now();
        self.pictures_busy.retain(|done| *done > now);
        if self.pictures_busy.len() >= PICTURES_WAITING {
            return Err(Refused::new(429, "image processing queue is full"));
        }
        let begin = self.pictures_busy.last().copied().unwrap_or(now);
        self.pictures_busy.push(begin + self.options.picture_time);
        let job = self.tasks[at].job.clone();
        self.keep_picture(Uploaded {
            task: id.to_owned(),
            job: job.clone(),
            worker: self.workers[worker].id.clone(),
            mime: mime.to_owned(),
            bytes: bytes.into(),
        });
        if looks_like_a_picture(bytes) {
            self.announce(Event::LastRendered { job });
        }
        Ok(true)
    }
}

/// The Manager tells of a picture once it has decoded it. Here its first bytes must do.
fn looks_like_a_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8\xff") || bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}
