// SPDX-License-Identifier: GPL-3.0-or-later

//! The words of the protocol for the status of a worker or a task.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounded;

/// The status that a worker has, or is requested to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WorkerStatus {
    /// The worker is being started.
    Starting,
    /// The worker runs tasks.
    Awake,
    /// The worker does not ask for tasks.
    Asleep,
    /// The Manager considers the worker failed.
    Error,
    /// The worker tests itself; nothing sends this today.
    Testing,
    /// The worker does not run, or is to stop.
    Offline,
    /// The worker is to restart.
    Restart,
    /// An unknown word, or `""`. It is kept as it came so that it can be acknowledged.
    Other(String),
}

impl WorkerStatus {
    /// The word of the protocol.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Starting => "starting",
            Self::Awake => "awake",
            Self::Asleep => "asleep",
            Self::Error => "error",
            Self::Testing => "testing",
            Self::Offline => "offline",
            Self::Restart => "restart",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for WorkerStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "starting" => Self::Starting,
            "awake" => Self::Awake,
            "asleep" => Self::Asleep,
            "error" => Self::Error,
            "testing" => Self::Testing,
            "offline" => Self::Offline,
            "restart" => Self::Restart,
            _ => Self::Other(bounded::shorten_message(word)),
        }
    }
}

impl From<WorkerStatus> for String {
    fn from(status: WorkerStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The final status of a task. `active` is left out on purpose: sent late, it would reactivate a canceled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskStatus {
    /// All commands succeeded.
    Completed,
    /// A command failed.
    Failed,
}
