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
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::HomeError;
use super::owner::describe_owner;
use crate::chain::chain;
use crate::config::hostname;
use crate::{clock, files};

pub(super) const NAME: &str = "flamenco-worker.lock";

/// The line that a holder adds on its way out.
const LEAVING: &str = "leaving: yes\n";

/// Far more than a holder writes; the file may be anything.
const MAX_BYTES: u64 = 4096;

/// The lock. Dropping it, and its clones, lets the home go.
#[derive(Debug, Clone)]
pub(super) struct HomeLock {
    file: Arc<File>,
}

/// Who holds a home, as the holder itself has written it into the lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// In that host's (or container's) own numbering.
    pub pid: i32,
    pub host: String,
    /// The kernel's `boot_id` of that host.
    pub boot: String,
    /// When it started, RFC 3339.
    pub started: String,
    pub version: String,
    /// It is on its way out.
    pub leaving: bool,
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
            }
            Err(source) => return Err(not_writable(path, source)),
        }
        Ok(LockAttempt::Ours(Self { file: Arc::new(file) }))
    }

    /// Notes for a successor that this worker leaves, so that it waits for the lock.
    pub(super) fn note_leaving(&self) -> io::Result<()> {
        let mut file = self.file.as_ref();
        file.write_all(LEAVING.as_bytes())
    }
}

impl LockHolder {
    fn ourselves() -> Self {
        Self {
            pid: nix::unistd::getpid().as_raw(),
            host: hostname(),
            boot: clock::boot_id(),
            started: clock::timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leaving: false,
        }
    }

    /// Whether this holder runs on this host, as far as a name can tell.
    pub fn is_here(&self) -> bool {
        self.host == hostname()
    }

    /// Who has used the home `dir` last, by the text of its lock; the lock itself is left alone. `None` for a home
    /// that nobody used.
    pub fn of(dir: &Path) -> Option<Self> {
        Self::read(&mut files::open(&dir.join(NAME)).ok()?)
    }

    /// Whether a process with its pid runs on this host, and the host was not started anew since; the pid may have been given
    /// to another process.
    pub fn is_alive(&self) -> bool {
        self.is_here() && self.boot == clock::boot_id() && Path::new("/proc").join(self.pid.to_string()).exists()
    }

    /// Whether the process of that number has the lock file of `dir` open: another process that has the number now, here or
    /// in another container, does not. Another user's files cannot be seen.
    pub fn has_open(&self, dir: &Path) -> bool {
        let identity = |path: PathBuf| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let Some(lock) = identity(dir.join(NAME)) else {
            return false;
        };
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid));
        let mut files = open.into_iter().flatten().flatten();
        files.any(|entry| identity(entry.path()) == Some(lock))
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        let Self {
            pid,
            host,
            boot,
            started,
            version,
            leaving: _,
        } = self;
        file.set_len(0)?;
        file.rewind()?;
        write!(
            file,
            "pid: {pid}\nhost: {host}\nboot: {boot}\nstarted: {started}\nversion: {version}\n"
        )
    }

    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    /// Only a whole text: one may be looked at while it is written.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix(key))?;
            line.strip_suffix('\n').map(str::to_owned)
        };
        Some(Self {
            pid: value("pid: ")?.parse().ok()?,
            host: value("host: ")?,
            boot: value("boot: ")?,
            started: value("started: ")?,
            version: value("version: ")?,
            leaving: text.ends_with(LEAVING),
        })
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
