// SPDX-License-Identifier: GPL-3.0-or-later

//! A file and the places in it, as they are shown: `file:line:column`, and the line with a caret below.

use std::fmt;
use std::iter::repeat;
use std::ops::Range;
use std::path::PathBuf;

/// A file with its text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

/// A place in a file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The file.
    pub path: PathBuf,
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1, in characters.
    pub column: usize,
    /// The text of the line, and how many of its characters are meant. `None` where the line may hold a secret.
    excerpt: Option<(String, usize)>,
}

/// Longest piece of a line that is shown: a terminal's width, less the margin.
const EXCERPT_CHARS: usize = 72;

impl SourceFile {
    /// Where these bytes are.
    pub(crate) fn location(&self, span: &Range<usize>) -> Location {
        let text = self.text.as_str();
        let start = floor_char(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let meant = floor_char(text, span.end.clamp(start, line_end));
        Location {
            path: self.path.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            excerpt: Some((
                text[line_start..line_end].trim_end_matches('\r').to_owned(),
                text[start..meant].chars().count().max(1),
            )),
        }
    }

    /// Where these bytes are, without the text of the line, which may hold a secret.
    pub(crate) fn location_of_secret(&self, span: &Range<usize>) -> Location {
        Location {
            excerpt: None,
            ..self.location(span)
        }
    }
}

/// The start of the character that the byte at `at` belongs to.
fn floor_char(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

impl Location {
    /// The line with a caret under what is meant.
    pub(super) fn write_excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, width)) = &self.excerpt else {
            return Ok(());
        };
        // A long line is shown around the place; a tab in the margin stays one, so that the caret fits.
        let skipped = (self.column + 8).saturating_sub(EXCERPT_CHARS);
        let shown: String = line.chars().skip(skipped).take(EXCERPT_CHARS).collect();
        let before = self.column - 1 - skipped.min(self.column - 1);
        let margin: String = shown
            .chars()
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .chain(repeat(' '))
            .take(before)
            .collect();
        let carets = "^".repeat((*width).min(EXCERPT_CHARS.saturating_sub(before).max(1)));
        let number = self.line.to_string();
        let visible = shown.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
        write!(
            f,
            "\n  {number} | {visible}\n  {:1$} | {margin}{carets}",
            "",
            number.len()
        )
    }
}
