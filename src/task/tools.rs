// SPDX-License-Identifier: GPL-3.0-or-later

//! What every task on this node needs.

use super::scratch::ScratchDirs;
use crate::command::CommandTools;
use crate::process::Launcher;

/// What every task on this node needs: the tools of its commands, and places for its temporary directory.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(super) commands: CommandTools,
    pub(super) scratch: ScratchDirs,
}

impl Tools {
    /// Tools for the commands of tasks, and places for the tasks' temporary directories.
    pub(crate) fn new(commands: CommandTools, scratch: ScratchDirs) -> Self {
        Self { commands, scratch }
    }

    /// Starts the programs of tasks.
    pub(crate) fn launcher(&self) -> &Launcher {
        self.commands.launcher()
    }

    /// Where tasks get their temporary directories.
    pub(crate) fn scratch(&self) -> &ScratchDirs {
        &self.scratch
    }
}
