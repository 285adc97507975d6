// SPDX-License-Identifier: GPL-3.0-or-later

//! The writer's end of a log: lines come into the buffer, and from there into segments.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::parts::{Gap, LogPart, gap_file, segment_file};
use crate::chain::chain;
use crate::files::{self, Thread, is_full, is_shortage, is_standstill};
use crate::spool::disk;
use crate::spool::limits::Limits;
use crate::spool::line_count::{LineCount, LogTally};
use crate::spool::progress::{LogPosition, LogProgress};

/// A line longer than this becomes several: no request may have to be longer than the Manager takes.
pub(super) const LONGEST_LINE: usize = 64 << 10;
/// The buffer goes to the segment at this size. A write costs about as much as formatting 20 lines.
const WRITE_AT: usize = 128 << 10;

/// A segment has a few MB (see `Limits`); a task could have made it larger.
const LARGEST_SEGMENT: u64 = 256 << 20;

/// Why lines are missing that are neither on the disk nor in the buffer.
pub(super) const NOT_WRITTEN: &str = "they could not be written to the disk of the worker";

/// The log of one task, on disk and in the buffer.
#[derive(Debug)]
pub(in crate::spool) struct SegmentedLog {
    pub(super) folder: PathBuf,
    /// Does what is to be done on the disk.
    pub(super) disk: Thread,
    pub(super) limits: Limits,
    pub(super) progress: LogProgress,
    pub(super) waiting: VecDeque<LogPart>,
    /// Segments that were sent; some stay for people to look at.
    pub(super) kept: VecDeque<u32>,
    /// The last segment of `waiting`, when this process writes it.
    pub(super) writing: Option<Arc<File>>,
    /// That segment was written by the process that handed the log over: it is opened again for the next lines.
    pub(super) was_writing: bool,
    /// Lines that are not in a segment yet.
    pub(super) buffer: Vec<u8>,
    /// The disk did not take these.
    pub(super) unkept: LineCount,
    /// The start of the buffer is on its way to the Manager: what came behind it must not be written ahead of it.
    pub(super) buffer_lent: bool,
    /// The last write failed.
    pub(super) failing: bool,
    /// Bytes that were printed in this run.
    pub(super) run_bytes: u64,
    /// Printed past the limit of the log.
    pub(super) beyond: LineCount,
    /// Kept in files of their own; at most about a segment.
    pub(super) refused_bytes: u64,
}

impl SegmentedLog {
    /// The log of a new task.
    pub(in crate::spool) fn new(folder: &Path, limits: &Limits, disk: Thread) -> Self {
        Self {
            folder: folder.to_owned(),
            disk,
            limits: limits.clone(),
            progress: LogProgress {
                sent: LogPosition { segment: 1, byte: 0 },
                ..LogProgress::default()
            },
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
            writing: None,
            was_writing: false,
            buffer: Vec::new(),
            unkept: LineCount::default(),
            buffer_lent: false,
            failing: false,
            run_bytes: 0,
            beyond: LineCount::default(),
            refused_bytes: 0,
        }
    }

    /// Adds one line, given in two parts without an end. Line ends inside make several lines of it.
    pub(in crate::spool) fn append(&mut self, prefix: &str, text: &str) {
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
        self.progress.printed.add(LineCount { lines: 1, bytes });
        if self.run_bytes + bytes > self.limits.task_log_bytes || !self.beyond.is_none() {
            self.count_beyond(bytes);
            return;
        }
        self.run_bytes += bytes;
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
        self.beyond.add(LineCount { lines: 1, bytes });
        self.progress.lost.add(LineCount { lines: 1, bytes });
    }

    /// Nothing more will be printed: says what was only counted, and writes the rest.
    pub(in crate::spool) fn close(&mut self) {
        if !self.beyond.is_none() {
            let note = mem::take(&mut self.beyond).note("it had reached its limit");
            self.push(&[note.as_bytes()]);
        }
        self.write_out();
        (self.writing, self.was_writing) = (None, false);
        self.buffer.shrink_to_fit();
    }

    /// The task runs again and goes on in the same log.
    pub(in crate::spool) fn reopen(&mut self) {
        self.run_bytes = 0;
    }

    /// Puts the buffer into the segment. What the disk does not take stays in the buffer, up to a bound,
    /// and is tried again with the next lines.
    pub(in crate::spool) fn write_out(&mut self) {
        if self.buffer.is_empty() && self.unkept.is_none() {
            return;
        }
        if self.buffer_lent {
            return self.bound_buffer();
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
            false => self.unkept.note(NOT_WRITTEN),
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
            to.write_all_at(&text, at).inspect_err(|_| {
                to.set_len(at).ok();
            })
        });
        if written.is_ok() {
            bytes += more;
            self.unkept = LineCount::default();
            self.buffer.clear();
        }
        self.writing = Some(file);
        if let Some(LogPart::Segment { bytes: known, .. }) = self.waiting.back_mut() {
            *known = bytes;
        }
        written
    }

    fn not_written(&mut self, error: &io::Error) {
        if !self.failing {
            self.failing = true;
            warn!(folder = %self.folder.display(), error = chain(error), "cannot write the log of a task; will retry");
        }
        self.bound_buffer();
    }

    fn bound_buffer(&mut self) {
        if self.buffer.len() > self.limits.buffer_bytes {
            let tally = LogTally::of(&self.buffer);
            self.unkept.add(tally.missing());
            self.progress.lost.add(tally.lines);
            self.buffer.clear();
        }
    }

    /// The segment that is to take `more` bytes, and how long it is. Starts a new one where the last is full.
    fn segment_for(&mut self, more: u64) -> io::Result<(Arc<File>, u64)> {
        if let Some(LogPart::Segment { number, bytes }) = self.waiting.back() {
            let (number, bytes) = (*number, *bytes);
            let fits = bytes + more <= self.limits.segment_bytes || bytes == 0;
            if self.was_writing && fits {
                self.open_again(number, bytes)?;
            }
            if let Some(file) = self.writing.take_if(|_| fits) {
                return Ok((file, bytes));
            }
        }
        // One that the disk did not take a byte of is begun again: it would be in the way of what comes behind it.
        if matches!(self.waiting.back(), Some(LogPart::Segment { bytes: 0, .. })) {
            self.waiting.pop_back();
        }
        let number = self.next_number();
        let path = segment_file(&self.folder, number);
        let file = Arc::new(self.disk.run(move || disk::open_file(&path))?);
        (self.writing, self.was_writing) = (None, false);
        self.sent_up_to(self.progress.sent);
        self.waiting.push_back(LogPart::Segment { number, bytes: 0 });
        self.drop_second_oldest(self.limits.waiting_segments);
        Ok((file, 0))
    }

    pub(super) fn next_number(&self) -> u32 {
        let last = match self.waiting.back() {
            Some(LogPart::Segment { number, .. }) => *number,
            Some(LogPart::Gap(gap)) => gap.last,
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
    pub(in crate::spool) fn give_way(&mut self) -> bool {
        self.forget_kept() || self.drop_second_oldest(2)
    }

    /// Removes what was sent already.
    fn forget_kept(&mut self) -> bool {
        let any = !self.kept.is_empty();
        for number in mem::take(&mut self.kept) {
            self.remove(segment_file(&self.folder, number));
        }
        any
    }

    pub(super) fn remove(&self, path: PathBuf) {
        // A file that stays does no harm: a later start passes over it.
        self.disk.run(move || fs::remove_file(path)).ok();
    }

    /// Holds waiting segments to `most`. The oldest stays (it may be on its way), the newest is being written.
    fn drop_second_oldest(&mut self, most: usize) -> bool {
        let segments: Vec<usize> = (0..self.waiting.len())
            .filter(|index| matches!(self.waiting.get(*index), Some(LogPart::Segment { .. })))
            .collect();
        if segments.len() <= most.max(2) {
            return false;
        }
        let Some(at) = segments.get(1).copied() else {
            return false;
        };
        let Some(LogPart::Segment { number, bytes }) = self.waiting.get(at).cloned() else {
            return false;
        };
        let path = segment_file(&self.folder, number);
        let read = path.clone();
        let counted = self
            .disk
            .run(move || Ok(LogTally::of(&files::read(&read, LARGEST_SEGMENT)?)));
        if counted
            .as_ref()
            .is_err_and(|error| is_standstill(error) || is_shortage(error))
        {
            return false;
        }
        let tally = counted.unwrap_or_else(|_| LogTally {
            lines: LineCount { lines: 0, bytes },
            ..LogTally::default()
        });
        let missing = tally.missing();
        self.progress.lost.add(tally.lines);
        let mut gap = Gap {
            first: number,
            last: number,
            missing,
        };
        let mut absorbed = None;
        if let Some(LogPart::Gap(before)) = self.waiting.get(at - 1) {
            gap = Gap {
                first: before.first,
                last: number,
                missing: before.missing,
            };
            gap.missing.add(missing);
            absorbed = Some(at - 1);
        }
        // First the count, then the file: a start in between finds the file counted and removes it.
        let note = gap_file(&self.folder, gap.first);
        let noted = self.disk.run(move || {
            if disk::replace(&note, &gap).is_err() {
                // There is no room for the count: the file makes some.
                fs::remove_file(&path).ok();
                return disk::replace(&note, &gap);
            }
            fs::remove_file(&path)
        });
        if let Err(error) = noted {
            warn!(folder = %self.folder.display(), error = chain(&error), "cannot note a gap in a log");
        }
        self.waiting[at] = LogPart::Gap(gap);
        if let Some(index) = absorbed {
            self.waiting.remove(index);
        }
        true
    }

    pub(super) fn sent_up_to(&mut self, to: LogPosition) {
        self.progress.sent = to;
        while let Some(part) = self.waiting.front() {
            match *part {
                LogPart::Gap(Gap { first, last, .. }) if last < to.segment => {
                    self.remove(gap_file(&self.folder, first));
                }
                LogPart::Segment { number, bytes }
                    if number < to.segment || (number == to.segment && bytes <= to.byte) =>
                {
                    let may_grow = self.waiting.len() == 1 && (self.writing.is_some() || self.was_writing);
                    if may_grow {
                        return;
                    }
                    self.keep_some(number);
                }
                LogPart::Gap(_) | LogPart::Segment { .. } => return,
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
            self.remove(segment_file(&self.folder, second));
        }
    }
}
