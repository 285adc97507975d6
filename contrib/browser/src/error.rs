// SPDX-License-Identifier: GPL-3.0-or-later
//! What can go wrong between a test and the page it looks at.

use std::io;

/// A step that could not be taken.
#[derive(Debug)]
pub enum Error {
    /// `chromedriver` did not start, or ended without a word about its port.
    Start(io::Error),
    /// No answer, or one that is not HTTP with JSON.
    Talk(io::Error),
    /// WebDriver's own refusal: `no such element`, `javascript error`.
    Refused {
        step: String,
        error: String,
        message: String,
    },
    /// A fact that did not come in time, and what the page showed instead.
    InVain { what: String, page: String },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(_) => f.write_str("cannot start chromedriver"),
            Self::Talk(_) => f.write_str("cannot talk to chromedriver"),
            Self::Refused { step, error, message } => write!(f, "{step}: {error}: {message}"),
            Self::InVain { what, page } => write!(f, "waited in vain for {what}; the page shows:\n{page}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(why) | Self::Talk(why) => Some(why),
            Self::Refused { .. } | Self::InVain { .. } => None,
        }
    }
}
