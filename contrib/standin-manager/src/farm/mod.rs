// SPDX-License-Identifier: GPL-3.0-or-later
//! The Manager's book-keeping: workers, jobs and tasks, and every rule that changes them. No sockets, no clock of its own
//! beyond reading the time, nothing asynchronous: `wire` calls in here under one lock, as the real Manager's own mutexes and
//! its single database writer do.
//!
//! `workers` status and requests - `jobs` handed in, set, deleted - `ripple` what one change does to others -
//! `status` how it all is - `schedule` who gets which task - `updates` what workers report - `failure` who may try again - `record` the log files.
//!
//! Every change of a worker, job or task passes through `announce`.

mod failure;
mod jobs;
mod record;
mod ripple;
mod schedule;
mod status;
mod updates;
mod workers;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::broadcast, time::Instant};

pub(crate) use self::{
    jobs::no_metadata,
    record::{PICTURE_NAMES, job_path},
    schedule::Handed,
    updates::Update,
    workers::{Registration, SignOn},
};
use crate::{
    options::Options,
    spec::CommandSpec,
    words::{JobStatus, TaskStatus, WorkerStatus},
};

/// Events a slow listener may lag behind before it loses some; the real Manager's queue per client.
const EVENTS_KEPT: usize = 500;

/// A worker as the Manager remembers it.
#[derive(Clone, Debug)]
pub struct Worker {
    pub id: String,
    pub name: String,
    pub platform: String,
    pub address: String,
    /// `software_version` of its last sign-on.
    pub version: String,
    pub task_types: Vec<String>,
    pub can_restart: bool,
    pub status: WorkerStatus,
    /// What a person, or the memory of its last clean sign-off, asks of it.
    pub requested: Option<RequestedAction>,
    pub last_seen: Option<Timestamp>,
    /// When its row was last written after its registration.
    pub updated: Option<Timestamp>,
    /// Deleted workers stay, since they are counted when it is decided who could still run a task.
    pub deleted: bool,
    /// Sign-ons since its last sign-off that no sign-off came before: counted by Managers to come
    /// ([`Options::unclean_sign_ons`](crate::Options::unclean_sign_ons)).
    pub unclean_sign_ons: u32,
    pub(crate) secret: String,
}

impl Worker {
    /// Its name in the Manager's own sentences.
    pub(crate) fn identifier(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }
}

/// A status that was asked for and not yet reported back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedAction {
    pub status: WorkerStatus,
    pub when: When,
}

/// "Immediately" or "after task is finished" in the Worker Actions menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    AfterTask,
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub name: String,
    pub job_type: String,
    pub priority: i64,
    pub status: JobStatus,
    /// Why it has its status.
    pub activity: String,
    pub steps_completed: i64,
    pub steps_total: i64,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Set in the event that announces its deletion.
    pub delete_requested: Option<Timestamp>,
    /// Workers that get no more tasks of a type of this job: (worker, task type).
    pub blocked: Vec<(String, String)>,
    pub(crate) settings: Value,
    pub(crate) metadata: Value,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: String,
    pub job: String,
    /// From 1, as the Manager counts.
    pub index: usize,
    pub name: String,
    pub kind: String,
    pub priority: i64,
    pub status: TaskStatus,
    pub activity: String,
    /// Can be negative: the Manager stores what it is told.
    pub steps_completed: i64,
    pub steps_total: i64,
    /// Its last owner, who keeps the right to report on it until somebody else is assigned.
    pub worker: Option<String>,
    pub commands: Option<Arc<Vec<CommandSpec>>>,
    /// Tasks that must be completed first.
    pub after: Vec<String>,
    pub failed_by: Vec<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Start of its time-out clock.
    pub touched: Option<Timestamp>,
}

/// A picture a worker sent.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub task: String,
    pub job: String,
    pub worker: String,
    pub mime: String,
    pub bytes: Arc<[u8]>,
}

/// Something changed, as the Manager tells it: rows stand in events as they were read before the change was stored, so
/// times of sight and of update, and a job's sums of steps, lag behind.
#[derive(Clone, Debug)]
pub enum Event {
    Worker {
        worker: Box<Worker>,
        previous: Option<WorkerStatus>,
        deleted: bool,
    },
    Job {
        job: Box<Job>,
        previous: Option<JobStatus>,
        tasks_changed: bool,
        deleted: bool,
    },
    Task {
        task: Box<Task>,
        previous: Option<TaskStatus>,
        /// The name of its worker, if that is not deleted.
        owner: Option<String>,
    },
    LastRendered {
        job: String,
    },
}

/// An answer that is not a success, with the Manager's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub code: u16,
    pub message: String,
}

impl Refused {
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

/// The whole state. Positions in the three lists are used inside; ids are what the outside knows.
#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) workers: Vec<Worker>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) pictures: Vec<Uploaded>,
    /// When each accepted picture will have been worked on.
    pictures_busy: Vec<Instant>,
    pub(crate) options: Options,
    pub(crate) storage: PathBuf,
    events: broadcast::Sender<Event>,
    /// What was announced and not pushed yet.
    outbox: Vec<Event>,
}

impl Farm {
    pub(crate) fn new(options: Options, storage: PathBuf) -> Self {
        Self {
            workers: Vec::new(),
            jobs: Vec::new(),
            tasks: Vec::new(),
            pictures: Vec::new(),
            pictures_busy: Vec::new(),
            options,
            storage,
            events: broadcast::Sender::new(EVENTS_KEPT),
            outbox: Vec::new(),
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The one place every change passes. Nobody listening is fine.
    fn announce(&mut self, event: Event) {
        if self.events.receiver_count() > 0 {
            // All left meanwhile.
            self.events.send(event.clone()).ok();
        }
        self.outbox.push(event);
    }

    /// Whether there is something that was not pushed yet.
    pub(crate) fn has_announced(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What was announced since this was last asked, in order.
    pub(crate) fn announced(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    fn announce_worker(&mut self, worker: usize, previous: Option<WorkerStatus>) {
        self.announce(Event::Worker {
            worker: Box::new(self.workers[worker].clone()),
            previous,
            deleted: false,
        });
    }

    fn announce_job(&mut self, job: usize, previous: Option<JobStatus>, tasks_changed: bool) {
        self.announce(Event::Job {
            job: Box::new(self.jobs[job].clone()),
            previous,
            tasks_changed,
            deleted: false,
        });
    }

    fn announce_task(&mut self, task: usize, previous: Option<TaskStatus>) {
        let task = Box::new(self.tasks[task].clone());
        let owner = task.worker.as_deref().and_then(|id| self.worker(id));
        self.announce(Event::Task {
            task,
            previous,
            owner: owner.map(|at| self.workers[at].name.clone()),
        });
    }

    /// A worker that is not deleted.
    pub(crate) fn worker(&self, id: &str) -> Option<usize> {
        self.workers
            .iter()
            .position(|worker| worker.id == id && !worker.deleted)
    }

    pub(crate) fn job(&self, id: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == id)
    }

    pub(crate) fn task(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == id)
    }

    fn job_of(&self, task: usize) -> Option<usize> {
        self.job(&self.tasks[task].job)
    }

    fn tasks_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |task| task.job == job)
    }
}

/// A random UUID of version 4, from the keys the standard library draws for its hash maps.
pub(crate) fn new_id() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let word = || u128::from(RandomState::new().build_hasher().finish());
    let bits = (word() << 64 | word()) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The Manager's test of an id: 36 characters that are a UUID.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
