// SPDX-License-Identifier: GPL-3.0-or-later

//! What a program says while it runs, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::line_splitter::OutputLine;
use super::open_files::OpenFile;
use super::stray::{Stray, Strays};
use crate::abort::AbortReason;

/// What a running program says, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEvent<'a> {
    /// The program runs. This comes first, and only if the program could be started.
    Started {
        /// The program's process id.
        pid: i32,
    },
    /// One line of its output, without its end. It has at most 64 KiB; a longer line comes in pieces.
    Line(OutputLine<'a>),
    /// The program has ended well, and these hold its output: they are waited for while they work. This comes at most
    /// once.
    LeftRunning(&'a [Stray]),
    /// All is to stand still, and these run on: they are another user's. This comes at most once.
    NotFrozen(&'a [Stray]),
}

/// What became of a program, once nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The program's process id.
    pub pid: i32,
    /// How the program ended.
    pub exit: Exit,
    /// What the program used.
    pub usage: Usage,
    /// What outlived the program.
    pub strays: Strays,
    /// A descendant held the output open after the program's end, did nothing, and was not waited for any longer.
    pub output_held: bool,
    /// What the program and its descendants had open for writing when they were told to end; some may have finished
    /// with it since. It is empty for a program that ended by itself.
    pub writing: Vec<OpenFile>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The exit code was 0.
    Success,
    /// The exit code, 1 to 255.
    Code(i32),
    /// It was killed by a signal that we did not send.
    Signal {
        /// The signal's number.
        signal: i32,
        /// The kernel killed it for want of memory.
        oom: bool,
    },
    /// It ended after we asked it to, whatever its own exit status.
    Aborted(AbortReason),
    /// Its guard died without a word: how it ended is not known, and nothing of it is left.
    Lost,
}

/// What a program used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// The time from start to the program's own exit, `frozen` left out.
    pub wall: Duration,
    /// The time in which it stood still.
    #[serde(default)]
    pub frozen: Duration,
    /// User and system time of the program and of every descendant that was waited for.
    pub cpu: Duration,
    /// Bytes of the largest process, or of all together where the program had a control group of its own.
    pub peak_rss: u64,
}
