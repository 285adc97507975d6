// SPDX-License-Identifier: GPL-3.0-or-later

//! One run, seen from the worker: the conversation with one guard.
//!
//! ```text
//! abort, guard's messages, output, guard's end, clocks ─► RunEvent ─► handle ─► GuardCommand?
//! ```
//!
//! The wait prefers the abort to everything and output to nothing, and between two events everybody
//! else in the event loop has a turn: a flood of output delays neither.

mod noted;

use std::io;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::guard::GUARD;
use super::launcher::GuardHandle;
use super::line_splitter::LineSplitter;
use super::messages::{ExitReport, GuardCommand, GuardMessage, MessageBuffer};
use super::reaper::{GuardEnd, SharedChildren};
use super::status::{exit_of, seems_asked_to_end};
use super::{Exit, Finished, ProcessEvent, ProcessSpec, StartError, Stray, Strays, Usage};
use crate::abort::{Abort, AbortReason};
use crate::timings::{Timings, until};

/// How much is read at once: enough for the speed, little enough to be fair.
const CHUNK: usize = 128 * 1024;
/// What the dead can have left in the pipe: its size. Who says more than that after them is not of the tree.
const LEGACY: usize = 1024 * 1024;
/// How much longer than it should take a guard may be at its work before it counts as stuck.
const GUARD_MARGIN: Duration = Duration::from_secs(5);
/// How long the end of a guard that was given up is waited for when this worker is told to stop.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// A guard, from its start to its end.
#[derive(Debug)]
pub(super) struct ProcessRun {
    guard_pid: i32,
    children: SharedChildren,
    socket: UnixStream,
    messages: MessageBuffer,
    socket_is_open: bool,
    guard_end: oneshot::Receiver<GuardEnd>,
    ended: Option<GuardEnd>,
    output: Option<pipe::Receiver>,
    chunk: Box<[u8]>,
    lines: LineSplitter,
    /// Bytes still to be expected in the pipe, once the tree is gone.
    legacy: Option<usize>,
    output_held: bool,
    started: Option<(i32, Instant)>,
    /// How the program ended, while its guard still sees to what it left.
    exited: Option<ExitReport>,
    last: Option<GuardMessage>,
    /// How the program ended, with nothing left of it.
    has_told_all: bool,
    reason: Option<AbortReason>,
    deadline: Option<Instant>,
    /// An order that the guard should have said to have heard by then.
    unheard: Option<Instant>,
    /// The guard did not answer, and the worker ends it and its tree.
    given_up: bool,
    /// Not even that helped.
    abandoned: bool,
    /// The guard stays when it has had its last word.
    is_noted: bool,
    guard_silence: Duration,
    kill_sequence: Duration,
    drain: Duration,
    unkillable: Duration,
    foreign_signal: Duration,
}

/// What a run waits for.
#[derive(Debug)]
enum RunEvent {
    Aborted(AbortReason),
    GuardMessage(GuardMessage),
    SocketClosed,
    GuardEnded(GuardEnd),
    /// So many bytes; none at the end.
    Output(usize),
    Progress,
    TooLate,
}

impl ProcessRun {
    /// `is_noted`: the guard has an [`EndNote`](super::EndNote).
    pub(super) fn new(guard: GuardHandle, spec: &ProcessSpec, is_noted: bool, timings: &Timings) -> io::Result<Self> {
        Ok(Self {
            guard_pid: guard.pid,
            children: guard.children,
            socket: UnixStream::from_std(guard.socket)?,
            messages: MessageBuffer::default(),
            socket_is_open: true,
            guard_end: guard.end,
            ended: None,
            output: Some(pipe::Receiver::from_owned_fd(guard.output)?),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            lines: LineSplitter::new(timings.progress, Instant::now()),
            legacy: None,
            output_held: false,
            started: None,
            exited: None,
            last: None,
            has_told_all: false,
            reason: None,
            deadline: None,
            unheard: None,
            given_up: false,
            abandoned: false,
            is_noted,
            guard_silence: timings.guard_silence,
            kill_sequence: spec.kill_sequence.length(),
            drain: timings.output_drain,
            unkillable: timings.unkillable,
            foreign_signal: timings.foreign_signal,
        })
    }

    /// See [`Launcher::run_noted`](super::Launcher::run_noted).
    pub(super) async fn run(
        &mut self,
        brief: &[u8],
        abort: &mut Abort,
        hear: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        tokio::select! {
            biased;
            // The guard has not heard what to run, and never will.
            reason = abort.raised() => return Err(StartError::Aborted(reason)),
            // A guard that cannot be told has died; its end is the next event.
            _ = self.socket.write_all(brief) => {}
        }
        while !self.is_over() {
            let event = self.next(abort).await;
            if let Some(order) = self.handle(event, hear) {
                if self.ended.is_none() {
                    // It may have been stopped, by its program for example. Safe by number, as in `give_up`.
                    kill(Pid::from_raw(self.guard_pid), Signal::SIGCONT).ok();
                }
                // As above: who cannot be told has died.
                self.socket.write_all(&[order.byte()]).await.ok();
            }
            tokio::task::yield_now().await;
        }
        self.conclude(abort).await
    }

    /// The guard is gone, or stays with what it cannot kill; and nothing more is to be heard.
    fn is_over(&self) -> bool {
        let is_gone = self.abandoned || (self.ended.is_some() && !self.socket_is_open);
        let guard_is_done = is_gone || self.is_hopeless() || (self.is_noted && self.has_told_all);
        guard_is_done && self.output.is_none()
    }

    fn is_hopeless(&self) -> bool {
        matches!(&self.last, Some(GuardMessage::Ended(word)) if !word.strays.unkillable.is_empty())
    }

    async fn next(&mut self, abort: &mut Abort) -> RunEvent {
        let rank = self.reason.as_ref().map_or(0, AbortReason::rank);
        let progress = self.lines.due().filter(|_| self.output.is_some());
        let due = self.deadline.into_iter().chain(self.unheard).min();
        let is_heard = self.started.is_some() || self.last.is_some() || self.ended.is_some();
        tokio::select! {
            biased;
            reason = abort.raised_above(rank) => RunEvent::Aborted(reason),
            event = said(&mut self.messages, &mut self.socket), if self.socket_is_open => event,
            end = &mut self.guard_end, if self.ended.is_none() => RunEvent::GuardEnded(end.unwrap_or(GuardEnd::Done)),
            () = until(progress), if progress.is_some() => RunEvent::Progress,
            event = bytes(self.output.as_ref(), &mut self.chunk), if is_heard && self.output.is_some() => event,
            () = until(due), if due.is_some() => RunEvent::TooLate,
        }
    }

    fn handle(&mut self, event: RunEvent, hear: &mut dyn FnMut(ProcessEvent<'_>)) -> Option<GuardCommand> {
        match event {
            RunEvent::Aborted(reason) => return self.abort(reason),
            RunEvent::GuardMessage(GuardMessage::Started { pid }) => {
                self.started = Some((pid, Instant::now()));
                hear(ProcessEvent::Started { pid });
            }
            RunEvent::GuardMessage(GuardMessage::CommandReceived) => self.unheard = None,
            RunEvent::GuardMessage(GuardMessage::Exited(word)) => self.exited = Some(word),
            RunEvent::GuardMessage(GuardMessage::LeftRunning(strays)) => hear(ProcessEvent::LeftRunning(&strays)),
            RunEvent::GuardMessage(
                last @ (GuardMessage::NotForked { .. }
                | GuardMessage::NotStarted { .. }
                | GuardMessage::NotOnPath
                | GuardMessage::Ended(_)),
            ) => {
                self.has_told_all = matches!(&last, GuardMessage::Ended(word) if word.strays.unkillable.is_empty());
                self.last = Some(last);
                self.expect_last_output();
            }
            RunEvent::SocketClosed => self.socket_is_open = false,
            RunEvent::GuardEnded(end) => {
                self.ended = Some(end);
                self.expect_last_output();
            }
            RunEvent::Output(count) => self.hear_output(count, hear),
            RunEvent::Progress => self
                .lines
                .tick(Instant::now(), &mut |line| hear(ProcessEvent::Line(line))),
            RunEvent::TooLate => self.give_up(hear),
        }
        None
    }

    fn abort(&mut self, reason: AbortReason) -> Option<GuardCommand> {
        let first = self.reason.is_none();
        // What cannot be killed is not waited for by a stop.
        let unkillable = if reason.is_stop() {
            Duration::ZERO
        } else {
            self.unkillable
        };
        let order = match &reason {
            AbortReason::Force => GuardCommand::Kill,
            AbortReason::StateChange
            | AbortReason::ManagerStopped(_)
            | AbortReason::Alone(_)
            | AbortReason::Reassigned
            | AbortReason::Shutdown => GuardCommand::Terminate,
        };
        self.reason = Some(reason);
        if self.last.is_some() {
            return None;
        }
        let grace = if order == GuardCommand::Kill {
            Duration::ZERO
        } else {
            self.kill_sequence
        };
        let now = Instant::now();
        let deadline = now + grace + unkillable + GUARD_MARGIN;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        if order == GuardCommand::Terminate && !first {
            return None;
        }
        self.unheard = Some(now + self.guard_silence);
        Some(order)
    }

    fn expect_last_output(&mut self) {
        self.legacy.get_or_insert(LEGACY);
        self.unheard = None;
        self.deadline = Some(Instant::now() + self.drain);
    }

    fn hear_output(&mut self, count: usize, hear: &mut dyn FnMut(ProcessEvent<'_>)) {
        self.lines
            .feed(&self.chunk[..count], &mut |line| hear(ProcessEvent::Line(line)));
        let over_legacy = self.legacy.is_some_and(|legacy| legacy < count);
        self.legacy = self.legacy.map(|legacy| legacy.saturating_sub(count));
        self.output_held |= over_legacy;
        if count == 0 || over_legacy {
            self.close_output(hear);
        }
    }

    fn close_output(&mut self, hear: &mut dyn FnMut(ProcessEvent<'_>)) {
        self.output = None;
        self.lines.finish(&mut |line| hear(ProcessEvent::Line(line)));
    }

    fn give_up(&mut self, hear: &mut dyn FnMut(ProcessEvent<'_>)) {
        (self.deadline, self.unheard) = (None, None);
        if self.output.is_some() && (self.legacy.is_some() || self.given_up) {
            self.output_held = true;
            self.close_output(hear);
        }
        if self.ended.is_some() {
            // Open only if another process has got hold of it.
            self.socket_is_open = false;
        } else if self.given_up {
            self.abandoned = true;
        } else if !self.is_hopeless() {
            tracing::warn!(
                pid = self.guard_pid,
                "a guard does not answer; ending it and its program"
            );
            self.given_up = true;
            self.children.borrow_mut().give_up(self.guard_pid);
            let stops = self.reason.as_ref().is_some_and(AbortReason::is_stop);
            let longest = if stops { STOP_MARGIN } else { self.unkillable };
            self.deadline = Some(Instant::now() + longest.min(self.unkillable));
        }
    }

    async fn conclude(&mut self, abort: &mut Abort) -> Result<Finished, StartError> {
        match (self.last.take(), self.started) {
            (Some(GuardMessage::NotForked { errno }), _) => Err(StartError::Guard(io::Error::from_raw_os_error(errno))),
            (Some(GuardMessage::NotStarted { errno }), _) => Err(StartError::Exec(nix::errno::Errno::from_raw(errno))),
            (Some(GuardMessage::NotOnPath), _) => Err(StartError::NotOnPath),
            (Some(GuardMessage::Ended(word)), Some((pid, _))) => Ok(Finished {
                pid,
                exit: self.exit(&word, abort).await,
                usage: word.usage,
                strays: word.strays,
                output_held: word.output_held || self.output_held,
                writing: word.writing,
            }),
            (
                Some(
                    GuardMessage::Started { .. }
                    | GuardMessage::CommandReceived
                    | GuardMessage::Exited(_)
                    | GuardMessage::LeftRunning(_),
                )
                | None,
                Some((pid, since)),
            ) => {
                // What still held the output may have been the better part of it.
                let Some(word) = self.exited.take().filter(|word| !word.output_held) else {
                    return Ok(self.lost(pid, since));
                };
                // The guard died over what the program left, which the worker has ended since. The program had its end.
                Ok(Finished {
                    exit: self.exit(&word, abort).await,
                    usage: word.usage,
                    writing: word.writing,
                    ..self.lost(pid, since)
                })
            }
            (_, None) => Err(match self.reason.take() {
                Some(reason) => StartError::Aborted(reason),
                None => StartError::Guard(io::Error::other("it died before the program ran")),
            }),
        }
    }

    /// A program that was asked to end and did is aborted, whatever it says itself. One that seems to
    /// have been asked by somebody else waits a moment for our own reason: a service manager that ends
    /// a whole control group may reach the program before us.
    async fn exit(&self, word: &ExitReport, abort: &mut Abort) -> Exit {
        if let (true, Some(reason)) = (word.asked, &self.reason) {
            return Exit::Aborted(reason.clone());
        }
        let Some(status) = word.status else { return Exit::Lost };
        if seems_asked_to_end(status)
            && let Ok(reason) = timeout(self.foreign_signal, abort.raised()).await
        {
            return Exit::Aborted(reason);
        }
        exit_of(status, word.oom)
    }

    fn lost(&mut self, pid: i32, since: Instant) -> Finished {
        let strays = match self.ended.take() {
            Some(GuardEnd::Lost(strays)) => strays,
            Some(GuardEnd::Done) => Strays::default(),
            None => Strays {
                ended: Vec::new(),
                unkillable: vec![Stray {
                    pid: self.guard_pid,
                    name: GUARD.to_owned(),
                }],
            },
        };
        Finished {
            pid,
            exit: self.reason.take().map_or(Exit::Lost, Exit::Aborted),
            usage: Usage {
                wall: since.elapsed(),
                ..Usage::default()
            },
            strays,
            output_held: self.output_held,
            writing: Vec::new(),
        }
    }
}

/// The next message. Cancel safe: what was read stays in the messages.
async fn said(messages: &mut MessageBuffer, socket: &mut UnixStream) -> RunEvent {
    loop {
        match messages.next() {
            Ok(Some(said)) => return RunEvent::GuardMessage(said),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "a guard's message cannot be read");
                return RunEvent::SocketClosed;
            }
        }
        if !matches!(socket.read_buf(&mut messages.0).await, Ok(count) if count > 0) {
            return RunEvent::SocketClosed;
        }
    }
}

/// The next bytes of output. Cancel safe. A pipe that cannot be read is at its end.
async fn bytes(output: Option<&pipe::Receiver>, chunk: &mut [u8]) -> RunEvent {
    let Some(output) = output else {
        return RunEvent::Output(0);
    };
    loop {
        match output.readable().await.and_then(|()| output.try_read(chunk)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return RunEvent::Output(read.unwrap_or(0)),
        }
    }
}
