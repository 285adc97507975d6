// SPDX-License-Identifier: GPL-3.0-or-later

//! Standard error may be a pipe that nobody reads, a terminal that was stopped with Ctrl+S, or closed. None of that may
//! stop the worker: a line that cannot be written is dropped and counted, and the log has the number where they are
//! missing.
//!
//! Before each write the descriptor is polled. It cannot be made non-blocking instead: that flag belongs to the open file,
//! which is shared with the shell and with every program that we start. A terminal is opened once more, with that flag.
//!
//! ```text
//! 06:29:45 info  rendering ...          lines of the log: erase the live line, the line, the live line, in one write
//! █ 0:38 shot_010 ▕███  ▏ frame 12 ...  the live line; the cursor stays in front of it
//! ```
//!
//! The cursor stays in front of the live line and is never hidden: from there "erase to the end of the screen" takes away all
//! of it, also where the window became narrower and its terminal has made two rows of it; and a shell's prompt, or whatever
//! else is written next, begins where it should.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use tracing_subscriber::fmt::MakeWriter;

use super::live_line::{LineStyle, LiveLine};
use super::terminal;

/// Bytes that a pipe takes without blocking when it polls writable (`PIPE_BUF`); the journal takes them too.
const PIECE: usize = 4096;

/// Milliseconds that a slow reader is waited for; after that not at all until it has read again.
const SLOW_READER_MS: u8 = 50;

/// To the first column, and nothing there nor below.
pub(super) const ERASE: &str = "\r\x1b[J";
/// Lines that are too long after all (terminals differ in how wide a letter is) are cut off and do not go on in the next row.
const CUT_OFF: &str = "\x1b[?7l";
const GO_ON: &str = "\x1b[?7h";

/// Where the lines go.
#[derive(Debug)]
pub(super) enum Destination {
    StandardError(io::Stderr),
    /// A terminal that was opened again. Tests have a file of their own.
    Descriptor(OwnedFd),
}

/// What the destination is, besides something to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each byte that is written is one of a line.
    Lines,
    /// A terminal: there may be a live line below the log.
    Terminal(LineStyle),
    /// A terminal without the means for one.
    DumbTerminal,
}

/// Writes log lines, and the live line below them. Each `write` is one whole line.
#[derive(Debug, Clone)]
pub(super) struct StderrWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    destination: Destination,
    kind: Kind,
    state: Mutex<WriterState>,
    is_drawn: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct WriterState {
    /// Lines that were dropped since the last one that was written.
    dropped: u64,
    /// Whether the last poll said that nothing can be written.
    stuck: bool,
    /// The end of what was begun. It goes out before anything else.
    rest: Vec<u8>,
    live: Option<LiveLine>,
}

impl StderrWriter {
    pub(super) fn new(destination: Destination, kind: Kind) -> Self {
        Self {
            shared: Arc::new(Shared {
                destination,
                kind,
                state: Mutex::default(),
                is_drawn: Arc::default(),
            }),
        }
    }

    /// Whether a live line stands in the terminal. For who must not wait for a lock.
    pub(super) fn is_drawn(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.is_drawn)
    }

    /// Shows this below the log from now on, in place of what was there. Returns whether the terminal has taken it now.
    pub(super) fn show(&self, live: Option<LiveLine>) -> bool {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.live = live;
        shared.put_with_live_line(&mut state, b"", PollTimeout::ZERO)
    }

    /// Takes the live line away for good, for a last message that does not come through here. Never waits: the lock may be
    /// held further up this very stack.
    pub(super) fn make_way(&self) {
        let shared = &*self.shared;
        if let Ok(mut state) = shared.state.try_lock() {
            state.live = None;
            shared.put_with_live_line(&mut state, b"", PollTimeout::ZERO);
        }
    }

    /// Writes a line, or drops and counts it.
    fn line(&self, line: &[u8]) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let mut lines = match state.dropped {
            0 => Vec::new(),
            dropped => format!("({dropped} lines are missing here: nobody read them)\n").into_bytes(),
        };
        lines.extend_from_slice(line);
        let patience = if state.stuck {
            PollTimeout::ZERO
        } else {
            SLOW_READER_MS.into()
        };
        let begun = shared.put_with_live_line(&mut state, &lines, patience);
        state.stuck = !begun || !state.rest.is_empty();
        state.dropped = if begun { 0 } else { state.dropped + 1 };
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WriterState> {
        // A panic has left it as it was before a write, or after it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines where the live line is, and that below them. Returns whether they were begun: what is begun is finished.
    fn put_with_live_line(&self, state: &mut WriterState, lines: &[u8], patience: PollTimeout) -> bool {
        let was_drawn = self.is_drawn.load(Ordering::Relaxed);
        let in_front = !self.has_jobs() || !terminal::is_in_background(self.fd());
        let live = state
            .live
            .as_ref()
            .filter(|_| in_front)
            .and_then(|live| self.drawing(live));
        if lines.is_empty() && live.is_none() && !was_drawn {
            return true;
        }
        let mut bytes = Vec::with_capacity(lines.len());
        // In the background its row has become another's.
        if was_drawn && in_front {
            bytes.extend_from_slice(ERASE.as_bytes());
        }
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(live.as_deref().unwrap_or_default().as_bytes());
        let begun = self.put(state, &bytes, patience);
        if begun {
            self.is_drawn.store(live.is_some(), Ordering::Relaxed);
        }
        begun
    }

    /// The live line as it fits into the window now.
    fn drawing(&self, live: &LiveLine) -> Option<String> {
        let Kind::Terminal(style) = self.kind else { return None };
        // The last column stays free: some terminals go on in the next row as soon as it is written to.
        let text = live.fit(terminal::columns(self.fd()).saturating_sub(1), style);
        Some(format!("{CUT_OFF}{text}{GO_ON}\r"))
    }

    /// Writes what is left of earlier, then these bytes. What is not taken now of bytes that were begun is kept.
    fn put(&self, state: &mut WriterState, bytes: &[u8], patience: PollTimeout) -> bool {
        if self.has_jobs() && terminal::stops_writers(self.fd()) {
            return false;
        }
        let rest = std::mem::take(&mut state.rest);
        match self.write_some(&rest, patience) {
            Ok(written) if written < rest.len() => {
                state.rest = rest[written..].to_vec();
                return false;
            }
            Ok(_) => {}
            Err(_) => return false,
        }
        match self.write_some(bytes, patience) {
            Ok(0) => bytes.is_empty(),
            Ok(written) => {
                state.rest = bytes[written..].to_vec();
                true
            }
            Err(_) => false,
        }
    }

    /// Writes as much as is taken now, and returns how much that is.
    fn write_some(&self, bytes: &[u8], patience: PollTimeout) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && writable(self.fd(), patience) {
            let piece = &bytes[written..][..PIECE.min(bytes.len() - written)];
            match self.write(piece) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.destination {
            Destination::StandardError(stderr) => stderr.lock().write(bytes),
            Destination::Descriptor(fd) => Ok(unistd::write(fd, bytes)?),
        }
    }

    /// A shell may have put us into the background.
    fn has_jobs(&self) -> bool {
        self.kind != Kind::Lines
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.destination {
            Destination::StandardError(stderr) => stderr.as_fd(),
            Destination::Descriptor(fd) => fd.as_fd(),
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
            StderrWriter::new(Destination::Descriptor(writer.into()), Kind::Lines),
        )
    }

    #[test]
    fn e11_a_pipe_that_is_full_stops_nobody_and_what_is_missing_is_said() {
        let (mut reader, stderr) = pipe();
        for _ in 0..200 {
            stderr.line(&[b'x'; 1024]);
        }
        assert!(stderr.shared.lock().dropped > 100);
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
        assert_eq!(stderr.shared.lock().dropped, 2);
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
