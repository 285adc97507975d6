// SPDX-License-Identifier: GPL-3.0-or-later

//! What a guard tells of its program's end: to the worker, or in a file to the next one.

use serde::{Deserialize, Serialize};

use super::finished::{Exit, Finished, Usage};
use super::open_files::OpenFile;
use super::stray::Strays;

/// What became of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExitReport {
    /// The status that `waitpid` gave; `None` when the program itself cannot be killed.
    pub(super) status: Option<i32>,
    /// The program was told to end before it had ended by itself.
    pub(super) asked: bool,
    /// The kernel killed for want of memory while it ran.
    pub(super) oom: bool,
    pub(super) usage: Usage,
    pub(super) strays: Strays,
    pub(super) output_held: bool,
    pub(super) writing: Vec<OpenFile>,
}

impl ExitReport {
    /// The report as callers of the room read it.
    pub(super) fn into_finished(self, pid: i32, exit: Exit) -> Finished {
        Finished {
            pid,
            exit,
            usage: self.usage,
            strays: self.strays,
            output_held: self.output_held,
            writing: self.writing,
        }
    }
}
