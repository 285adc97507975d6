// SPDX-License-Identifier: GPL-3.0-or-later

//! A run that another process goes on with: its guard and its program notice nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::deadlines::{Deadlines, HandedDeadlines};
use super::guard_link::GuardLink;
use super::output_reader::OutputReader;
use super::{ProcessRun, Report, Started};
use crate::abort::AbortReason;
use crate::handover::HandedFd;
use crate::process::children::SharedChildren;
use crate::process::exit_report::ExitReport;
use crate::process::line_splitter::HandedLines;
use crate::process::run_clock::RunClock;
use crate::timings::Timings;

/// A run as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedRun {
    /// The pid of the guard, a child of this process and of its successor.
    guard: i32,
    socket: HandedFd,
    /// What has come of a message of the guard.
    received: Vec<u8>,
    /// `None`: the output is at its end.
    output: Option<HandedFd>,
    lines: HandedLines,
    /// The pid of the program.
    pid: i32,
    runs_for: Duration,
    /// The program has ended, like this; its guard still sees to what it left.
    exited: Option<ExitReport>,
    reason: Option<AbortReason>,
    /// The guard was told that the program is to stand still.
    #[serde(default)]
    is_frozen: bool,
    /// How long the program has stood still so far.
    #[serde(default)]
    frozen: Duration,
    deadlines: HandedDeadlines,
    is_noted: bool,
}

impl HandedRun {
    /// The program's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// What stays open over the exec.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        [&self.socket].into_iter().chain(&self.output)
    }
}

impl ProcessRun {
    /// Whether a successor can go on from here: the program runs, and its guard is as it should be. What is about to end is
    /// waited for.
    pub(super) fn can_be_handed_over(&self) -> bool {
        self.started.is_some() && !self.report.is_final() && self.guard.can_be_handed_over()
    }

    /// Lets go of the run, which goes on. `None` for one that [cannot be](Self::can_be_handed_over).
    ///
    /// # Errors
    /// When the runtime does not let go of a descriptor. Then the guard ends its program.
    pub(in crate::process) fn hand_over(self) -> io::Result<Option<HandedRun>> {
        let Some(started) = self.started.filter(|_| self.can_be_handed_over()) else {
            return Ok(None);
        };
        let guard = self.guard.pid();
        let (socket, received) = self.guard.hand_over()?;
        let (output, lines) = self.output.hand_over()?;
        Ok(Some(HandedRun {
            guard,
            socket: socket.into(),
            received,
            output: output.map(HandedFd::from),
            lines,
            pid: started.pid,
            runs_for: started.at.elapsed(),
            exited: match self.report {
                Report::Exited(report) => Some(report),
                Report::Pending | Report::Final(_) => None,
            },
            reason: self.reason,
            is_frozen: self.clock.is_stopped(),
            frozen: self.clock.frozen(),
            deadlines: self.deadlines.hand_over(),
            is_noted: self.is_noted,
        }))
    }

    /// Goes on with a run.
    ///
    /// # Errors
    /// When a descriptor cannot be used. Then the guard ends its program.
    pub(in crate::process) fn take_over(
        handed: HandedRun,
        children: &SharedChildren,
        timings: &Timings,
    ) -> io::Result<Self> {
        let socket = UnixStream::from(handed.socket.into_owned()?);
        let end = children.borrow_mut().adopt(handed.guard);
        let guard = GuardLink::new(handed.guard, children.clone(), socket, end)?.with_received(handed.received);
        let output: Option<OwnedFd> = handed.output.map(HandedFd::into_owned).transpose()?;
        let now = Instant::now();
        Ok(Self {
            guard,
            output: OutputReader::take_over(output, handed.lines, timings.progress)?,
            started: Some(Started {
                pid: handed.pid,
                at: now.checked_sub(handed.runs_for).unwrap_or(now),
            }),
            report: handed.exited.map_or(Report::Pending, Report::Exited),
            reason: handed.reason,
            clock: RunClock::new(handed.frozen, handed.is_frozen),
            deadlines: Deadlines::take_over(handed.deadlines, timings),
            is_noted: handed.is_noted,
        })
    }
}
