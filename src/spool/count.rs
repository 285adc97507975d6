// SPDX-License-Identifier: GPL-3.0-or-later

//! Lines, counted; and how it is said in a log that some are missing.

use serde::{Deserialize, Serialize};

/// Lines and bytes, line ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub lines: u64,
    pub bytes: u64,
}

impl Count {
    /// Counts a text of lines; one without its end counts as one.
    pub(super) fn of(text: &[u8]) -> Self {
        let ends = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        let open = u64::from(text.last().is_some_and(|byte| *byte != b'\n'));
        Self {
            lines: ends + open,
            bytes: text.len() as u64,
        }
    }

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
            "[... {} {line} ({} bytes) of this log are missing here: {why} ...]\n",
            self.lines, self.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_also_when_the_last_has_no_end() {
        assert_eq!(Count::of(b""), Count { lines: 0, bytes: 0 });
        assert_eq!(Count::of(b"a\n\nb\n"), Count { lines: 3, bytes: 5 });
        assert_eq!(Count::of(b"a\nb"), Count { lines: 2, bytes: 3 });
    }
}
