// SPDX-License-Identifier: GPL-3.0-or-later

//! What commands and tasks need of a reporter, so that both are tested without a spool.

use std::path::Path;

use super::TaskReporter;
use crate::process::{EndNote, Finished};

/// What a running command can say. Nothing here waits.
pub(crate) trait TaskLog {
    /// The task has this temporary directory now.
    fn runs_in(&mut self, _tmpdir: &Path) {}
    /// One line of log, without its end; line ends inside make several lines of it.
    fn line(&mut self, text: &str);
    /// One line of a program's output: `pid=N > text`.
    fn output(&mut self, pid: i32, text: &str);
    /// What the Manager's page shows beside the task.
    fn activity(&mut self, text: &str);
    /// One more step done.
    fn step(&mut self);
    /// A picture was written: a candidate for the "last rendered" view. The path is absolute.
    fn produced(&mut self, path: &Path);
    /// A program runs.
    fn started(&mut self) {}
    /// What became of a program; `name` is the task's own word for it.
    fn ended(&mut self, name: &str, finished: &Finished);
    /// What a Blender that is kept used for this, which was the how many-th of its tasks.
    fn rendered_in_kept(&mut self, name: &str, finished: &Finished, kept_task: u32);
    /// Where the end of a program is noted should the worker go before it is told; the task is done if the program `is_last`
    /// and ends well.
    fn end_note(&self, _name: &str, _is_last: bool) -> Option<EndNote> {
        None
    }
}

impl TaskLog for TaskReporter {
    fn runs_in(&mut self, tmpdir: &Path) {
        Self::runs_in(self, tmpdir);
    }
    fn line(&mut self, text: &str) {
        Self::line(self, text);
    }
    fn output(&mut self, pid: i32, text: &str) {
        Self::output(self, pid, text);
    }
    fn activity(&mut self, text: &str) {
        Self::activity(self, text);
    }
    fn step(&mut self) {
        Self::step(self);
    }
    fn produced(&mut self, path: &Path) {
        Self::produced(self, path);
    }
    fn started(&mut self) {
        Self::started(self);
    }
    fn ended(&mut self, name: &str, finished: &Finished) {
        Self::ended(self, name, finished);
    }
    fn rendered_in_kept(&mut self, name: &str, finished: &Finished, kept_task: u32) {
        Self::rendered_in_kept(self, name, finished, kept_task);
    }
    fn end_note(&self, name: &str, is_last: bool) -> Option<EndNote> {
        Some(Self::end_note(self, name, is_last))
    }
}
