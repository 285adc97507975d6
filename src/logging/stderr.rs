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
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::live_line::LiveLine;
use super::{LogFormat, terminal};

/// Bytes that a pipe takes without blocking when it polls writable (`PIPE_BUF`); the journal takes them too.
const PIECE: usize = 4096;

/// A slow reader is waited for so long; after that not at all until it has read again.
const SLOW_READER: Duration = Duration::from_millis(50);

/// Milliseconds between two looks at a lock, and how many looks: longer than anybody waits for a reader, twice for each write.
const LOCK_TRY: u8 = 10;
const LOCK_TRIES: u32 = 20;

/// To the first column, and nothing there nor below.
const ERASE: &str = "\r\x1b[J";
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

/// Writes log lines, and the live line below them. Each `write` is one whole line.
#[derive(Debug, Clone)]
pub(super) struct StderrWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    destination: Destination,
    format: LogFormat,
    state: Mutex<WriterState>,
    /// Whether a live line stands in the terminal. For who must not wait for a lock too.
    is_drawn: AtomicBool,
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
    pub(super) fn new(destination: Destination, format: LogFormat) -> Self {
        Self {
            shared: Arc::new(Shared {
                destination,
                format,
                state: Mutex::default(),
                is_drawn: AtomicBool::new(false),
            }),
        }
    }

    /// Whether there may be a live line: not where a write can wait for whoever reads the terminal.
    pub(super) fn can_draw(&self) -> bool {
        matches!(self.shared.format, LogFormat::Terminal(_))
            && matches!(self.shared.destination, Destination::Descriptor(_))
    }

    /// Takes away the live line that was drawn, from within a handler of signals: no lock is taken, and the descriptor does
    /// not wait. In the background its row has become another's, and a write may stop this process.
    pub(super) fn erase(&self) {
        let shared = &*self.shared;
        if let Destination::Descriptor(terminal) = &shared.destination
            && shared.is_drawn.load(Ordering::Relaxed)
            && !terminal::is_in_background(terminal)
        {
            unistd::write(terminal, ERASE.as_bytes()).ok();
        }
    }

    /// Shows this below the log from now on, in place of what was there. Returns whether the terminal has taken it now.
    pub(super) fn show(&self, live: Option<LiveLine>) -> bool {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.live = live;
        shared.put_with_live_line(&mut state, b"", Duration::ZERO)
    }

    /// Writes this line in place of the live line, and all that is left before it. Waits a moment for a reader and for the lock,
    /// which may be held further up this very stack; then it is done without.
    pub(super) fn last_line(&self, line: &str) {
        let shared = &*self.shared;
        for _ in 0..LOCK_TRIES {
            if let Ok(mut state) = shared.state.try_lock() {
                state.live = None;
                let mut lines = state.missing();
                lines.extend_from_slice(line.as_bytes());
                shared.put_with_live_line(&mut state, &lines, SLOW_READER);
                return;
            }
            poll(&mut [], LOCK_TRY).ok();
        }
        self.erase();
        shared.write_some(line.as_bytes(), SLOW_READER).ok();
    }

    /// Says what is left: the end of a line that was begun, and how many are missing. It waits a moment for a reader.
    pub(super) fn finish(&self) {
        let mut state = self.shared.lock();
        if state.dropped > 0 || !state.rest.is_empty() {
            let missing = state.missing();
            self.shared.put_with_live_line(&mut state, &missing, SLOW_READER);
        }
    }

    /// Writes a line, or drops and counts it.
    fn line(&self, line: &[u8]) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let mut lines = state.missing();
        lines.extend_from_slice(line);
        let patience = if state.stuck { Duration::ZERO } else { SLOW_READER };
        let begun = shared.put_with_live_line(&mut state, &lines, patience);
        state.stuck = !begun || !state.rest.is_empty();
        state.dropped = if begun { 0 } else { state.dropped + 1 };
    }
}

impl WriterState {
    /// The line that tells how many are missing, if any are.
    fn missing(&self) -> Vec<u8> {
        match self.dropped {
            0 => Vec::new(),
            dropped => format!("({dropped} lines are missing here: nobody read them)\n").into_bytes(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WriterState> {
        // Nobody has panicked: that ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines where the live line is, and that below them. Returns whether they were begun: what is begun is finished.
    fn put_with_live_line(&self, state: &mut WriterState, lines: &[u8], patience: Duration) -> bool {
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
        let LogFormat::Terminal(style) = self.format else {
            return None;
        };
        // The last column stays free: some terminals go on in the next row as soon as it is written to.
        let text = live.fit(terminal::columns(self.fd()).saturating_sub(1), style);
        Some(format!("{CUT_OFF}{text}{GO_ON}\r"))
    }

    /// Writes what is left of earlier, then these bytes. What is not taken now of bytes that were begun is kept.
    fn put(&self, state: &mut WriterState, bytes: &[u8], patience: Duration) -> bool {
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
    fn write_some(&self, bytes: &[u8], patience: Duration) -> io::Result<usize> {
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
        self.format.is_terminal()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.destination {
            Destination::StandardError(stderr) => stderr.as_fd(),
            Destination::Descriptor(fd) => fd.as_fd(),
        }
    }
}

/// Whether a descriptor takes a write. Files always do; a pipe without a reader polls as an error, and so does the write.
fn writable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let begin = Instant::now();
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    loop {
        let rest = patience.saturating_sub(begin.elapsed());
        match poll(&mut fds, PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO)) {
            // A signal; its handler has nothing to do with this.
            Err(Errno::EINTR) => {}
            polled => {
                let can_take = |events: PollFlags| events.contains(PollFlags::POLLOUT);
                return polled.is_ok() && fds[0].revents().is_some_and(can_take);
            }
        }
    }
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
#[path = "stderr_tests.rs"]
mod tests;
