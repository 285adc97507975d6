// SPDX-License-Identifier: GPL-3.0-or-later

//! The events of the Manager's Socket.IO, as far as they matter to a worker, and what is sent to it. Every field is
//! optional: an event is only a hint, and one that lacks a field hints at less.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The content of the first packet of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Handshake {
    /// The time between two pings, in milliseconds; the Manager sends 30000.
    pub ping_interval: Option<u64>,
}

/// A `/workers` event: a change of any worker of the farm.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerEvent {
    /// The worker's UUID.
    pub id: Option<String>,
    /// May be the status before the change that caused the event.
    pub status: Option<String>,
    /// There if a change of status is requested.
    pub status_change: Option<IgnoredAny>,
    /// There if the worker was deleted.
    pub deleted_at: Option<IgnoredAny>,
}

/// A `/jobs` event: a new job, a change of a job's status, a step of one of its tasks, a new priority or tag, a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JobEvent {
    /// The job's UUID.
    pub id: Option<String>,
    /// Empty for a deleted job.
    pub status: Option<String>,
    /// There only if the status has changed, and not for a new job.
    pub previous_status: Option<String>,
}

/// A `/task` event: a change of a single task's status, or a step of the task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TaskEvent {
    /// The task's UUID.
    pub id: Option<String>,
    /// The task's new status.
    pub status: Option<String>,
    /// The last owner, which stays when the task is queued again.
    pub worker: Option<TaskOwner>,
}

/// The worker in a [`TaskEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TaskOwner {
    /// The worker's UUID.
    pub uuid: Option<String>,
}

/// A `/lifecycle` event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LifecycleEvent {
    /// `manager-startup` or `manager-shutdown`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// The argument of `/subscription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Subscription<'a> {
    /// Whether a room is entered or left.
    pub op: SubscriptionChange,
    /// Which kind of room it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The job's UUID, for rooms of type `job` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<&'a str>,
}

/// Whether a room is entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubscriptionChange {
    /// Enter the room.
    Subscribe,
    /// Leave the room.
    Unsubscribe,
}
