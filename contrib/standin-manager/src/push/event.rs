// SPDX-License-Identifier: GPL-3.0-or-later
//! Events as the Manager writes them: keys in alphabetical order, what is absent left out.

use jiff::Timestamp;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{packet, room::Room};
use crate::{
    farm::{Event, Job, PICTURE_NAMES, Task, When, Worker, job_path},
    wire::go_json,
    words::{FarmStatus, JobStatus, TaskStatus, WorkerStatus},
};

/// Go's moment for "never".
const UNSET: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
struct WorkerUpdate<'a> {
    can_restart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_status: Option<WorkerStatus>,
    status: WorkerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_change: Option<StatusChange>,
    updated: String,
    version: &'a str,
}

#[derive(Serialize)]
struct StatusChange {
    is_lazy: bool,
    status: WorkerStatus,
}

#[derive(Serialize)]
struct JobUpdate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_requested_at: Option<Timestamp>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_status: Option<JobStatus>,
    priority: i64,
    refresh_tasks: bool,
    status: &'a str,
    steps_completed: i64,
    steps_total: i64,
    r#type: &'a str,
    updated: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    was_deleted: bool,
}

#[derive(Serialize)]
struct TaskUpdate<'a> {
    activity: &'a str,
    id: &'a str,
    job_id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_status: Option<TaskStatus>,
    status: TaskStatus,
    steps_completed: i64,
    steps_total: i64,
    updated: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<Owner<'a>>,
}

#[derive(Serialize)]
struct Owner<'a> {
    name: &'a str,
    uuid: &'a str,
}

#[derive(Serialize)]
struct LastRendered<'a> {
    job_id: &'a str,
    thumbnail: Thumbnail,
}

#[derive(Serialize)]
struct Thumbnail {
    base: String,
    suffixes: &'static [&'static str],
}

#[derive(Serialize)]
struct LifeCycle {
    r#type: &'static str,
}

#[derive(Serialize)]
struct Status {
    status: FarmStatus,
}

/// Where an event is told: once in each.
pub(super) fn rooms(event: &Event) -> Vec<Room> {
    match event {
        Event::Worker { .. } => vec![Room::Workers],
        Event::Job { .. } => vec![Room::Jobs],
        Event::Task { task, .. } => vec![Room::Job(task.job.clone())],
        Event::LastRendered { job } => vec![Room::JobLastRendered(job.clone()), Room::LastRendered],
    }
}

pub(super) fn text(event: &Event) -> Utf8Bytes {
    match event {
        Event::Worker {
            worker,
            previous,
            deleted,
        } => worker_update(worker, *previous, *deleted),
        Event::Job { job, deleted: true, .. } => deleted_job(&job.id),
        Event::Job {
            job,
            previous,
            tasks_changed,
            deleted: false,
        } => job_update(job, *previous, *tasks_changed),
        Event::Task { task, previous, owner } => task_update(task, *previous, owner.as_deref()),
        Event::LastRendered { job } => {
            let base = format!("/job-files/{}", job_path(job));
            let thumbnail = Thumbnail {
                base,
                suffixes: PICTURE_NAMES,
            };
            written("/last-rendered", &LastRendered { job_id: job, thumbnail })
        }
    }
}

/// The Manager says it twice, half a second apart.
pub(super) fn shutdown() -> Utf8Bytes {
    written(
        "/lifecycle",
        &LifeCycle {
            r#type: "manager-shutdown",
        },
    )
}

pub(super) fn status(status: FarmStatus) -> Utf8Bytes {
    written("/status", &Status { status })
}

fn worker_update(worker: &Worker, previous: Option<WorkerStatus>, deleted: bool) -> Utf8Bytes {
    let change = worker.requested.map(|asked| StatusChange {
        is_lazy: asked.when == When::AfterTask,
        status: asked.status,
    });
    let update = WorkerUpdate {
        can_restart: worker.can_restart,
        deleted_at: deleted.then(Timestamp::now),
        id: &worker.id,
        last_seen: worker.last_seen,
        name: &worker.name,
        previous_status: previous,
        status: worker.status,
        status_change: change,
        updated: worker.updated.map_or_else(|| UNSET.to_owned(), |then| then.to_string()),
        version: &worker.version,
    };
    written("/workers", &update)
}

fn job_update(job: &Job, previous: Option<JobStatus>, tasks_changed: bool) -> Utf8Bytes {
    let update = JobUpdate {
        delete_requested_at: job.delete_requested,
        id: &job.id,
        name: Some(&job.name),
        previous_status: previous,
        priority: job.priority,
        refresh_tasks: tasks_changed,
        status: job.status.as_str(),
        steps_completed: job.steps_completed,
        steps_total: job.steps_total,
        r#type: &job.job_type,
        updated: job.updated.to_string(),
        was_deleted: false,
    };
    written("/jobs", &update)
}

/// Only the id is left of it.
fn deleted_job(id: &str) -> Utf8Bytes {
    let update = JobUpdate {
        delete_requested_at: None,
        id,
        name: None,
        previous_status: None,
        priority: 0,
        refresh_tasks: false,
        status: "",
        steps_completed: 0,
        steps_total: 0,
        r#type: "",
        updated: UNSET.to_owned(),
        was_deleted: true,
    };
    written("/jobs", &update)
}

fn task_update(task: &Task, previous: Option<TaskStatus>, owner: Option<&str>) -> Utf8Bytes {
    let worker = owner
        .zip(task.worker.as_deref())
        .map(|(name, uuid)| Owner { name, uuid });
    let update = TaskUpdate {
        activity: &task.activity,
        id: &task.id,
        job_id: &task.job,
        name: &task.name,
        previous_status: previous,
        status: task.status,
        steps_completed: task.steps_completed,
        steps_total: task.steps_total,
        updated: task.updated,
        worker,
    };
    written("/task", &update)
}

fn written(name: &str, value: &impl Serialize) -> Utf8Bytes {
    let json = go_json::encode(value);
    packet::event(name, String::from_utf8_lossy(&json).trim_end())
}
