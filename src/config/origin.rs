// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the value of a key comes from.

use std::fmt;
use std::path::PathBuf;

/// Where the value of a key was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettingOrigin {
    /// An argument.
    CommandLine,
    /// The variable's name.
    Environment(&'static str),
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
    },
    /// It is not set anywhere.
    Default,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
