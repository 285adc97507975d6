// SPDX-License-Identifier: GPL-3.0-or-later

//! What the Manager's Socket.IO says, as far as it matters to a worker, and what we say to it. Everything is
//! optional: an event is a hint, and one that lacks something hints at less.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The first packet of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Handshake {
    /// Milliseconds between two pings; the Manager says 30000.
    pub ping_interval: Option<u64>,
}

/// `/workers`: of every worker of the farm.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct WorkerEvent {
    pub id: Option<String>,
    /// May be of before the change that brought the event about.
    pub status: Option<String>,
    pub status_change: Option<IgnoredAny>,
    pub deleted_at: Option<IgnoredAny>,
}

/// `/jobs`: a new job, each change of a job's status, each step of a task, priority, tag, deletion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct JobEvent {
    pub id: Option<String>,
    /// Empty for a job that is deleted.
    pub status: Option<String>,
    /// Only with a change of status; not with a new job.
    pub previous_status: Option<String>,
}

/// `/task`: each change of a task's status that is made by itself, and each step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TaskEvent {
    pub id: Option<String>,
    pub status: Option<String>,
    /// The last owner; kept when the task is queued again.
    pub worker: Option<TaskOwner>,
}

/// The worker in a [`TaskEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TaskOwner {
    pub uuid: Option<String>,
}

/// `/lifecycle`: `manager-startup` or `manager-shutdown`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LifecycleEvent {
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// Argument of `/subscription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription<'a> {
    pub op: SubscriptionChange,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Only with type `job`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionChange {
    Subscribe,
    Unsubscribe,
}
