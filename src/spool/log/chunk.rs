// SPDX-License-Identifier: GPL-3.0-or-later

//! The sender's end of a log: the next chunk to send, and what becomes of it.

use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tracing::warn;

use super::parts::{LogPart, NOT_KEPT_UP, segment_file};
use super::segmented::{LONGEST_LINE, NOT_WRITTEN, SegmentedLog};
use crate::chain::chain;
use crate::files::{is_shortage, is_standstill, open};
use crate::spool::disk;
use crate::spool::line_count::{LineCount, LogTally};
use crate::spool::progress::{LogPosition, LogProgress};

/// Whole lines, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::spool) struct LogChunk {
    /// Notes about what is missing, then the lines.
    pub(in crate::spool) text: String,
    /// Where the lines begin in `text`.
    pub(super) lines_at: usize,
    origin: ChunkOrigin,
    /// What the notes say of refused lines.
    refused: LineCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkOrigin {
    /// From the files; accepted, the log is sent up to here.
    Files(LogPosition),
    /// From the buffer, as the disk does not take it. Nowhere else now.
    Memory,
}

impl LogChunk {
    /// All of it, notes included.
    pub(in crate::spool) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// What of it was taken out of the buffer.
    pub(super) fn out_of_the_buffer(&self) -> &str {
        match self.origin {
            ChunkOrigin::Memory => &self.text,
            ChunkOrigin::Files(_) => "",
        }
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

impl SegmentedLog {
    /// Bytes that wait, roughly: a note about a gap counts as one.
    pub(in crate::spool) fn unsent(&self) -> u64 {
        let files: u64 = self
            .waiting
            .iter()
            .map(|part| match part {
                LogPart::Segment { number, bytes } => bytes.saturating_sub(self.done(*number)),
                LogPart::Gap(_) => 1,
            })
            .sum();
        let notes = !self.progress.refused.is_none() || !self.unkept.is_none();
        files + self.buffer.len() as u64 + u64::from(notes)
    }

    /// How far it was printed, sent and lost; to be saved with the report.
    pub(in crate::spool) fn progress(&self) -> LogProgress {
        self.progress
    }

    /// The next chunk: about `most` bytes, at least one line, whole lines only. `None` when nothing waits.
    /// At most one chunk may be on its way: it is to be accepted, refused or given back.
    ///
    /// # Errors
    /// When the disk that has it does not answer now, or there is no descriptor to read it with.
    pub(in crate::spool) fn next_chunk(&mut self, most: usize) -> io::Result<Option<LogChunk>> {
        self.write_out();
        let refused = self.progress.refused;
        let mut text = match refused.is_none() {
            true => String::new(),
            false => refused.note("the Manager refused them"),
        };
        let mut to = self.progress.sent;
        let mut parts = self.waiting.iter();
        let mut part = parts.next();
        if let Some(LogPart::Gap(gap)) = part {
            text.push_str(&gap.missing.note(NOT_KEPT_UP));
            to = LogPosition {
                segment: gap.last + 1,
                byte: 0,
            };
            part = parts.next();
        }
        let lines_at = text.len();
        if let Some(LogPart::Segment { number, bytes }) = part {
            let from = self.done(*number);
            if from < *bytes {
                let (lines, byte) = self.lines(*number, from, *bytes, most)?;
                text.push_str(&lines);
                to = LogPosition { segment: *number, byte };
            }
        }
        if text.is_empty() {
            return Ok(self.take_buffer(most).map(|text| LogChunk {
                text,
                lines_at,
                origin: ChunkOrigin::Memory,
                refused,
            }));
        }
        Ok(Some(LogChunk {
            text,
            lines_at,
            origin: ChunkOrigin::Files(to),
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
            false => mem::take(&mut self.unkept).note(NOT_WRITTEN),
        };
        let ends = |byte: &u8| *byte == b'\n';
        let within = self.buffer.iter().take(most).rposition(ends);
        let end = within.or_else(|| self.buffer.iter().position(ends));
        let later = self.buffer.split_off(end.map_or(self.buffer.len(), |end| end + 1));
        let now = mem::replace(&mut self.buffer, later);
        text.push_str(&String::from_utf8_lossy(&now));
        self.buffer_lent = !text.is_empty();
        self.buffer_lent.then_some(text)
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
            Err(error) if is_standstill(&error) || is_shortage(&error) => return Err(error),
            Err(error) => {
                let missing = LineCount {
                    lines: 0,
                    bytes: bytes.saturating_sub(from),
                };
                warn!(folder = %self.folder.display(), error = chain(&error), "cannot read a log; it is passed over");
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
        let written_here =
            matches!(self.waiting.back(), Some(LogPart::Segment { number: last, .. }) if *last == number);
        let written = self.writing.as_ref().filter(|_| written_here).map(Arc::clone);
        let path = segment_file(&self.folder, number);
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
    pub(in crate::spool) fn accepted(&mut self, chunk: &LogChunk) {
        self.buffer_lent = false;
        self.progress.refused.lines -= chunk.refused.lines;
        self.progress.refused.bytes -= chunk.refused.bytes;
        if let ChunkOrigin::Files(to) = chunk.origin {
            self.sent_up_to(to);
        }
    }

    /// The Manager will never have it: it stays in a file of its own beside the log, and the log goes on.
    pub(in crate::spool) fn refused(&mut self, chunk: &LogChunk) {
        let lines = &chunk.text.as_bytes()[chunk.lines_at..];
        let path = self.folder.join(format!(
            "refused-{:06}-{}",
            self.progress.sent.segment, self.progress.sent.byte
        ));
        // A Manager that refuses everything must not fill the disk.
        if self.refused_bytes < self.limits.segment_bytes {
            self.refused_bytes += chunk.text.len() as u64;
            let (file, text) = (path.clone(), chunk.text.clone());
            let kept = self
                .disk
                .run(move || disk::open_file(&file)?.write_all_at(text.as_bytes(), 0));
            if let Err(error) = kept {
                warn!(path = %path.display(), error = chain(&error), "cannot keep a chunk of log that was refused");
            }
        }
        // A note that is refused is not sent again: the Manager could have refused the update because of it.
        self.accepted(chunk);
        let tally = LogTally::of(lines);
        self.progress.refused.add(tally.missing());
        self.progress.lost.add(tally.lines);
    }

    /// It did not arrive; it will be the next chunk again, with what came since.
    pub(in crate::spool) fn give_back(&mut self, chunk: LogChunk) {
        self.buffer_lent = false;
        match chunk.origin {
            ChunkOrigin::Files(_) => {}
            ChunkOrigin::Memory => {
                let mut text = chunk.text.into_bytes();
                text.append(&mut self.buffer);
                self.buffer = text;
            }
        }
    }
}
