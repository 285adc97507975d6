// SPDX-License-Identifier: GPL-3.0-or-later

//! Commands that go on while they are handed over to another process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::render_output::RenderOutput;
use super::render_tracker::HandedTracker;
use crate::handover::HandedFd;
use crate::outcome::Incomplete;
use crate::process::HandedRun;

/// A command as it travels, while it goes on. Others are waited for: they are short, or files are at work in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HandedCommand {
    /// Its program, which is all there is to know.
    Program(HandedRun),
    /// A program that was searched for.
    Video {
        /// As it was found.
        exe: String,
        /// The program.
        run: HandedRun,
    },
    /// Blender.
    Render {
        /// The program.
        run: HandedRun,
        /// Its pictures.
        tracker: HandedTracker,
        /// What its lines have said.
        output: RenderOutput,
    },
    /// A pause.
    Sleep {
        /// So much of it.
        left: Duration,
    },
}

/// Why a command is not done, where it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandStop {
    /// It is over.
    Incomplete(Incomplete),
    /// It goes on, in the hands of whoever has this.
    HandedOver(Box<HandedCommand>),
}

impl HandedCommand {
    /// What stays open over the exec.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        let run = match self {
            Self::Program(run) | Self::Video { run, .. } | Self::Render { run, .. } => Some(run),
            Self::Sleep { .. } => None,
        };
        run.into_iter().flat_map(HandedRun::descriptors)
    }

    /// The program of a command that knows nothing else of itself.
    pub(super) fn into_program(self) -> Option<HandedRun> {
        match self {
            Self::Program(run) => Some(run),
            Self::Video { .. } | Self::Render { .. } | Self::Sleep { .. } => None,
        }
    }
}

impl From<Incomplete> for CommandStop {
    fn from(incomplete: Incomplete) -> Self {
        Self::Incomplete(incomplete)
    }
}

impl From<HandedCommand> for CommandStop {
    fn from(handed: HandedCommand) -> Self {
        Self::HandedOver(Box::new(handed))
    }
}
