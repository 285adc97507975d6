// SPDX-License-Identifier: GPL-3.0-or-later

//! What the two small files of a task's folder say.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::progress::LogProgress;
use super::run_end::{Cause, RunEnd};
use crate::clock;
use crate::protocol::{AssignedTask, TaskUpdate};

/// `task.json`: what was assigned, written before it runs.
pub(super) const ASSIGNED: &str = "task.json";
/// `report.json`: how far it was reported. Where there is none, nothing was.
pub(super) const REPORT: &str = "report.json";
/// `end-note.json`: how a program ended, where the worker was gone by then; a guard writes it.
pub(super) const END_NOTE: &str = "end-note.json";

/// The content of [`ASSIGNED`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AssignmentRecord<T = AssignedTask> {
    /// Milliseconds since 1970. Says which folder is older.
    pub(super) begun: u64,
    pub(super) task: T,
}

/// The content of [`REPORT`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportRecord {
    #[serde(flatten)]
    pub(super) log: LogProgress,
    #[serde(default)]
    pub(super) steps: u32,
    #[serde(default)]
    pub(super) activity: String,
    /// `None` while it runs, and where the worker died with it.
    #[serde(default)]
    pub(super) end: Option<RunEnd>,
    /// A later start has noted that the run ended with its worker.
    #[serde(default, rename = "seen")]
    pub(super) orphan_noted: bool,
    #[serde(
        default,
        rename = "fate",
        serialize_with = "write_state",
        deserialize_with = "read_state"
    )]
    pub(super) state: ReportState,
}

impl ReportRecord {
    /// What tells the Manager of the end; `None` while there is no end, or nothing to tell.
    pub(super) fn last_update(&self, steps: Option<u32>) -> Option<TaskUpdate> {
        self.end.as_ref()?.cause.update(steps)
    }

    pub(super) fn has_outcome(&self) -> bool {
        let cause = self.end.as_ref().map(|end| &end.cause);
        matches!(cause, Some(Cause::Completed | Cause::Failed(_)))
    }
}

/// What became of the report of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReportState {
    /// Not all of it is with the Manager. The record of a folder in the history says this of one that was delivered.
    #[default]
    Waiting,
    /// The Manager has all of it.
    Delivered,
    /// The task failed, and the Manager no longer wanted to know. With the Manager's words.
    Withdrawn(String),
    /// The Manager has given the task to another worker, or does not know this one any more.
    NotOurs,
    /// The task was deleted.
    Gone,
    /// It could not be delivered although the Manager answered everything else; the task is not run here again.
    SetAside,
    /// Its folder was damaged when it was read at a start. No record says this of itself.
    Damaged,
}

impl ReportState {
    /// One word, as `history --json` shows it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Withdrawn(_) => "withdrawn",
            Self::NotOurs => "not-ours",
            Self::Gone => "gone",
            Self::SetAside => "set-aside",
            Self::Damaged => "damaged",
        }
    }
}

/// In a record `Waiting` is `null`.
fn write_state<S: Serializer>(state: &ReportState, serializer: S) -> Result<S::Ok, S::Error> {
    Some(state)
        .filter(|state| **state != ReportState::Waiting)
        .serialize(serializer)
}

fn read_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ReportState, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Milliseconds since 1970; only compared with each other, so that a jump of the clock does no harm.
pub(super) fn now_millis() -> u64 {
    clock::unix_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_earlier_versions_did_and_read_back() {
        for (state, written) in [
            (ReportState::Waiting, "null"),
            (ReportState::Delivered, "\"delivered\""),
            (ReportState::Withdrawn("no".into()), "{\"withdrawn\":\"no\"}"),
            (ReportState::NotOurs, "\"not-ours\""),
            (ReportState::SetAside, "\"set-aside\""),
        ] {
            let record = ReportRecord {
                state,
                ..ReportRecord::default()
            };
            let text = serde_json::to_string(&record).unwrap();
            let counts = "\"refused\":{\"lines\":0,\"bytes\":0},\"said\":{\"lines\":0,\"bytes\":0},\"lost\":{\"lines\":0,\"bytes\":0}";
            assert_eq!(
                text,
                format!(
                    "{{\"sent\":{{\"segment\":0,\"byte\":0}},{counts},\"steps\":0,\"activity\":\"\",\"end\":null,\"seen\":false,\"fate\":{written}}}"
                )
            );
            assert_eq!(serde_json::from_str::<ReportRecord>(&text).unwrap(), record);
        }
        let oldest = "{\"sent\":{\"segment\":1,\"byte\":2}}";
        let read = serde_json::from_str::<ReportRecord>(oldest).unwrap();
        assert_eq!((read.state, read.log.sent.byte), (ReportState::Waiting, 2));
    }
}
