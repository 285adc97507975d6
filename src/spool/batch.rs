// SPDX-License-Identifier: GPL-3.0-or-later

//! What is sent of a task's folder at a time.

use super::log::LogChunk;
use crate::protocol::TaskUpdate;

/// What is to be sent next of a folder.
#[derive(Debug)]
pub(super) enum Batch {
    /// The folder keeps what it consists of until it is answered.
    Progress(TaskUpdate),
    /// Everything before it was accepted.
    Outcome(TaskUpdate),
    /// Nothing waits; of a task that is over nothing will come.
    Empty,
    /// What is next is on a disk that does not answer now.
    OutOfReach,
}

/// Log, activity and steps. Together they are one update, which the Manager takes in that order.
#[derive(Debug, Default)]
pub(super) struct ProgressUpdate {
    pub(super) log: Option<LogChunk>,
    pub(super) activity: Option<String>,
    /// Steps done so far.
    pub(super) steps: Option<u32>,
}

impl ProgressUpdate {
    pub(super) fn update(&self) -> TaskUpdate {
        TaskUpdate {
            status: None,
            activity: self.activity.clone(),
            log: self.log.as_ref().map(|chunk| chunk.text.clone()),
            steps_completed: self.steps,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.log.is_none() && !self.has_more_than_log()
    }

    /// Whether less of its log can be sent.
    pub(super) fn can_be_halved(&self) -> bool {
        self.log.as_ref().is_some_and(|chunk| chunk.lines() > 1)
    }

    /// Whether it has more than a log: where it is refused, the answer does not say which part of it is meant.
    pub(super) fn is_mixed(&self) -> bool {
        self.log.is_some() && self.has_more_than_log()
    }

    fn has_more_than_log(&self) -> bool {
        self.activity.is_some() || self.steps.is_some()
    }
}
