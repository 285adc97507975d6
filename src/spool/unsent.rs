// SPDX-License-Identifier: GPL-3.0-or-later

//! What a running task has said and is not yet on its way to the Manager, and when it is to go. The log itself is in
//! [`SegmentedLog`](super::log::SegmentedLog); here is only how much of it waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::batch::ProgressUpdate;
use super::task_folder::SendTime;
use crate::progress::{LONG_FRAME, Progress, Unit};
use crate::timings::Timings;

/// The progress is told as the activity at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What waits beside the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Unsent {
    steps: Option<u32>,
    activity: Option<String>,
    /// When the progress is to be told as the activity.
    #[serde(with = "crate::elapsed::option")]
    progress_at: Option<Instant>,
    /// When that was done last.
    #[serde(with = "crate::elapsed::option")]
    progress_told: Option<Instant>,
    /// Since when steps or an activity wait, or are on their way.
    #[serde(with = "crate::elapsed::option")]
    since: Option<Instant>,
    /// Bytes printed since the last delivery; enough of them are sent early.
    log_bytes: u64,
    #[serde(with = "crate::elapsed::option")]
    log_since: Option<Instant>,
}

impl Unsent {
    /// So many bytes of log were printed. True when the sender should know.
    pub(super) fn print(&mut self, bytes: u64, early_send: u64) -> bool {
        let before = self.log_bytes;
        self.log_bytes += bytes;
        let is_first = self.log_since.is_none();
        self.log_since.get_or_insert_with(Instant::now);
        is_first || (before < early_send && self.log_bytes >= early_send)
    }

    /// This is being done.
    pub(super) fn set_activity(&mut self, activity: String) {
        self.activity = Some(activity);
        self.since.get_or_insert_with(Instant::now);
    }

    /// So far it is now.
    pub(super) fn set_progress(&mut self, progress: &Progress) {
        let now = Instant::now();
        self.steps = Some(progress.done);
        self.since.get_or_insert(now);
        // Of a single step there is nothing to tell but its end.
        if progress.all > 1 || (progress.all == 0 && progress.unit == Unit::Frame) {
            let next = self.progress_told.map_or(now, |told| told + PROGRESS_EVERY);
            self.progress_at.get_or_insert(next.max(now));
        }
    }

    /// Where the progress is told as the activity, it is told anew.
    pub(super) fn tell_progress_again(&mut self) {
        if self.progress_told.is_some() {
            self.progress_at = Some(Instant::now());
        }
    }

    /// Steps that the Manager does not have.
    pub(super) fn steps(&self) -> Option<u32> {
        self.steps
    }

    /// When something of it is to be sent, the pauses after failures left aside.
    pub(super) fn send_time(&self, early_send: u64, timings: &Timings) -> SendTime {
        if self.log_bytes >= early_send {
            return SendTime::Now;
        }
        let log = self.log_since.map(|since| since + timings.log_flush);
        let rest = self.since.map(|since| since + timings.said_flush);
        let first = log.into_iter().chain(rest).chain(self.progress_at).min();
        first.map_or(SendTime::Never, SendTime::At)
    }

    /// Moves activity and steps into an update. The activity is the progress, where it is time to tell that; without one
    /// the task stands still, and it is told [again](Self::tell_progress_again) when that is over.
    pub(super) fn take(&mut self, update: &mut ProgressUpdate, progress: Option<Progress>) {
        let now = Instant::now();
        if self.progress_at.is_some_and(|at| at <= now) {
            self.progress_told = Some(now);
            self.progress_at = progress
                .filter(Progress::ripens)
                .map(|_| now + LONG_FRAME.max(PROGRESS_EVERY));
            if let Some(progress) = progress {
                self.activity = Some(progress.to_string());
            }
        }
        update.activity = self.activity.take();
        update.steps = self.steps.take();
    }

    /// Nothing waits now but the next telling of the progress.
    pub(super) fn clear(&mut self) {
        *self = Self {
            progress_at: self.progress_at,
            progress_told: self.progress_told,
            ..Self::default()
        };
    }

    /// An update was answered; so many bytes of log still wait.
    pub(super) fn answered(&mut self, log_bytes: u64) {
        self.log_bytes = log_bytes;
        self.log_since = (log_bytes > 0).then(Instant::now);
        self.since = (self.activity.is_some() || self.steps.is_some()).then(Instant::now);
    }

    /// These did not arrive. What was reported since replaces them.
    pub(super) fn give_back(&mut self, activity: Option<String>, steps: Option<u32>) {
        self.activity = self.activity.take().or(activity);
        self.steps = self.steps.take().or(steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m2_progress_that_is_due_while_a_task_stands_still_does_not_wake_the_sender_for_ever() {
        let mut unsent = Unsent {
            progress_at: Some(Instant::now()),
            ..Unsent::default()
        };
        let mut update = ProgressUpdate::default();
        unsent.take(&mut update, None);
        let timings = Timings::default();
        assert!(update.is_empty() && matches!(unsent.send_time(1, &timings), SendTime::Never));
        unsent.tell_progress_again();
        assert!(matches!(unsent.send_time(1, &timings), SendTime::At(_)));
    }
}
