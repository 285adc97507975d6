// SPDX-License-Identifier: GPL-3.0-or-later

//! How far a guard has come with its program: a value that only moves forward. Its moments are those of the freezer's
//! clock. What is being ended is not frozen.

use std::time::Duration;

use super::output_holders::HoldersWait;
use super::spawn::ExecPipe;
use crate::process::kill_sequence::Escalation;
use crate::process::messages::FinalMessage;
use crate::process::open_files::{OpenFile, OpenFiles};
use crate::process::stray::Stray;
use crate::process::sweep::Sweep;

/// What a guard is at.
pub(super) enum Phase {
    /// The program was forked, and its exec is not over.
    Starting(ExecPipe),
    /// Nothing runs, and nothing ever did.
    NotStarted(FinalMessage),
    Running,
    /// The kill sequence has begun.
    Terminating {
        escalation: Escalation,
        /// The program had ended before: what it left at work is asked to end.
        outlived: bool,
    },
    /// The program has ended well, and something that holds its output goes on.
    Lingering(HoldersWait),
    /// The program has ended; what it left behind may still say something.
    Draining {
        until: Duration,
    },
    /// Everything is killed.
    Sweeping {
        sweep: Box<Sweep>,
        /// The program had ended before: what is swept outlived it.
        outlived: bool,
        /// One of those that outlived the program held its output.
        output_held: bool,
    },
}

/// The program's own end.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgramExit {
    /// The status that `waitpid` gave.
    pub(super) status: i32,
    /// How long the program ran, the time left out in which it was frozen.
    pub(super) wall: Duration,
    pub(super) frozen: Duration,
    /// The kernel had killed for want of memory by then.
    pub(super) oom: bool,
    /// When it ended, on the clock of the freezer.
    pub(super) at: Duration,
    /// When it ended, in milliseconds since 1970.
    pub(super) time: u64,
    /// The worker lived when it ended.
    pub(super) was_seen: bool,
}

impl ProgramExit {
    /// Whether the exit code was 0.
    pub(super) fn is_success(&self) -> bool {
        self.status == 0
    }
}

impl Phase {
    /// The processes that outlived the program and were ended, and whether one of them held its output.
    pub(super) fn outlived(&self) -> (&[Stray], bool) {
        match self {
            Self::Sweeping {
                sweep,
                outlived: true,
                output_held,
            } => (sweep.strays(), *output_held),
            Self::Sweeping { .. }
            | Self::Starting(_)
            | Self::NotStarted(_)
            | Self::Running
            | Self::Terminating { .. }
            | Self::Lingering(_)
            | Self::Draining { .. } => (&[], false),
        }
    }

    /// What the processes that are ended had open for writing: when they were `asked`, and when they were stopped.
    pub(super) fn writing(&self, asked: OpenFiles) -> Vec<OpenFile> {
        let mut all = asked;
        if let Self::Sweeping { sweep, .. } = self {
            all.add_all(sweep.writing());
        }
        all.into_files()
    }
}
