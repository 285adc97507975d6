// SPDX-License-Identifier: GPL-3.0-or-later

//! The bodies of requests to the Manager.

use serde::Serialize;

use super::status::{TaskStatus, WorkerStatus};

/// The body of `register-worker`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Registration {
    /// The worker's name in the Manager's page.
    pub name: String,
    /// The secret that the worker chose. The Manager refuses more than 72 bytes (bcrypt's limit).
    pub secret: String,
    /// A Go `GOOS` word, which decides which variable values the Manager fills in. It is always `linux` here.
    pub platform: String,
    /// The task types that this worker accepts.
    pub supported_task_types: Vec<String>,
}

impl std::fmt::Debug for Registration {
    /// Leaves the secret out, because this may reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The body of `sign-on`. Every field overwrites what the Manager knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SignOn {
    /// The worker's name in the Manager's page.
    pub name: String,
    /// The task types that this worker accepts.
    pub supported_task_types: Vec<String>,
    /// The version of this program.
    pub software_version: String,
    /// Whether the Manager's page offers the *Restart* actions for this worker.
    pub can_restart: bool,
}

/// The body of `state-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StateChanged<'a> {
    /// The status that the worker has now.
    pub status: &'a WorkerStatus,
}

/// The body of a task update. A field that is `None` is left out, because the Manager refuses `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TaskUpdate {
    /// The task's final status.
    #[serde(rename = "taskStatus", skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// What the Manager's page shows beside the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Whole lines of log: the Manager adds a newline to every piece that does not end with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The total number of steps so far, not a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_completed: Option<u32>,
}
