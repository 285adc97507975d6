// SPDX-License-Identifier: GPL-3.0-or-later

//! Standard error, which may be a pipe that nobody reads, a terminal that was stopped with Ctrl+S, or
//! closed. None of that may stop the worker: a line that finds no place is dropped and counted, and how
//! many were is said where they are missing.
//!
//! Before each write the descriptor is asked whether it takes one. It cannot be made non-blocking
//! instead: that flag belongs to the open file, which is shared with the shell and with every program
//! we start.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// A pipe that polls writable takes this much without blocking (`PIPE_BUF`); a terminal and the journal do too.
const PIECE: usize = 4096;

/// Milliseconds that a reader who is merely slow is waited for; the first time only, until it reads again.
const PATIENCE: u8 = 50;

/// Where it goes: a file of their own in tests.
#[derive(Debug, Clone)]
pub(super) enum Target {
    StandardError,
    #[cfg_attr(not(test), expect(dead_code, reason = "what tests write to"))]
    Descriptor(Arc<OwnedFd>),
}

/// The way out for log lines. Each `write` is one line, whole.
#[derive(Debug, Clone)]
pub(super) struct Stderr {
    target: Target,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    dropped: AtomicU64,
    stuck: AtomicBool,
}

impl Stderr {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            state: Arc::default(),
        }
    }

    /// Writes a line or drops it. What it cannot do is lost, and that is the point.
    fn line(&self, line: &[u8]) {
        let dropped = self.state.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let note = format!("({dropped} lines are missing here: nobody read them)\n");
            if !self.whole(note.as_bytes()) {
                self.state.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
                return;
            }
        }
        if !self.whole(line) {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether all of it went out. A line of more than [`PIECE`] may stop in the middle.
    fn whole(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if !self.takes_more() {
                return false;
            }
            let piece = &bytes[..bytes.len().min(PIECE)];
            match self.write_some(piece) {
                Ok(0) => return false,
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn takes_more(&self) -> bool {
        let patience = if self.state.stuck.load(Ordering::Relaxed) {
            PollTimeout::ZERO
        } else {
            PATIENCE.into()
        };
        let stderr = io::stderr();
        let fd = match &self.target {
            Target::StandardError => stderr.as_fd(),
            Target::Descriptor(fd) => fd.as_fd(),
        };
        let ready = writable(fd, patience);
        self.state.stuck.store(!ready, Ordering::Relaxed);
        ready
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.target {
            Target::StandardError => io::stderr().write(bytes),
            Target::Descriptor(fd) => Ok(nix::unistd::write(fd, bytes)?),
        }
    }
}

/// Files are always writable; a pipe without a reader answers with an error instead, as does the write.
fn writable(fd: BorrowedFd<'_>, patience: PollTimeout) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    // A signal ends the wait early, which is as good as its end.
    poll(&mut fds, patience).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLOUT))
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (io::PipeReader, Stderr) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Stderr::new(Target::Descriptor(Arc::new(writer.into()))))
    }

    #[test]
    fn e11_a_pipe_that_is_full_stops_nobody_and_what_is_missing_is_said() {
        let (mut reader, stderr) = pipe();
        for _ in 0..200 {
            stderr.line(&[b'x'; 1024]);
        }
        assert!(stderr.state.dropped.load(Ordering::Relaxed) > 100);
        let mut taken = vec![0; 64 * 1024];
        let taken = reader.read(&mut taken).unwrap();
        stderr.line(b"after\n");
        let mut text = vec![0; 100];
        let read = reader.read(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text[..read]).into_owned();
        let missing = 200 - taken / 1024;
        assert_eq!(
            text,
            format!("({missing} lines are missing here: nobody read them)\nafter\n")
        );
    }

    #[test]
    fn e11_a_pipe_that_is_closed_stops_nobody() {
        let (reader, stderr) = pipe();
        drop(reader);
        stderr.line(b"one\n");
        stderr.line(b"two\n");
        assert_eq!(stderr.state.dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_long_line_goes_out_whole() {
        let (mut reader, stderr) = pipe();
        let line = vec![b'y'; 3 * PIECE + 7];
        stderr.line(&line);
        drop(stderr);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, line);
    }
}
