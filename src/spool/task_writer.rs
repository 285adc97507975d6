// SPDX-License-Identifier: GPL-3.0-or-later

//! The reporter's end of a task's folder.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use super::records::END_NOTE;
use super::run_end::{Cause, ProgramEnd};
use super::shared::Shared;
use super::task_folder::TaskFolder;
use crate::progress::Progress;

/// What a running task says goes in here. Nothing of it waits for the Manager, and only a full buffer of log
/// touches the disk. Dropped, the task counts as cut off.
#[derive(Debug)]
pub(crate) struct TaskWriter {
    shared: Rc<Shared>,
    folder: Rc<RefCell<TaskFolder>>,
    /// Another process goes on with the task.
    is_handed_over: bool,
}

impl TaskWriter {
    pub(super) fn new(shared: Rc<Shared>, folder: Rc<RefCell<TaskFolder>>) -> Self {
        Self {
            shared,
            folder,
            is_handed_over: false,
        }
    }

    /// One line of log: `prefix`, then `text`, without an end. A text with line ends in it becomes several lines,
    /// each with the prefix; so does one of more than 64 KiB.
    pub(crate) fn line(&mut self, prefix: &str, text: &str) {
        if self
            .folder
            .borrow_mut()
            .append(prefix, text, self.shared.context.limits.early_send)
        {
            self.shared.work.notify_one();
        }
    }

    /// What is being done; one line.
    pub(crate) fn activity(&mut self, text: String) {
        self.folder.borrow_mut().set_activity(text);
        self.shared.work.notify_one();
    }

    /// One more step is done.
    pub(crate) fn step(&mut self) {
        self.folder.borrow_mut().step();
        self.shared.work.notify_one();
    }

    /// How far the task is.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.folder.borrow().progress()
    }

    /// What became of a program of the task.
    pub(crate) fn program(&mut self, program: ProgramEnd) {
        self.folder.borrow_mut().remember(program);
    }

    /// The file for the end of a program, and what tells this run from others in the same folder.
    pub(crate) fn end_note(&self) -> (PathBuf, u64) {
        let folder = self.folder.borrow();
        (folder.path.join(END_NOTE), folder.begun)
    }

    /// The task is over. On return that is on disk (if the disk takes it), and an outcome counted as waiting.
    pub(crate) fn close(self, cause: Cause) {
        self.end(cause);
    }

    /// Lets go of a task that goes on: [`Spool::hand_over`](super::Spool::hand_over) is to follow.
    pub(crate) fn hand_over(mut self) {
        self.is_handed_over = true;
    }

    fn end(&self, cause: Cause) {
        self.folder.borrow_mut().close(cause);
        self.shared.publish();
        self.shared.work.notify_one();
    }
}

impl Drop for TaskWriter {
    fn drop(&mut self) {
        if !self.is_handed_over && self.folder.borrow().is_running() {
            self.end(Cause::CutOff);
        }
    }
}
