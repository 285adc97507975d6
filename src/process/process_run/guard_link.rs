// SPDX-License-Identifier: GPL-3.0-or-later

//! A guard, seen from the worker: the socket to it, and what is known of its life.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::chain::chain;
use crate::process::channel;
use crate::process::children::{GuardEnd, SharedChildren};
use crate::process::guard_name::GUARD;
use crate::process::messages::{GuardCommand, GuardMessage, MessageBuffer};
use crate::process::stray::{Stray, Strays};

/// The worker's side of a guard.
#[derive(Debug)]
pub(in crate::process) struct GuardLink {
    pid: i32,
    children: SharedChildren,
    socket: UnixStream,
    /// A message may still come.
    socket_is_open: bool,
    received: MessageBuffer,
    /// The reaper's answer, which is used up once the life is `Ended`.
    end: oneshot::Receiver<GuardEnd>,
    life: GuardLife,
}

/// How far a guard's life has come, as the worker knows it.
#[derive(Debug)]
pub(super) enum GuardLife {
    /// It is expected to answer.
    Alive,
    /// It did not answer, and the worker ends it and its tree.
    GivenUp,
    /// It did not end even then, and is waited for no longer.
    Abandoned,
    /// It has ended.
    Ended(GuardEnd),
}

/// What comes from a guard.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Message(GuardMessage),
    /// No message comes any more.
    Closed,
    Ended(GuardEnd),
}

impl GuardLink {
    /// # Errors
    /// When the runtime cannot take the socket.
    pub(in crate::process) fn new(
        pid: i32,
        children: SharedChildren,
        socket: StdUnixStream,
        end: oneshot::Receiver<GuardEnd>,
    ) -> io::Result<Self> {
        Ok(Self {
            pid,
            children,
            socket: UnixStream::from_std(socket)?,
            socket_is_open: true,
            received: MessageBuffer::default(),
            end,
            life: GuardLife::Alive,
        })
    }

    pub(in crate::process) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends what goes before the request.
    ///
    /// # Errors
    /// The kernel's own: there are too many descriptors under way.
    pub(in crate::process) fn send_descriptors(
        &self,
        channel: Option<BorrowedFd<'_>>,
        ruleset: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        match channel::send(&self.socket, channel, ruleset) {
            // As for the request.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Sends the request for a program. A guard that cannot be told has died, and its end is the next event.
    pub(super) async fn send_request(&mut self, frame: &[u8]) {
        self.socket.write_all(frame).await.ok();
    }

    /// Sends a command, as [`send_request`](Self::send_request) does. A guard that was stopped (by its program, say)
    /// goes on before.
    pub(super) async fn send(&mut self, command: GuardCommand) {
        if !self.has_ended() {
            // Safe by number: it is our child, and has not been reaped.
            kill(Pid::from_raw(self.pid), Signal::SIGCONT).ok();
        }
        self.socket.write_all(&[command.byte()]).await.ok();
    }

    /// Waits for the guard's next message, or for its end. Cancel safe: what was read stays in the buffer.
    pub(super) async fn next_event(&mut self) -> LinkEvent {
        tokio::select! {
            biased;
            event = next_message(&mut self.received, &mut self.socket), if self.socket_is_open => event,
            end = &mut self.end, if !self.has_ended() => LinkEvent::Ended(end.unwrap_or(GuardEnd::Done)),
            else => std::future::pending().await,
        }
    }

    /// Whether another process can speak with it in our place.
    pub(super) fn can_be_handed_over(&self) -> bool {
        self.socket_is_open && matches!(self.life, GuardLife::Alive)
    }

    /// The socket, and what of a message has come so far.
    ///
    /// # Errors
    /// When the runtime does not let go of the socket.
    pub(super) fn hand_over(self) -> io::Result<(OwnedFd, Vec<u8>)> {
        self.children.borrow_mut().hand_over(self.pid);
        Ok((self.socket.into_std()?.into(), self.received.0))
    }

    /// Goes on with messages of which some bytes have come already.
    pub(super) fn with_received(self, received: Vec<u8>) -> Self {
        Self {
            received: MessageBuffer(received),
            ..self
        }
    }

    pub(super) fn life(&self) -> &GuardLife {
        &self.life
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.life, GuardLife::Ended(_))
    }

    /// Whether nothing is to be expected of the guard any more.
    pub(super) fn is_gone(&self) -> bool {
        match self.life {
            GuardLife::Alive | GuardLife::GivenUp => false,
            GuardLife::Abandoned => true,
            GuardLife::Ended(_) => !self.socket_is_open,
        }
    }

    pub(super) fn ended(&mut self, end: GuardEnd) {
        self.life = GuardLife::Ended(end);
    }

    /// Waits for no more messages.
    pub(super) fn close(&mut self) {
        self.socket_is_open = false;
    }

    /// Ends the guard, which does not answer, and its tree.
    pub(super) fn give_up(&mut self) {
        self.life = GuardLife::GivenUp;
        self.children.borrow_mut().give_up(self.pid);
    }

    /// Waits no longer for a guard that could not be ended.
    pub(super) fn abandon(&mut self) {
        self.life = GuardLife::Abandoned;
    }

    /// What is left of the program after its guard is lost.
    pub(super) fn strays(&self) -> Strays {
        match &self.life {
            GuardLife::Ended(GuardEnd::Lost(strays)) => strays.clone(),
            GuardLife::Ended(GuardEnd::Done) => Strays::default(),
            GuardLife::Alive | GuardLife::GivenUp | GuardLife::Abandoned => Strays {
                ended: Vec::new(),
                unkillable: vec![Stray {
                    pid: self.pid,
                    name: GUARD.to_owned(),
                }],
            },
        }
    }

    /// Lets go of a guard that was told nothing, and sees it leave within `limit`.
    pub(in crate::process) async fn dismiss(mut self, limit: Duration) {
        self.socket.shutdown().await.ok();
        self.leave(limit).await;
    }

    /// Lets go of a guard that waits for it, and sees it leave within `limit`.
    pub(super) async fn release(mut self, limit: Duration) {
        self.socket.write_all(&[GuardCommand::Release.byte()]).await.ok();
        self.leave(limit).await;
    }

    async fn leave(&mut self, limit: Duration) {
        if timeout(limit, &mut self.end).await.is_err() {
            self.children.borrow_mut().give_up(self.pid);
        }
    }
}

/// Waits for the next message. Cancel safe.
async fn next_message(received: &mut MessageBuffer, socket: &mut UnixStream) -> LinkEvent {
    loop {
        match received.next() {
            Ok(Some(message)) => return LinkEvent::Message(message),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "a guard's message cannot be read");
                return LinkEvent::Closed;
            }
        }
        if !matches!(socket.read_buf(&mut received.0).await, Ok(count) if count > 0) {
            return LinkEvent::Closed;
        }
    }
}
