// SPDX-License-Identifier: GPL-3.0-or-later

//! Counts lines of a log, and writes the notes that stand where some are missing.

use serde::{Deserialize, Serialize};

/// How a note of ours in a log begins.
pub(super) const NOTE: &str = "[... ";

/// Lines of a log, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineCount {
    /// How many; one without its end counts.
    pub lines: u64,
    /// Their bytes, line ends included.
    pub bytes: u64,
}

impl LineCount {
    pub(super) fn add(&mut self, other: Self) {
        self.lines = self.lines.saturating_add(other.lines);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The line that stands in their place.
    pub(super) fn note(&self, why: &str) -> String {
        let line = if self.lines == 1 { "line" } else { "lines" };
        format!(
            "{NOTE}{} {line} ({} bytes) of this log are missing here: {why} ...]\n",
            self.lines, self.bytes
        )
    }

    /// What a note of ours stands for; `None` for any other line.
    fn noted(line: &[u8]) -> Option<Self> {
        let (lines, rest) = str::from_utf8(line).ok()?.strip_prefix(NOTE)?.split_once(' ')?;
        let (bytes, _) = rest.split_once('(')?.1.split_once(" bytes")?;
        Some(Self {
            lines: lines.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }
}

/// A text of a log, counted. Lines of a program have a prefix, so that none of them is taken for a note.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LogTally {
    /// Printed lines. One without its end counts, too.
    pub(super) lines: LineCount,
    /// What the notes in it say is missing.
    pub(super) noted: LineCount,
}

impl LogTally {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut tally = Self::default();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if let Some(noted) = LineCount::noted(line) {
                tally.noted.add(noted);
            } else if !line.starts_with(NOTE.as_bytes()) {
                let bytes = line.len() as u64;
                tally.lines.add(LineCount { lines: 1, bytes });
            }
        }
        tally
    }

    /// What is missing where this text is left out.
    pub(super) fn missing(&self) -> LineCount {
        let mut all = self.lines;
        all.add(self.noted);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_also_when_the_last_has_no_end() {
        let lines = |text: &[u8]| LogTally::of(text).lines;
        assert_eq!(lines(b""), LineCount { lines: 0, bytes: 0 });
        assert_eq!(lines(b"a\n\nb\n"), LineCount { lines: 3, bytes: 5 });
        assert_eq!(lines(b"a\nb"), LineCount { lines: 2, bytes: 3 });
    }

    #[test]
    fn a_note_counts_as_what_it_stands_for() {
        let (one, many) = (LineCount { lines: 1, bytes: 7 }, LineCount { lines: 9, bytes: 800 });
        let text = format!(
            "a\n{}[... the log ends ...]\n{}",
            one.note("why (2 bytes)"),
            many.note("x")
        );
        let tally = LogTally::of(text.as_bytes());
        assert_eq!(tally.lines, LineCount { lines: 1, bytes: 2 });
        assert_eq!(tally.noted, LineCount { lines: 10, bytes: 807 });
        assert_eq!(tally.missing(), LineCount { lines: 11, bytes: 809 });
    }
}
