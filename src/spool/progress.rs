// SPDX-License-Identifier: GPL-3.0-or-later

//! How far the log of a task was printed, sent and lost. It is saved in the report of the task.

use serde::{Deserialize, Serialize};

use super::line_count::LineCount;

/// How far the log was accepted by the Manager: all before this byte of this segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct LogPosition {
    /// Segments are counted from 1.
    pub(super) segment: u32,
    pub(super) byte: u64,
}

/// What is to be known of a log besides its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogProgress {
    pub(super) sent: LogPosition,
    /// The Manager refused these, and that was not sent yet.
    #[serde(default)]
    pub(super) refused: LineCount,
    /// All that was printed.
    #[serde(default, rename = "said")]
    pub(super) printed: LineCount,
    /// What of that the Manager does not get.
    #[serde(default)]
    pub(super) lost: LineCount,
}
