// SPDX-License-Identifier: GPL-3.0-or-later

//! One thing that is wrong, for the person who can repair it.

use std::fmt;

use super::location::Location;

/// One thing that is wrong, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    location: Option<Location>,
    what: String,
    advice: Option<String>,
}

impl Problem {
    /// A problem that is in no file so far, without advice.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            location: None,
            what: what.into(),
            advice: None,
        }
    }

    /// Says where it is.
    pub(crate) fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Says what to do about it.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Where it is, if it is in a file.
    pub(crate) fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }
}

/// `file:line:column: what` with the line under it; `{:#}` keeps to one line, for a log.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.what)?;
        match (&self.advice, f.alternate()) {
            (Some(advice), true) => write!(f, "; {advice}"),
            (None, true) => Ok(()),
            (advice, false) => {
                if let Some(location) = &self.location {
                    location.write_excerpt(f)?;
                }
                advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
            }
        }
    }
}
