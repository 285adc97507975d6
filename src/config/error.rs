// SPDX-License-Identifier: GPL-3.0-or-later

//! What is wrong with a configuration.

use crate::document::Problem;

/// The configuration cannot be used. Everything that is wrong in one file is reported at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub(crate) struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    fn text(&self) -> String {
        let texts: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

/// Something that the operator should know of and that the worker can live with. `{:#}` keeps it to one line.
pub(crate) type Warning = Problem;
