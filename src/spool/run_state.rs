// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether the task of a folder runs in this process.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::run_end::ProgramEnd;
use crate::progress::Progress;
use crate::protocol::AssignedTask;

/// Whether the task runs in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RunState {
    Running {
        progress: Progress,
        /// What became of its programs so far.
        #[serde(default)]
        programs: Vec<ProgramEnd>,
    },
    Over {
        /// When the run ended, or was found at the start.
        #[serde(with = "crate::elapsed")]
        since: Instant,
        /// The folder was made safe against a power cut.
        #[serde(default)]
        synced: bool,
    },
}

impl RunState {
    pub(super) fn begun(task: &AssignedTask) -> Self {
        Self::Running {
            progress: Progress::of(task),
            programs: Vec::new(),
        }
    }

    pub(super) fn over() -> Self {
        Self::Over {
            since: Instant::now(),
            synced: false,
        }
    }
}
