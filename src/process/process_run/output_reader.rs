// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's end of the pipe that a program writes to.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::process::line_splitter::{HandedLines, LineSplitter, OutputLine};

/// How many bytes are read at once: enough for the speed, little enough to be fair.
const CHUNK: usize = 128 * 1024;
/// How many bytes the dead can have left in the pipe: its size. A process that writes more after them is not of the
/// tree.
const LEFT_IN_PIPE: usize = 1024 * 1024;

/// Reads a program's output, and makes lines of it.
#[derive(Debug)]
pub(in crate::process) struct OutputReader {
    source: Source,
    chunk: Box<[u8]>,
    lines: LineSplitter,
    /// A process still held the pipe open when the reader closed it.
    is_held: bool,
}

/// What is still to be expected of the pipe.
#[derive(Debug)]
enum Source {
    /// The program, or what it left, may write any amount.
    Open(pipe::Receiver),
    /// The tree is gone: at most so many bytes are left.
    Draining(pipe::Receiver, usize),
    Closed,
}

impl OutputReader {
    /// `progress`: see [`LineSplitter::new`].
    ///
    /// # Errors
    /// When the runtime cannot take the pipe.
    pub(in crate::process) fn new(pipe: OwnedFd, progress: Duration) -> io::Result<Self> {
        Ok(Self {
            source: Source::Open(pipe::Receiver::from_owned_fd(pipe)?),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            lines: LineSplitter::new(progress, Instant::now()),
            is_held: false,
        })
    }

    /// Goes on with what was handed over; without a pipe it was at its end.
    ///
    /// # Errors
    /// When the runtime cannot take the pipe.
    pub(in crate::process) fn take_over(
        pipe: Option<OwnedFd>,
        lines: HandedLines,
        progress: Duration,
    ) -> io::Result<Self> {
        let source = match pipe {
            Some(pipe) => Source::Open(pipe::Receiver::from_owned_fd(pipe)?),
            None => Source::Closed,
        };
        Ok(Self {
            source,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            lines: LineSplitter::take_over(lines, progress, Instant::now()),
            is_held: false,
        })
    }

    /// What is not read stays in the pipe.
    ///
    /// # Errors
    /// When the runtime does not let go of the pipe.
    pub(super) fn hand_over(self) -> io::Result<(Option<OwnedFd>, HandedLines)> {
        let pipe = match self.source {
            Source::Open(pipe) | Source::Draining(pipe, _) => Some(pipe.into_nonblocking_fd()?),
            Source::Closed => None,
        };
        Ok((pipe, self.lines.hand_over()))
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.source, Source::Closed)
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.source, Source::Draining(..))
    }

    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// When [`show_progress`](Self::show_progress) is due, if at all.
    pub(super) fn progress_due(&self) -> Option<Instant> {
        self.lines.due().filter(|_| self.is_open())
    }

    pub(super) fn show_progress(&mut self, on_line: &mut dyn FnMut(OutputLine<'_>)) {
        self.lines.tick(Instant::now(), on_line);
    }

    /// Waits for the next bytes, and returns how many came; none at the end. Pass the number to
    /// [`accept`](Self::accept). A pipe that cannot be read is at its end. Cancel safe.
    pub(super) async fn read(&mut self) -> usize {
        let (Source::Open(pipe) | Source::Draining(pipe, _)) = &self.source else {
            return 0;
        };
        loop {
            match pipe.readable().await.and_then(|()| pipe.try_read(&mut self.chunk)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.unwrap_or(0),
            }
        }
    }

    /// Makes lines of the first `count` bytes that were read, and closes the pipe after its last.
    pub(super) fn accept(&mut self, count: usize, on_line: &mut dyn FnMut(OutputLine<'_>)) {
        self.lines.feed(&self.chunk[..count], on_line);
        if let Source::Draining(_, left) = &mut self.source {
            self.is_held |= *left < count;
            *left = left.saturating_sub(count);
        }
        if count == 0 || self.is_held {
            self.close(on_line);
        }
    }

    /// Expects no more than what the dead have left in the pipe from now on.
    pub(super) fn drain(&mut self) {
        self.source = match std::mem::replace(&mut self.source, Source::Closed) {
            Source::Open(pipe) => Source::Draining(pipe, LEFT_IN_PIPE),
            other @ (Source::Draining(..) | Source::Closed) => other,
        };
    }

    /// Closes a pipe that another process holds open.
    pub(super) fn close_held(&mut self, on_line: &mut dyn FnMut(OutputLine<'_>)) {
        self.is_held = true;
        self.close(on_line);
    }

    fn close(&mut self, on_line: &mut dyn FnMut(OutputLine<'_>)) {
        self.source = Source::Closed;
        self.lines.finish(on_line);
    }
}
