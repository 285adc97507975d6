// SPDX-License-Identifier: GPL-3.0-or-later

//! What there is to see of a Blender that is kept.

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

/// What there is to see of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WarmStatus {
    /// Tasks for which none had to be started.
    pub warm: u64,
    /// Tasks that were the first ones of theirs.
    pub cold: u64,
    /// The one that waits for a task.
    pub kept: Option<KeptStatus>,
}

/// One that waits for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptStatus {
    /// Its process.
    pub pid: i32,
    /// The id of the job that it is for.
    pub job: String,
    /// How many tasks it has rendered.
    pub tasks: u32,
    /// Resident bytes after the last of them.
    pub memory: u64,
}

/// The one place of it, shared by those who know a part.
#[derive(Debug, Clone, Default)]
pub(super) struct StatusBoard(Rc<RefCell<WarmStatus>>);

impl StatusBoard {
    pub(super) fn read(&self) -> WarmStatus {
        self.0.borrow().clone()
    }

    /// A task is rendered, the how many-th of its Blender.
    pub(super) fn count(&self, task: u32) {
        let mut status = self.0.borrow_mut();
        match task {
            1 => status.cold += 1,
            _ => status.warm += 1,
        }
    }

    /// What waits for a task from now on.
    pub(super) fn set_kept(&self, kept: Option<KeptStatus>) {
        self.0.borrow_mut().kept = kept;
    }
}
