// SPDX-License-Identifier: GPL-3.0-or-later

//! A run that is over, whose guard waits until that is on disk: see `end_note`.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::ProcessRun;
use crate::process::messages::GuardCommand;

impl ProcessRun {
    /// The guard, if it waits to be told that the end it told is on disk.
    pub(in crate::process) fn waiting_guard(&self) -> Option<i32> {
        let waits = self.is_noted && self.has_told_all && self.ended.is_none() && !self.abandoned;
        waits.then_some(self.guard_pid)
    }

    /// Lets go of a guard that waits, and sees it leave.
    pub(in crate::process) async fn release(mut self) {
        // As in `run`.
        self.socket.write_all(&[GuardCommand::Release.byte()]).await.ok();
        if timeout(self.guard_silence, &mut self.guard_end).await.is_err() {
            self.children.borrow_mut().give_up(self.guard_pid);
        }
    }
}
