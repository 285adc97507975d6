// SPDX-License-Identifier: GPL-3.0-or-later

//! Processes that outlived what they belonged to, as they are told to people.

use serde::{Deserialize, Serialize};

use super::procfs::ProcessStat;

/// The name of a process that is there, while `/proc` does not show it to us (`hidepid`).
const HIDDEN: &str = "a hidden process";

/// A process that outlived its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stray {
    /// Its process id, or 0 where it cannot be known.
    pub pid: i32,
    /// The name in `/proc/PID/comm`.
    pub name: String,
}

/// What outlived the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Strays {
    /// Those that were ended by us.
    pub ended: Vec<Stray>,
    /// Those that are still there: hung in the kernel, or another user's. The guard stays with them and tries on.
    pub unkillable: Vec<Stray>,
}

impl Stray {
    /// A process that `/proc` does not show.
    pub(super) fn hidden(pid: i32) -> Self {
        Self {
            pid,
            name: HIDDEN.to_owned(),
        }
    }
}

impl From<&ProcessStat> for Stray {
    fn from(stat: &ProcessStat) -> Self {
        Self {
            pid: stat.pid,
            name: stat.name.clone(),
        }
    }
}
