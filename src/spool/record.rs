// SPDX-License-Identifier: GPL-3.0-or-later

//! What the two small files of a task's folder say.

use serde::{Deserialize, Serialize};

use super::end::{Cause, End};
use super::log::Progress;
use crate::clock;
use crate::protocol::{AssignedTask, TaskUpdate};

/// `task.json`: what was assigned, written before it runs.
pub(super) const ASSIGNED: &str = "task.json";
/// `report.json`: how far it was reported. Count: nothing of it was.
pub(super) const REPORT: &str = "report.json";
/// `end-note.json`: how a program ended, where the worker was gone by then; a guard writes it.
pub(super) const END_NOTE: &str = "end-note.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Assigned<T = AssignedTask> {
    /// Milliseconds since 1970. Says which folder is older.
    pub(super) begun: u64,
    pub(super) task: T,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) log: Progress,
    #[serde(default)]
    pub(super) steps: u32,
    #[serde(default)]
    pub(super) activity: String,
    /// `None` while it runs, and where the worker died with it.
    #[serde(default)]
    pub(super) end: Option<End>,
    /// A later start has seen that it ended with the worker.
    #[serde(default)]
    pub(super) seen: bool,
    /// Why nothing of this folder waits any more; `None` while something does, and in the history for one that was
    /// delivered.
    #[serde(default)]
    pub(super) fate: Option<Fate>,
}

impl Record {
    /// What tells the Manager of the end; `None` while there is no end, or nothing to tell.
    pub(super) fn last_update(&self, steps: Option<u32>) -> Option<TaskUpdate> {
        self.end.as_ref()?.cause.update(steps)
    }

    pub(super) fn has_outcome(&self) -> bool {
        let cause = self.end.as_ref().map(|end| &end.cause);
        matches!(cause, Some(Cause::Completed | Cause::Failed(_)))
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
    clock::millis()
}
