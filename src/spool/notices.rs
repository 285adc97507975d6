// SPDX-License-Identifier: GPL-3.0-or-later

//! What the Manager answers about a task that still runs: the sender puts it here, the worker takes it.

use std::cell::RefCell;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::protocol::Id;

/// What the Manager answered about a running task when it was sent an update of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Notice {
    /// Another worker has it. With the task's id.
    NotOurs(Id),
    /// It was deleted. With the task's id.
    Gone(Id),
}

/// Notices that were not taken yet, in order. For one listener.
#[derive(Debug, Default)]
pub(super) struct Notices {
    queue: RefCell<VecDeque<Notice>>,
    added: Notify,
}

impl Notice {
    /// The id of the task it is about.
    pub(crate) fn task(&self) -> &str {
        match self {
            Self::NotOurs(task) | Self::Gone(task) => task,
        }
    }
}

impl Notices {
    pub(super) fn hand_over(&self) -> VecDeque<Notice> {
        self.queue.borrow().clone()
    }

    pub(super) fn take_over(handed: VecDeque<Notice>) -> Self {
        Self {
            queue: RefCell::new(handed),
            added: Notify::new(),
        }
    }

    pub(super) fn push(&self, notice: Notice) {
        self.queue.borrow_mut().push_back(notice);
        self.added.notify_one();
    }

    /// Takes the next one; waits until there is one. Cancel safe.
    pub(super) async fn next(&self) -> Notice {
        loop {
            if let Some(notice) = self.take() {
                return notice;
            }
            self.added.notified().await;
        }
    }

    fn take(&self) -> Option<Notice> {
        self.queue.borrow_mut().pop_front()
    }

    /// What was noticed of an earlier run of this task is of no more use.
    pub(super) fn forget(&self, task: &str) {
        self.queue.borrow_mut().retain(|notice| notice.task() != task);
    }
}
