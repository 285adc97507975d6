// SPDX-License-Identifier: GPL-3.0-or-later

//! What we say to the Manager.

use serde::Serialize;

use super::status::{TaskStatus, WorkerStatus};

/// Body of `register-worker`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Registration {
    pub name: String,
    /// The worker's own choice; over 72 bytes the Manager refuses it (bcrypt's limit).
    pub secret: String,
    /// A Go `GOOS` word. Only `linux` here; it decides which variable values the Manager fills in.
    pub platform: String,
    pub supported_task_types: Vec<String>,
}

impl std::fmt::Debug for Registration {
    /// Without the secret: this may reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Body of `sign-on`. All of it overwrites what the Manager knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignOn {
    pub name: String,
    pub supported_task_types: Vec<String>,
    pub software_version: String,
    /// Whether the *Restart* actions are offered for this worker.
    pub can_restart: bool,
}

/// Body of `state-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateChanged<'a> {
    pub status: &'a WorkerStatus,
}

/// Body of a task update. Nothing is sent that is not meant: the Manager refuses `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TaskUpdate {
    #[serde(rename = "taskStatus", skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Whole lines: the Manager ends every piece with a newline of its own if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Absolute, not a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_completed: Option<u32>,
}
