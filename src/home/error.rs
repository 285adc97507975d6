// SPDX-License-Identifier: GPL-3.0-or-later

//! Why a home cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::lock_holder::LockHolder;

/// The home cannot be used. All but [`InUse`](Self::InUse) and [`Copied`](Self::Copied) are for the operator to
/// repair (exit code 78).
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// Neither a setting nor a user's home directory to derive one from.
    #[error("there is no place for this worker's home: set FLAMENCO_HOME to a directory it can write to")]
    NoPlace,
    /// The directory, or one above it, cannot be made.
    #[error("cannot create the home {path}: create it for this user, or set FLAMENCO_HOME ({described})", path = .path.display())]
    Create {
        /// The home.
        path: PathBuf,
        /// The nearest directory that exists: its owner and mode, and who we are.
        described: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something else has the name of the directory.
    #[error("the home {path} is not a directory; move it away, or set FLAMENCO_HOME", path = .0.display())]
    NotADirectory(PathBuf),
    /// The directory, or a file of ours in it, cannot be written.
    #[error("cannot write to the home: give it to this user, or set FLAMENCO_HOME ({described})")]
    NotWritable {
        /// The directory, or the file in it that is in the way.
        path: PathBuf,
        /// Its owner and mode, and who we are.
        described: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another worker uses this home. Exit code 75.
    #[error("{}", in_use(.dir, .holder.as_deref()))]
    InUse {
        /// The home.
        dir: PathBuf,
        /// `None` when the file does not say: a file system that hides it, or a start a moment ago.
        holder: Option<Box<LockHolder>>,
    },
    /// There can be no more threads.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Another worker of this host has the same credentials. Exit code 75.
    #[error(
        "another worker of this host, with process id {pid}, is the one of the credentials in {dir}, as after a copy of \
         its home: both would be one worker to the Manager. Delete {credentials} and start again, and it registers as a \
         worker of its own; or stop the other one",
        dir = .dir.display(), credentials = .credentials.display()
    )]
    Copied {
        /// The home.
        dir: PathBuf,
        /// The file of the credentials in it.
        credentials: PathBuf,
        /// Of the other worker; 0 where it has no number here.
        pid: i32,
    },
    /// No lock can be taken. ENOLCK and the like: an NFS mount without a lock daemon, or with `nolock` on the server's side.
    #[error("the file system of {path} has no locks; set FLAMENCO_HOME to a directory on a local disk", path = .path.display())]
    NoLocks {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn in_use(dir: &Path, holder: Option<&LockHolder>) -> String {
    let dir = dir.display();
    match holder {
        None => format!("another worker uses the home {dir}; stop it, or set FLAMENCO_HOME"),
        Some(other) if other.is_here() => format!(
            "another worker, with process id {}, uses the home {dir}; stop it, or give this one its own FLAMENCO_HOME",
            other.pid
        ),
        Some(other) => format!(
            "a worker on {}, with process id {} there, uses the home {dir}; set FLAMENCO_HOME to a directory of its \
             own on each node",
            other.host, other.pid
        ),
    }
}
