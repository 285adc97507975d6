// SPDX-License-Identifier: GPL-3.0-or-later

//! How readily the kernel ends the program when memory is short: a value that children inherit, and that the guard has for
//! as long as it forks (proc_pid_oom_score_adj(5)).
//!
//! The program cannot set it itself. Between fork and exec it is as [closed](crate::process::close_to_others) as the guard is,
//! and only root writes to its files in `/proc`.

use std::fs::{self, File};
use std::io::Write;

/// In `/proc`; of the guard.
const FILE: &str = "/proc/self/oom_score_adj";

/// The guard's own score.
#[derive(Debug)]
pub(super) struct OomScore {
    /// `None` where it cannot be written: then the program has that of the guard.
    file: Option<File>,
    own: String,
}

impl OomScore {
    /// To be called before the guard is closed to others.
    pub(super) fn open() -> Self {
        Self {
            file: File::options().write(true).open(FILE).ok(),
            own: fs::read_to_string(FILE).unwrap_or_default(),
        }
    }

    /// Sets the guard's score as far as that is allowed: one below the worker's own takes a privilege.
    pub(super) fn set(&self, score: i32) {
        self.write(&score.to_string());
    }

    /// Sets it as it was. A process that was forked meanwhile may call it as well: it is the guard's score, too, that is set
    /// by it.
    pub(super) fn reset(&self) {
        self.write(&self.own);
    }

    fn write(&self, score: &str) {
        if let Some(mut file) = self.file.as_ref() {
            file.write_all(score.as_bytes()).ok();
        }
    }
}
