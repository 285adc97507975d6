// SPDX-License-Identifier: GPL-3.0-or-later

//! The sender's end of a log: the next piece to send, and what becomes of it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tracing::warn;

use super::{Gap, LONGEST_LINE, Log, NOT_KEPT_UP, Part, Position, Progress, segments};
use crate::files::{is_standstill, open};
use crate::spool::count::{Count, Tally};
use crate::spool::disk;

/// Whole lines, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::spool) struct Piece {
    /// Notes about what is missing, then the lines.
    pub(in crate::spool) text: String,
    /// Where the lines begin in `text`.
    pub(super) lines_at: usize,
    origin: Origin,
    /// What the notes say of refused lines.
    refused: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From the files; accepted, the log is sent up to here.
    Files(Position),
    /// From the buffer, as the disk does not take it. Nowhere else now.
    Memory,
}

impl Piece {
    /// All of it, notes included.
    pub(in crate::spool) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Of the log itself.
    pub(in crate::spool) fn lines(&self) -> usize {
        self.text
            .bytes()
            .skip(self.lines_at)
            .filter(|byte| *byte == b'\n')
            .count()
    }
}

impl Log {
    /// Bytes that wait, roughly: a note about a gap counts as one.
    pub(in crate::spool) fn unsent(&self) -> u64 {
        let files: u64 = self
            .waiting
            .iter()
            .map(|part| match part {
                Part::Segment { number, bytes } => bytes.saturating_sub(self.done(*number)),
                Part::Gap(_) => 1,
            })
            .sum();
        let notes = !self.progress.refused.is_none() || !self.unkept.is_none();
        files + self.buffer.len() as u64 + u64::from(notes)
    }

    /// Belongs on disk.
    pub(in crate::spool) fn progress(&self) -> Progress {
        self.progress
    }

    /// The next piece: about `most` bytes, at least one line, whole lines only. `None` when nothing waits.
    /// At most one piece may be on its way: it is to be accepted, refused or given back.
    ///
    /// # Errors
    /// When the disk that has it does not answer now.
    pub(in crate::spool) fn next_piece(&mut self, most: usize) -> io::Result<Option<Piece>> {
        self.write_out();
        let refused = self.progress.refused;
        let mut text = match refused.is_none() {
            true => String::new(),
            false => refused.note("the Manager refused them"),
        };
        let mut to = self.progress.sent;
        let mut parts = self.waiting.iter();
        let mut part = parts.next();
        if let Some(Part::Gap(gap)) = part {
            text.push_str(&gap.missing.note(NOT_KEPT_UP));
            to = Position {
                segment: gap.last + 1,
                byte: 0,
            };
            part = parts.next();
        }
        let lines_at = text.len();
        if let Some(Part::Segment { number, bytes }) = part {
            let from = self.done(*number);
            if from < *bytes {
                let (lines, byte) = self.lines(*number, from, *bytes, most)?;
                text.push_str(&lines);
                to = Position { segment: *number, byte };
            }
        }
        if text.is_empty() {
            return Ok(self.take_buffer(most).map(|text| Piece {
                text,
                lines_at,
                origin: Origin::Memory,
                refused,
            }));
        }
        Ok(Some(Piece {
            text,
            lines_at,
            origin: Origin::Files(to),
            refused,
        }))
    }

    /// Bytes of a waiting segment that were sent.
    fn done(&self, number: u32) -> u64 {
        if number == self.progress.sent.segment {
            self.progress.sent.byte
        } else {
            0
        }
    }

    /// The start of the buffer itself, where the disk does not take it.
    fn take_buffer(&mut self, most: usize) -> Option<String> {
        let mut text = match self.unkept.is_none() {
            true => String::new(),
            false => std::mem::take(&mut self.unkept).note("they could not be written to the disk of the worker"),
        };
        let ends = |byte: &u8| *byte == b'\n';
        let within = self.buffer.iter().take(most).rposition(ends);
        let end = within.or_else(|| self.buffer.iter().position(ends));
        let later = self.buffer.split_off(end.map_or(self.buffer.len(), |end| end + 1));
        let now = std::mem::replace(&mut self.buffer, later);
        text.push_str(&String::from_utf8_lossy(&now));
        (!text.is_empty()).then_some(text)
    }

    /// Whole lines of a segment from a byte on, and where they end.
    fn lines(&self, number: u32, from: u64, bytes: u64, most: usize) -> io::Result<(String, u64)> {
        let waiting = usize::try_from(bytes.saturating_sub(from)).unwrap_or(usize::MAX);
        let first = waiting.min(most.max(1));
        let read = self.read(number, from, first).and_then(|mut text| {
            let mut end = text.iter().rposition(|byte| *byte == b'\n');
            if end.is_none() && first < waiting {
                text = self.read(number, from, waiting.min(first + 2 * LONGEST_LINE))?;
                let mut later = text.iter().skip(first);
                end = later.position(|byte| *byte == b'\n').map(|at| first + at);
            }
            text.truncate(end.map_or(text.len(), |end| end + 1));
            Ok(text)
        });
        let text = match read {
            Ok(text) => text,
            Err(error) if is_standstill(&error) => return Err(error),
            Err(error) => {
                let missing = Count {
                    lines: 0,
                    bytes: bytes.saturating_sub(from),
                };
                warn!(folder = %self.folder.display(), %error, "cannot read a log; it is passed over");
                let note = missing.note("they could not be read from the disk of the worker");
                return Ok((note, bytes));
            }
        };
        let to = from + text.len() as u64;
        let mut text =
            String::from_utf8(text).unwrap_or_else(|damaged| String::from_utf8_lossy(damaged.as_bytes()).into_owned());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok((text, to))
    }

    fn read(&self, number: u32, from: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let written_here = matches!(self.waiting.back(), Some(Part::Segment { number: last, .. }) if *last == number);
        let written = self.writing.as_ref().filter(|_| written_here).map(Arc::clone);
        let path = segments::segment(&self.folder, number);
        self.disk.run(move || {
            let mut text = vec![0; bytes];
            match written {
                Some(file) => file.read_exact_at(&mut text, from)?,
                None => open(&path)?.read_exact_at(&mut text, from)?,
            }
            Ok(text)
        })
    }

    /// The Manager has it.
    pub(in crate::spool) fn accepted(&mut self, piece: &Piece) {
        self.progress.refused.lines -= piece.refused.lines;
        self.progress.refused.bytes -= piece.refused.bytes;
        if let Origin::Files(to) = piece.origin {
            self.sent_up_to(to);
        }
    }

    /// The Manager will never have it: it stays in a file of its own beside the log, and the log goes on.
    pub(in crate::spool) fn refused(&mut self, piece: &Piece) {
        let lines = &piece.text.as_bytes()[piece.lines_at..];
        let path = self.folder.join(format!(
            "refused-{:06}-{}",
            self.progress.sent.segment, self.progress.sent.byte
        ));
        // A Manager that refuses everything must not fill the disk.
        if self.refused_bytes < self.limits.segment_bytes {
            self.refused_bytes += piece.text.len() as u64;
            let (file, text) = (path.clone(), piece.text.clone());
            let kept = self
                .disk
                .run(move || disk::open_file(&file)?.write_all_at(text.as_bytes(), 0));
            if let Err(error) = kept {
                warn!(path = %path.display(), %error, "cannot keep a piece of log that was refused");
            }
        }
        // A note that is refused is not said again: it could be the note itself that displeases.
        self.accepted(piece);
        let tally = Tally::of(lines);
        self.progress.refused.add(tally.missing());
        self.progress.lost.add(tally.lines);
    }

    /// It did not arrive; it will be the next piece again, with what came since.
    pub(in crate::spool) fn give_back(&mut self, piece: Piece) {
        match piece.origin {
            Origin::Files(_) => {}
            Origin::Memory => {
                let mut text = piece.text.into_bytes();
                text.append(&mut self.buffer);
                self.buffer = text;
            }
        }
    }

    pub(super) fn sent_up_to(&mut self, to: Position) {
        self.progress.sent = to;
        while let Some(part) = self.waiting.front() {
            match *part {
                Part::Gap(Gap { first, last, .. }) if last < to.segment => {
                    self.remove(segments::gap(&self.folder, first));
                }
                Part::Segment { number, bytes }
                    if number < to.segment || (number == to.segment && bytes <= to.byte) =>
                {
                    let may_grow = self.waiting.len() == 1 && self.writing.is_some();
                    if may_grow {
                        return;
                    }
                    self.keep_some(number);
                }
                Part::Gap(_) | Part::Segment { .. } => return,
            }
            self.waiting.pop_front();
        }
    }

    /// Of what was sent, the first segment and the newest stay for people to look at.
    pub(super) fn keep_some(&mut self, number: u32) {
        self.kept.push_back(number);
        while self.kept.len() > self.limits.waiting_segments.max(2)
            && let Some(second) = self.kept.remove(1)
        {
            self.remove(segments::segment(&self.folder, second));
        }
    }
}
