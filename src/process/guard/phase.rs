// SPDX-License-Identifier: GPL-3.0-or-later

//! How far a guard has come with its program: a value that only moves forward.

use std::time::Duration;

use super::output_holders::HoldersWait;
use super::spawn::ExecPipe;
use crate::process::kill_sequence::Escalation;
use crate::process::messages::GuardMessage;
use crate::process::open_files::OpenFiles;
use crate::process::tree::Sweep;
use crate::process::{OpenFile, Stray};

/// What a guard is at.
pub(super) enum Phase {
    Starting(ExecPipe),
    /// Nothing runs, and nothing ever did.
    NotStarted(GuardMessage),
    Running,
    Terminating {
        climb: Escalation,
        /// The program had ended before: what it left at work is asked.
        outlived: bool,
    },
    /// The program has ended well, and something that holds its output goes on.
    Lingering(HoldersWait),
    /// The program has ended; what it left behind may still say something.
    Draining {
        until: Duration,
    },
    Sweeping {
        sweep: Box<Sweep>,
        /// The program had ended before: whoever is met outlived it.
        outlived: bool,
        output_held: bool,
    },
}

/// The program's own end.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgramExit {
    /// As `waitpid` gave it.
    pub(super) status: i32,
    pub(super) wall: Duration,
    /// The kernel had killed for want of memory by then.
    pub(super) oom: bool,
    /// On the guard's clock.
    pub(super) at: Duration,
    /// Milliseconds since 1970.
    pub(super) time: u64,
    /// The worker lived.
    pub(super) was_seen: bool,
}

impl ProgramExit {
    /// Exit code 0.
    pub(super) fn is_success(&self) -> bool {
        self.status == 0
    }
}

impl Phase {
    /// Whoever outlived the program and was not left alone, and whether one of them held its output.
    pub(super) fn outlived(&self) -> (&[Stray], bool) {
        match self {
            Self::Sweeping {
                sweep,
                outlived: true,
                output_held,
            } => (sweep.met(), *output_held),
            Self::Sweeping { .. }
            | Self::Starting(_)
            | Self::NotStarted(_)
            | Self::Running
            | Self::Terminating { .. }
            | Self::Lingering(_)
            | Self::Draining { .. } => (&[], false),
        }
    }

    /// What those who are told to end had open for writing: when they were asked, and when they were stopped.
    pub(super) fn writing(&self, asked: OpenFiles) -> Vec<OpenFile> {
        let mut all = asked;
        if let Self::Sweeping { sweep, .. } = self {
            all.add_all(sweep.writing());
        }
        all.into_files()
    }
}
