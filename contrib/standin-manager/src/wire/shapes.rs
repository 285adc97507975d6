// SPDX-License-Identifier: GPL-3.0-or-later
//! The JSON of the management calls, fields in the order the Manager sends them.

use serde::Serialize;
use serde_json::Value;

use crate::{
    spec::CommandSpec,
    words::{JobStatus, TaskStatus, WorkerStatus},
};

#[derive(Serialize)]
pub(super) struct VersionInfo<'a> {
    pub(super) git: &'a str,
    pub(super) name: &'a str,
    pub(super) shortversion: &'a str,
    pub(super) version: &'a str,
}

#[derive(Serialize)]
pub(super) struct JobInfo<'a> {
    pub(super) metadata: &'a Value,
    pub(super) name: &'a str,
    pub(super) priority: i64,
    pub(super) settings: &'a Value,
    /// Never kept.
    pub(super) submitter_platform: &'a str,
    pub(super) r#type: &'a str,
    pub(super) activity: &'a str,
    pub(super) created: String,
    pub(super) id: &'a str,
    pub(super) status: JobStatus,
    pub(super) steps_completed: i64,
    pub(super) steps_total: i64,
    pub(super) updated: String,
}

#[derive(Serialize)]
pub(super) struct Jobs<'a> {
    pub(super) jobs: Vec<JobInfo<'a>>,
}

#[derive(Serialize, Default)]
pub(super) struct TaskWorker<'a> {
    pub(super) address: &'a str,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

#[derive(Serialize)]
pub(super) struct TaskSummary<'a> {
    pub(super) id: &'a str,
    pub(super) index_in_job: usize,
    pub(super) name: &'a str,
    pub(super) priority: i64,
    pub(super) status: TaskStatus,
    pub(super) steps_completed: i64,
    pub(super) steps_total: i64,
    pub(super) task_type: &'a str,
    pub(super) updated: String,
    pub(super) worker: TaskWorker<'a>,
}

#[derive(Serialize)]
pub(super) struct Tasks<'a> {
    pub(super) tasks: Vec<TaskSummary<'a>>,
}

#[derive(Serialize)]
pub(super) struct TaskInfo<'a> {
    pub(super) activity: &'a str,
    pub(super) commands: Option<&'a [CommandSpec]>,
    pub(super) created: String,
    pub(super) failed_by_workers: Vec<TaskWorker<'a>>,
    pub(super) id: &'a str,
    pub(super) index_in_job: usize,
    pub(super) job_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_touched: Option<String>,
    pub(super) name: &'a str,
    pub(super) priority: i64,
    pub(super) status: TaskStatus,
    pub(super) steps_completed: i64,
    pub(super) steps_total: i64,
    pub(super) task_type: &'a str,
    pub(super) updated: String,
    pub(super) worker: TaskWorker<'a>,
}

#[derive(Serialize)]
pub(super) struct TaskLogInfo<'a> {
    pub(super) job_id: &'a str,
    pub(super) size: u64,
    pub(super) task_id: &'a str,
    pub(super) url: String,
}

#[derive(Serialize)]
pub(super) struct LastRenderedInfo {
    pub(super) base: String,
    pub(super) suffixes: &'static [&'static str],
}

/// Ours: no Manager has it.
#[derive(Serialize)]
pub(super) struct SampleInfo<'a> {
    pub(super) about: &'a str,
    pub(super) name: &'a str,
}

#[derive(Serialize)]
pub(super) struct StatusChange {
    pub(super) is_lazy: bool,
    pub(super) status: WorkerStatus,
}

#[derive(Serialize)]
pub(super) struct WorkerSummary<'a> {
    pub(super) can_restart: bool,
    pub(super) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_seen: Option<String>,
    pub(super) name: &'a str,
    pub(super) status: WorkerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_change: Option<StatusChange>,
    pub(super) version: &'a str,
}

#[derive(Serialize)]
pub(super) struct Workers<'a> {
    pub(super) workers: Vec<WorkerSummary<'a>>,
}

#[derive(Serialize)]
pub(super) struct WorkerInfo<'a> {
    #[serde(flatten)]
    pub(super) summary: WorkerSummary<'a>,
    pub(super) ip_address: &'a str,
    pub(super) platform: &'a str,
    pub(super) supported_task_types: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<WorkerTask<'a>>,
}

/// The task it runs, or ran last.
#[derive(Serialize)]
pub(super) struct WorkerTask<'a> {
    #[serde(flatten)]
    pub(super) summary: TaskSummary<'a>,
    pub(super) job_id: &'a str,
}
