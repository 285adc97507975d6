// SPDX-License-Identifier: GPL-3.0-or-later

//! One worker per home.
//!
//! The kernel's lock says whether the home is in use, and it goes with the process however that ends; what
//! the file says is only ever shown to people. The lock is `flock`'s: it belongs to the open file, works
//! over NFS (there the client asks the server for it) and does not vanish when some other code in this
//! process closes the same file, as a POSIX lock does. The file is opened close-on-exec, so that no
//! program of a task can hold the home after the worker. It is never removed: a name that comes and goes
//! lets two workers lock two files.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::HomeError;
use super::lock_holder::{FdWriter, LEAVING, LockHolder, NAME};
use super::owner::describe_owner;
use crate::chain::chain;
use crate::files;
use crate::handover::HandedFd;

/// The lock. Dropping it, and its clones, lets the home go. It can always travel: that takes no descriptor that there may not
/// be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct HomeLock {
    file: HandedFd,
}

/// What came of an attempt to take the lock.
#[derive(Debug)]
pub(super) enum LockAttempt {
    Ours(HomeLock),
    Held(Option<LockHolder>),
}

impl HomeLock {
    /// Tries once. Never waits for the holder.
    pub(super) fn take(dir: &Path) -> Result<LockAttempt, HomeError> {
        let path = dir.join(NAME);
        let not_writable = |path: PathBuf, source: io::Error| HomeError::NotWritable {
            described: describe_owner(if path.exists() { &path } else { dir }),
            path,
            source,
        };
        // Writable, because over NFS an exclusive lock asks for that. The standard library sets O_CLOEXEC.
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = files::open_with(&path, &mut options).map_err(|source| not_writable(path.clone(), source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(LockAttempt::Held(LockHolder::read(&mut file))),
            Err(TryLockError::Error(source)) => return Err(HomeError::NoLocks { path, source }),
        }
        match LockHolder::ourselves().write(&file) {
            Ok(()) => {}
            // A full disk is not a reason to leave a render node idle: the lock holds without its text.
            Err(error) if files::is_full(&error) => {
                tracing::warn!(path = %path.display(), error = chain(&error), "cannot write the lock file");
                // What is there is another's.
                file.set_len(0).ok();
            }
            Err(source) => return Err(not_writable(path, source)),
        }
        let file = OwnedFd::from(file).into();
        Ok(LockAttempt::Ours(Self { file }))
    }

    /// Makes anew what the file says of us.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn note_holder(&self) -> io::Result<()> {
        LockHolder::ourselves().write(&self.file)
    }

    /// What stays open over an exec.
    pub(super) fn descriptor(&self) -> &HandedFd {
        &self.file
    }

    /// Notes for a successor that this worker leaves, so that it waits for the lock.
    pub(super) fn note_leaving(&self) -> io::Result<()> {
        FdWriter(self.file.as_fd()).write_all(LEAVING.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_back_and_half_of_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "x".repeat(1000)).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let we = LockHolder::ourselves();
        we.write(&file).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(LockHolder::parse(&text), Some(we.clone()));
        HomeLock {
            file: OwnedFd::from(file).into(),
        }
        .note_leaving()
        .unwrap();
        let leaving = LockHolder::parse(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(leaving, Some(LockHolder { leaving: true, ..we }));
        for cut in 0..text.len() {
            assert_eq!(LockHolder::parse(&text[..cut]), None, "{cut}");
        }
    }
}
