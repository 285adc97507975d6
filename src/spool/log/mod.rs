// SPDX-License-Identifier: GPL-3.0-or-later

//! The log of one task: appended at one end, sent and forgotten at the other.
//!
//! ```text
//!  line ─► buffer ─► log-000007 (being written)
//!                    log-000006
//!                    gap-000003 (3 to 5 were dropped; says how much that was)
//!  sender ◄───────── log-000002 (sent up to a byte)
//! ```
//!
//! A segment holds whole lines only. Waiting ones are bounded: past that the second oldest is dropped, so
//! that the start of what waits and the newest stay. Every line printed is either kept or counted, once.

mod piece;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::count::{Count, Tally};
use super::disk;
use super::limits::Limits;
use crate::files::{self, Thread, is_full, is_standstill};

pub(super) use piece::Piece;
pub(super) use segments::{scan, stretches};

/// A line longer than this becomes several: no request may have to be longer than the Manager takes.
const LONGEST_LINE: usize = 64 << 10;
/// The buffer goes to the segment at this size. A write costs about as much as formatting 20 lines.
const WRITE_AT: usize = 128 << 10;

/// A segment has a few MB (see `Limits`); a task could have made it larger.
const LARGEST_SEGMENT: u64 = 256 << 20;

/// Why lines are missing where a segment was dropped.
const NOT_KEPT_UP: &str = "the Manager did not keep up";

/// How far the log was accepted by the Manager: all before this byte of this segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) byte: u64,
}

/// What is to be known of a log besides its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) sent: Position,
    /// The Manager refused these, and that is not said yet.
    #[serde(default)]
    pub(super) refused: Count,
    /// All that was printed.
    #[serde(default)]
    pub(super) said: Count,
    /// What of that the Manager does not get.
    #[serde(default)]
    pub(super) lost: Count,
}

/// What waits to be sent, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Segment { number: u32, bytes: u64 },
    Gap(Gap),
}

/// Dropped segments; stands as `gap-<first>` in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    first: u32,
    last: u32,
    missing: Count,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    /// Does what is to be done on the disk.
    disk: Thread,
    limits: Limits,
    progress: Progress,
    waiting: VecDeque<Part>,
    /// Segments that were sent; some stay for people to look at.
    kept: VecDeque<u32>,
    /// The last segment of `waiting`, when this process writes it.
    writing: Option<Arc<File>>,
    buffer: Vec<u8>,
    /// The disk did not take these.
    unkept: Count,
    failing: bool,
    printed: u64,
    /// Printed past the limit of the log.
    beyond: Count,
    /// Kept in files of their own; at most about a segment.
    refused_bytes: u64,
}

impl Log {
    /// The log of a new task.
    pub(super) fn new(folder: &Path, limits: &Limits, disk: Thread) -> Self {
        Self {
            folder: folder.to_owned(),
            disk,
            limits: limits.clone(),
            progress: Progress {
                sent: Position { segment: 1, byte: 0 },
                ..Progress::default()
            },
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
            writing: None,
            buffer: Vec::new(),
            unkept: Count::default(),
            failing: false,
            printed: 0,
            beyond: Count::default(),
            refused_bytes: 0,
        }
    }

    /// Adds one line, given in two parts without an end. Line ends inside make several lines of it.
    pub(super) fn append(&mut self, prefix: &str, text: &str) {
        if text.len() <= LONGEST_LINE && !text.as_bytes().contains(&b'\n') {
            return self.append_line(prefix, text);
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let mut rest = line.strip_suffix('\r').unwrap_or(line);
            while rest.len() > LONGEST_LINE {
                let (now, later) = rest.split_at(rest.floor_char_boundary(LONGEST_LINE));
                self.append_line(prefix, now);
                rest = later;
            }
            self.append_line(prefix, rest);
        }
    }

    fn append_line(&mut self, prefix: &str, text: &str) {
        let bytes = (prefix.len() + text.len() + 1) as u64;
        self.progress.said.add(Count { lines: 1, bytes });
        if self.printed + bytes > self.limits.task_log_bytes || !self.beyond.is_none() {
            self.count_beyond(bytes);
            return;
        }
        self.printed += bytes;
        self.push(&[prefix.as_bytes(), text.as_bytes(), b"\n"]);
    }

    fn push(&mut self, words: &[&[u8]]) {
        for word in words {
            self.buffer.extend_from_slice(word);
        }
        if self.buffer.len() >= WRITE_AT {
            self.write_out();
        }
    }

    fn count_beyond(&mut self, bytes: u64) {
        if self.beyond.is_none() {
            let limit = self.limits.task_log_bytes;
            let note = format!("[... the log of a task ends at {limit} bytes: what follows is only counted ...]\n");
            self.push(&[note.as_bytes()]);
        }
        self.beyond.add(Count { lines: 1, bytes });
        self.progress.lost.add(Count { lines: 1, bytes });
    }

    /// Nothing more will be printed: says what was only counted, and writes the rest.
    pub(super) fn close(&mut self) {
        if !self.beyond.is_none() {
            let note = std::mem::take(&mut self.beyond).note("it had reached its limit");
            self.push(&[note.as_bytes()]);
        }
        self.write_out();
        self.writing = None;
        self.buffer.shrink_to_fit();
    }

    /// The task runs again and goes on in the same log.
    pub(super) fn reopen(&mut self) {
        self.printed = 0;
    }

    /// Puts the buffer into the segment. What the disk does not take stays in the buffer, up to a bound,
    /// and is tried again with the next lines.
    pub(super) fn write_out(&mut self) {
        if self.buffer.is_empty() && self.unkept.is_none() {
            return;
        }
        let mut written = self.try_write_out();
        if written.as_ref().is_err_and(is_full) && self.forget_kept() {
            written = self.try_write_out();
        }
        match written {
            Ok(()) if self.failing => {
                self.failing = false;
                warn!(folder = %self.folder.display(), "the log can be written again");
            }
            Ok(()) => {}
            Err(error) => self.not_written(&error),
        }
    }

    fn try_write_out(&mut self) -> io::Result<()> {
        // Before the text is copied: each line comes here while the disk stands still.
        self.disk.ready()?;
        let note = match self.unkept.is_none() {
            true => String::new(),
            false => self.unkept.note("they could not be written to the disk of the worker"),
        };
        let text = [note.as_bytes(), &self.buffer].concat();
        let more = text.len() as u64;
        let (file, mut bytes) = self.segment_for(more)?;
        let (to, at, was_failing) = (Arc::clone(&file), bytes, self.failing);
        let written = self.disk.run(move || {
            if was_failing {
                // What came too late is here, and may have been sent from the buffer since.
                to.set_len(at)?;
            }
            // Half a write must not be there at the next start; a full disk still shortens files.
            to.write_all_at(&text, at).inspect_err(|_| drop(to.set_len(at)))
        });
        if written.is_ok() {
            bytes += more;
            self.unkept = Count::default();
            self.buffer.clear();
        }
        self.writing = Some(file);
        if let Some(Part::Segment { bytes: known, .. }) = self.waiting.back_mut() {
            *known = bytes;
        }
        written
    }

    fn not_written(&mut self, error: &io::Error) {
        if !self.failing {
            self.failing = true;
            warn!(folder = %self.folder.display(), %error, "cannot write the log of a task; will retry");
        }
        if self.buffer.len() > self.limits.buffer_bytes {
            let tally = Tally::of(&self.buffer);
            self.unkept.add(tally.missing());
            self.progress.lost.add(tally.lines);
            self.buffer.clear();
        }
    }

    /// The segment that is to take `more` bytes, and how long it is. Starts a new one where the last is full.
    fn segment_for(&mut self, more: u64) -> io::Result<(Arc<File>, u64)> {
        if let Some(Part::Segment { bytes, .. }) = self.waiting.back() {
            let fits = bytes + more <= self.limits.segment_bytes || *bytes == 0;
            if let Some(file) = self.writing.take_if(|_| fits) {
                return Ok((file, *bytes));
            }
        }
        // One that the disk did not take a byte of is begun again: it would be in the way of what comes behind it.
        if matches!(self.waiting.back(), Some(Part::Segment { bytes: 0, .. })) {
            self.waiting.pop_back();
        }
        let number = self.next_number();
        let path = segments::segment(&self.folder, number);
        let file = Arc::new(self.disk.run(move || disk::open_file(&path))?);
        self.writing = None;
        self.sent_up_to(self.progress.sent);
        self.waiting.push_back(Part::Segment { number, bytes: 0 });
        self.drop_second_oldest(self.limits.waiting_segments);
        Ok((file, 0))
    }

    fn next_number(&self) -> u32 {
        let last = match self.waiting.back() {
            Some(Part::Segment { number, .. }) => *number,
            Some(Part::Gap(gap)) => gap.last,
            None => self
                .kept
                .back()
                .copied()
                .unwrap_or(0)
                .max(match self.progress.sent.byte {
                    0 => self.progress.sent.segment.saturating_sub(1),
                    _ => self.progress.sent.segment,
                }),
        };
        last.saturating_add(1)
    }

    /// Makes room for what is worth more; false when it has none to give.
    pub(super) fn give_way(&mut self) -> bool {
        self.forget_kept() || self.drop_second_oldest(2)
    }

    /// Removes what was sent already.
    fn forget_kept(&mut self) -> bool {
        let any = !self.kept.is_empty();
        for number in std::mem::take(&mut self.kept) {
            self.remove(segments::segment(&self.folder, number));
        }
        any
    }

    fn remove(&self, path: PathBuf) {
        drop(self.disk.run(move || fs::remove_file(path)));
    }

    /// Holds waiting segments to `most`. The oldest stays (it may be on its way), the newest is being written.
    fn drop_second_oldest(&mut self, most: usize) -> bool {
        let segments: Vec<usize> = (0..self.waiting.len())
            .filter(|index| matches!(self.waiting.get(*index), Some(Part::Segment { .. })))
            .collect();
        if segments.len() <= most.max(2) {
            return false;
        }
        let Some(at) = segments.get(1).copied() else {
            return false;
        };
        let Some(Part::Segment { number, bytes }) = self.waiting.get(at).cloned() else {
            return false;
        };
        let path = segments::segment(&self.folder, number);
        let read = path.clone();
        let counted = self
            .disk
            .run(move || Ok(Tally::of(&files::read(&read, LARGEST_SEGMENT)?)));
        if counted.as_ref().is_err_and(is_standstill) {
            return false;
        }
        let tally = counted.unwrap_or_else(|_| Tally {
            lines: Count { lines: 0, bytes },
            ..Tally::default()
        });
        let missing = tally.missing();
        self.progress.lost.add(tally.lines);
        let mut gap = Gap {
            first: number,
            last: number,
            missing,
        };
        let mut absorbed = None;
        if let Some(Part::Gap(before)) = self.waiting.get(at - 1) {
            gap = Gap {
                first: before.first,
                last: number,
                missing: before.missing,
            };
            gap.missing.add(missing);
            absorbed = Some(at - 1);
        }
        // First the count, then the file: a start in between finds the file counted and removes it.
        let note = segments::gap(&self.folder, gap.first);
        let noted = self.disk.run(move || {
            if disk::replace(&note, &gap).is_err() {
                drop(fs::remove_file(&path));
                return disk::replace(&note, &gap);
            }
            fs::remove_file(&path)
        });
        if let Err(error) = noted {
            warn!(folder = %self.folder.display(), %error, "cannot note a gap in a log");
        }
        self.waiting[at] = Part::Gap(gap);
        if let Some(index) = absorbed {
            self.waiting.remove(index);
        }
        true
    }
}
