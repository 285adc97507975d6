// SPDX-License-Identifier: GPL-3.0-or-later

//! Which line of a program's output says why it failed: the last that speaks of an error, or else the last.

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// How much of a line is looked at and kept, in bytes.
const LONGEST: usize = 300;

/// Words in lines that speak of an error, of Blender, Python, FFmpeg and the C library.
const TELLING: [&str; 5] = ["rror", "ERROR", "denied", "No such", "not found"];

/// In a line that Blender prints at its end, also after many a good render.
const USUAL: &str = "Not freed memory";

/// The line that says so, of the output so far.
#[derive(Debug)]
pub(super) struct ErrorLine {
    /// Built once: a program may print millions of lines.
    telling: [Finder<'static>; TELLING.len()],
    usual: Finder<'static>,
    line: String,
    /// Whether it speaks of an error.
    tells: bool,
}

/// What of it a successor has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HandedErrorLine {
    line: String,
    tells: bool,
}

impl Default for ErrorLine {
    fn default() -> Self {
        Self {
            telling: TELLING.map(Finder::new),
            usual: Finder::new(USUAL),
            line: String::new(),
            tells: false,
        }
    }
}

impl ErrorLine {
    pub(super) fn hand_over(self) -> HandedErrorLine {
        HandedErrorLine {
            line: self.line,
            tells: self.tells,
        }
    }

    pub(super) fn take_over(handed: HandedErrorLine) -> Self {
        Self {
            line: handed.line,
            tells: handed.tells,
            ..Self::default()
        }
    }

    /// Adds a line of output.
    pub(super) fn add(&mut self, line: &str) {
        let start = line.trim_start();
        let start = &start[..start.floor_char_boundary(LONGEST)];
        if start.is_empty() || self.usual.find(start.as_bytes()).is_some() {
            return;
        }
        let tells = self.telling.iter().any(|word| word.find(start.as_bytes()).is_some());
        if tells || !self.tells {
            self.tells = tells;
            self.line.clear();
            self.line.push_str(start.trim_end());
        }
    }

    /// The line that says best why the program failed; `None` of one that printed nothing.
    pub(super) fn line(&self) -> Option<&str> {
        Some(self.line.as_str()).filter(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let mut error_line = ErrorLine::default();
        lines.iter().for_each(|line| error_line.add(line));
        error_line.line().map(str::to_owned)
    }

    #[test]
    fn the_last_line_that_speaks_of_an_error_says_why_and_else_the_last() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["one", "two", "  "]).as_deref(), Some("two"));
        let blender = [
            "Blender 4.2.0",
            "Error: Cannot read file '/x.blend': No such file or directory",
            "Error: Not freed memory blocks: 2, total unfreed memory 0.001 MB",
            "Blender quit",
        ];
        assert_eq!(of(&blender).as_deref(), Some(blender[1]));
        let python = ["Traceback (most recent call last):", "  x", "KeyError: 'a'", "bye"];
        assert_eq!(of(&python).as_deref(), Some("KeyError: 'a'"));
        assert_eq!(of(&["ä".repeat(1000).as_str()]).map(|line| line.len()), Some(LONGEST));
    }
}
