// SPDX-License-Identifier: GPL-3.0-or-later

//! What every task on this node needs.

use crate::command::CommandTools;
use crate::process::Launcher;
use crate::scratch::ScratchDirs;

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

    /// No task is taken now: what is kept for the next one goes. The future, which need not be waited for, is over when it
    /// has.
    pub(crate) fn let_go(&self) -> impl Future<Output = ()> + use<> {
        self.commands.let_go()
    }

    /// Where tasks get their temporary directories.
    pub(crate) fn scratch(&self) -> &ScratchDirs {
        &self.scratch
    }
}
