// SPDX-License-Identifier: GPL-3.0-or-later

//! Why a report cannot be kept.

use std::io;
use std::path::PathBuf;

/// Why something cannot be kept in the spool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The folder of the spool cannot be made, read or written.
    #[error("cannot use the spool folder {}", path.display())]
    Folder {
        /// The folder of the spool.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder of a task cannot be made: a full disk, most likely.
    #[error("cannot make a folder for the task in {}", path.display())]
    Task {
        /// The folder of the spool.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Too much waits already.
    #[error("{waiting} MB of log wait for the Manager; no new task begins above {most} MB")]
    TooMuchWaits {
        /// MB of log.
        waiting: u64,
        /// MB of log that may wait.
        most: u64,
    },
    /// The disk is nearly full.
    #[error("only {free} MB are free at {}; {least} MB are needed", path.display())]
    NoRoom {
        /// The folder of the spool.
        path: PathBuf,
        /// MB.
        free: u64,
        /// MB that are needed.
        least: u64,
    },
    /// An outcome of the task with this id waits already. One that was set aside waits again from now on.
    #[error("an outcome of task {0} waits to be delivered")]
    Held(String),
}
