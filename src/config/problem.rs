// SPDX-License-Identifier: GPL-3.0-or-later

//! Where a setting came from, and what is wrong with it: file, line, column, the line itself, what to do.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    /// The variable's name.
    Environment(&'static str),
    /// The line counts from 1.
    File {
        path: PathBuf,
        line: usize,
    },
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A file and what it says.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A place in a file, ready to be shown. Line and column count from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub line: usize,
    pub column: usize,
    /// The line, and how many of its characters are meant. `None` where it may hold a secret.
    excerpt: Option<(String, usize)>,
}

/// Longest piece of a line that is shown: a terminal's width, less the margin.
const EXCERPT_CHARS: usize = 72;

impl Source {
    /// The place of these bytes.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let text = self.text.as_str();
        let start = floor_char(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let meant = floor_char(text, span.end.clamp(start, line_end));
        Place {
            path: self.path.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            excerpt: Some((
                text[line_start..line_end].trim_end_matches('\r').to_owned(),
                text[start..meant].chars().count().max(1),
            )),
        }
    }

    /// The same without the line's text.
    pub(crate) fn place_of_secret(&self, span: &Range<usize>) -> Place {
        Place {
            excerpt: None,
            ..self.place(span)
        }
    }

    /// For settings that are fine.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::File {
            path: self.path.clone(),
            line: self.place(span).line,
        }
    }
}

fn floor_char(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

impl Place {
    /// The line with a caret under what is meant.
    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            .chain(std::iter::repeat(' '))
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

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    place: Option<Place>,
    what: String,
    advice: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            place: None,
            what: what.into(),
            advice: None,
        }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Where, if it is in a file.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

/// `file:line:column: what` with the line under it; `{:#}` keeps to one line, for a log.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        match (&self.advice, f.alternate()) {
            (Some(advice), true) => write!(f, "; {advice}"),
            (None, true) => Ok(()),
            (advice, false) => {
                if let Some(place) = &self.place {
                    place.write_excerpt(f)?;
                }
                advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
            }
        }
    }
}

/// The configuration cannot be used. Everything that is wrong in one file is told at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    fn text(&self) -> String {
        let texts: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }

    /// All of it in one line, for a log.
    pub(crate) fn line(&self) -> String {
        let texts: Vec<String> = self.problems.iter().map(|problem| format!("{problem:#}")).collect();
        texts.join("; ")
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

/// What the operator should know of, and the worker can live with. `{:#}` keeps to one line.
pub type Warning = Problem;

/// The one of `known` that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).clamp(1, 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
