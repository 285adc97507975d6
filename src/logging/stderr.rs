// SPDX-License-Identifier: GPL-3.0-or-later

//! Standard error may be a pipe that nobody reads, a terminal that was stopped with Ctrl+S, or closed. None of that may
//! stop the worker: a line that cannot be written is dropped and counted, and the log has the number where they are
//! missing.
//!
//! Before each write the descriptor is polled. It cannot be made non-blocking instead: that flag belongs to the open file,
//! which is shared with the shell and with every program that we start.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that a pipe takes without blocking when it polls writable (`PIPE_BUF`); a terminal and the journal take them too.
const PIECE: usize = 4096;

/// Milliseconds that a slow reader is waited for; after that not at all until it has read again.
const SLOW_READER_MS: u8 = 50;

/// Where the lines go. Tests have a file of their own.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    StandardError,
    #[cfg_attr(not(test), expect(dead_code, reason = "what tests write to"))]
    Descriptor(Arc<OwnedFd>),
}

/// Writes log lines. Each `write` is one whole line.
#[derive(Debug, Clone)]
pub(super) struct StderrWriter {
    destination: Destination,
    state: Arc<WriterState>,
}

#[derive(Debug, Default)]
struct WriterState {
    /// Lines that were dropped since the last one that was written.
    dropped: AtomicU64,
    /// Whether the last poll said that nothing can be written.
    stuck: AtomicBool,
}

impl StderrWriter {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            destination,
            state: Arc::default(),
        }
    }

    /// Writes a line, or drops and counts it.
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

    /// Writes all of it and returns whether that worked. A line of more than [`PIECE`] may stop in the middle.
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
        let timeout = if self.state.stuck.load(Ordering::Relaxed) {
            PollTimeout::ZERO
        } else {
            SLOW_READER_MS.into()
        };
        let stderr = io::stderr();
        let fd = match &self.destination {
            Destination::StandardError => stderr.as_fd(),
            Destination::Descriptor(fd) => fd.as_fd(),
        };
        let ready = writable(fd, timeout);
        self.state.stuck.store(!ready, Ordering::Relaxed);
        ready
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.destination {
            Destination::StandardError => io::stderr().write(bytes),
            Destination::Descriptor(fd) => Ok(unistd::write(fd, bytes)?),
        }
    }
}

/// Whether a descriptor takes a write. Files always do; a pipe without a reader polls as an error, and so does the write.
fn writable(fd: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    // A signal ends the wait early, which counts as its end.
    poll(&mut fds, timeout).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLOUT))
}

impl Write for StderrWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for StderrWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (io::PipeReader, StderrWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (
            reader,
            StderrWriter::new(Destination::Descriptor(Arc::new(writer.into()))),
        )
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
