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
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::HomeError;
use super::lock_holder::{LEAVING, LockHolder, NAME};
use super::owner::describe_owner;
use crate::chain::chain;
use crate::files;
use crate::handover::HandedFd;

/// The lock. Dropping it, and its clones, lets the home go.
#[derive(Debug, Clone)]
pub(super) struct HomeLock {
    file: Arc<File>,
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
        match LockHolder::ourselves().write(&mut file) {
            Ok(()) => {}
            // A full disk is not a reason to leave a render node idle: the lock holds without its text.
            Err(error) if files::is_full(&error) => {
                tracing::warn!(path = %path.display(), error = chain(&error), "cannot write the lock file");
                // What is there is another's.
                file.set_len(0).ok();
            }
            Err(source) => return Err(not_writable(path, source)),
        }
        Ok(LockAttempt::Ours(Self { file: Arc::new(file) }))
    }

    /// Goes on with a lock that was handed over. What its file says of us is made new, as far as that can be done.
    pub(super) fn take_over(handed: OwnedFd) -> Self {
        let mut file = File::from(handed);
        if let Err(error) = LockHolder::ourselves().write(&mut file) {
            tracing::debug!(error = chain(&error), "cannot write the lock file");
        }
        Self { file: Arc::new(file) }
    }

    /// The same lock, for whoever goes on with it.
    pub(super) fn hand_over(&self) -> io::Result<HandedFd> {
        HandedFd::of(&self.file)
    }

    /// Notes for a successor that this worker leaves, so that it waits for the lock.
    pub(super) fn note_leaving(&self) -> io::Result<()> {
        let mut file = self.file.as_ref();
        file.write_all(LEAVING.as_bytes())
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
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let we = LockHolder::ourselves();
        we.write(&mut file).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(LockHolder::parse(&text), Some(we.clone()));
        HomeLock { file: Arc::new(file) }.note_leaving().unwrap();
        let leaving = LockHolder::parse(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(leaving, Some(LockHolder { leaving: true, ..we }));
        for cut in 0..text.len() {
            assert_eq!(LockHolder::parse(&text[..cut]), None, "{cut}");
        }
    }
}
