// SPDX-License-Identifier: GPL-3.0-or-later

//! What the two small files of a task's folder say.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::log::Position;
use super::missing::Missing;
use crate::protocol::{AssignedTask, TaskStatus, TaskUpdate};

/// `task.json`: what was assigned, written before it runs.
pub(super) const ASSIGNED: &str = "task.json";
/// `report.json`: how far it was reported. Missing: nothing of it was.
pub(super) const REPORT: &str = "report.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Assigned<T = AssignedTask> {
    /// Milliseconds since 1970. Says which folder is older.
    pub(super) begun: u64,
    pub(super) task: T,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) sent: Position,
    #[serde(default)]
    pub(super) refused: Missing,
    #[serde(default)]
    pub(super) steps: u32,
    #[serde(default)]
    pub(super) activity: String,
    #[serde(default)]
    pub(super) outcome: Option<Outcome>,
    /// Why nothing of this folder waits any more; `None` while something does, and in the history for one that was
    /// delivered.
    #[serde(default)]
    pub(super) fate: Option<Fate>,
}

/// How a task ended, in the Manager's words. There is none for a task that was aborted or handed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub status: TaskStatus,
    /// What the Manager's page shows beside the task; one line.
    pub activity: String,
}

impl Outcome {
    /// The update that says so. `steps` ride along where they were not said yet: the Manager takes them first.
    pub(super) fn update(&self, steps: Option<u32>) -> TaskUpdate {
        TaskUpdate {
            status: Some(self.status),
            activity: Some(self.activity.clone()),
            log: None,
            steps_completed: steps,
        }
    }
}

/// What became of what a task said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fate {
    /// The Manager has all of it.
    Delivered,
    /// It failed, and the Manager no longer wanted to know: its words.
    Withdrawn(String),
    /// The task was given to another worker.
    NotOurs,
    /// The task was deleted.
    Gone,
    /// It could not be delivered although the Manager answered everything else.
    SetAside,
}

/// Milliseconds since 1970; only compared with each other, so that a jump of the clock does no harm.
pub(super) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
