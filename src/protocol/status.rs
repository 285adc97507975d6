// SPDX-License-Identifier: GPL-3.0-or-later

//! The words of the protocol for what a worker or a task is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounded;

/// What a worker is, or is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WorkerStatus {
    Starting,
    Awake,
    Asleep,
    Error,
    Testing,
    Offline,
    Restart,
    /// A word we do not know, or `""`; kept as it came so that it can be acknowledged.
    Other(String),
}

impl WorkerStatus {
    /// The word on the wire.
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
            _ => Self::Other(bounded::words(word)),
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

/// What a worker may say of its task. `active` is not here on purpose: sent late it un-cancels a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    Completed,
    Failed,
}
