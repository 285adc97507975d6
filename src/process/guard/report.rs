// SPDX-License-Identifier: GPL-3.0-or-later

//! What a guard tells of its program: to the worker, or in the end note where the worker is gone.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Guard;
use super::phase::Phase;
use super::usage::usage;
use crate::process::end_note::EndNote;
use crate::process::exit_report::ExitReport;
use crate::process::messages::{FinalMessage, GuardCommand, GuardMessage};
use crate::process::stray::{Stray, Strays};

impl Guard {
    /// Sends a message, if anybody listens. A worker that cannot be told is gone, which the next look at the socket
    /// shows.
    pub(super) fn send(&self, message: &GuardMessage) {
        if self.is_alone {
            return;
        }
        message.frame().and_then(|frame| (&self.socket).write_all(&frame)).ok();
    }

    /// Tells how the program ended, once nothing of it is left, and leaves nothing behind.
    pub(super) fn conclude(&self) {
        let message = match &self.phase {
            Phase::NotStarted(message) => message.clone(),
            Phase::Starting(_)
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Lingering(_)
            | Phase::Draining { .. }
            | Phase::Sweeping { .. } => FinalMessage::Ended(self.exit_report(Vec::new())),
        };
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        let message = GuardMessage::Final(message);
        self.send(&message);
        if let (Some(note), GuardMessage::Final(FinalMessage::Ended(report))) = (&self.note, message) {
            self.await_release(note, report);
        }
    }

    /// What became of the program; `unkillable` is still there.
    pub(super) fn exit_report(&self, unkillable: Vec<Stray>) -> ExitReport {
        let (outlived, output_held) = self.phase.outlived();
        let ended = outlived
            .iter()
            .filter(|stray| !unkillable.contains(stray))
            .cloned()
            .collect();
        let so_far = || (self.now().saturating_sub(self.began), self.freezer.clock().frozen());
        let (wall, frozen) = self.exit.map_or_else(so_far, |exit| (exit.wall, exit.frozen));
        ExitReport {
            status: self.exit.map(|exit| exit.status),
            asked: self.was_asked,
            oom: self.exit.is_some_and(|exit| exit.oom),
            usage: usage((wall, frozen), self.cgroup.as_ref()),
            strays: Strays { ended, unkillable },
            output_held,
            writing: self.phase.writing(self.writing.clone()),
        }
    }

    pub(super) fn worker_lives(&self) -> bool {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        poll(&mut socket, PollTimeout::ZERO).ok();
        let seen = socket[0].revents().unwrap_or(PollFlags::empty());
        !self.is_alone && !seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
    }

    /// Waits until the worker has the end on disk, and notes it for the next one if this one goes before.
    fn await_release(&self, note: &EndNote, report: ExitReport) {
        // What still held the output was ended for want of a worker, and may have been the better part of the program.
        let was_cut = self.is_alone && report.output_held;
        let is_released = !self.is_alone && is_released(&self.socket);
        let is_noted = |was_seen: bool| was_seen && !report.asked && !was_cut && !is_released;
        let Some(exit) = self.exit.filter(|exit| is_noted(exit.was_seen)) else {
            return;
        };
        if let Err(error) = note.write(self.program.as_raw(), exit.time, report) {
            let file = note.file.display();
            // Without a stderr there is nobody to tell.
            writeln!(
                io::stderr(),
                "flamenco-guard: cannot note in {file} how a program ended: {error}"
            )
            .ok();
        }
    }
}

/// Whether the worker lets us go before it is gone itself. No other command is of interest any more.
fn is_released(mut socket: &UnixStream) -> bool {
    let mut byte = [0];
    while let Ok(1) = socket.read(&mut byte) {
        if GuardCommand::from_byte(byte[0]) == Some(GuardCommand::Release) {
            return true;
        }
    }
    false
}
