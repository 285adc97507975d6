// SPDX-License-Identifier: GPL-3.0-or-later

//! The text of a home's lock file: who holds the lock. It is only ever shown to people, and says nothing of the lock itself.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::kill;
use nix::unistd::{Pid, Whence, ftruncate, getpid, lseek, write};

use crate::config::hostname;
use crate::{clock, files};

/// The lock file in a home.
pub(super) const NAME: &str = "flamenco-worker.lock";

/// The line that a holder adds on its way out.
pub(super) const LEAVING: &str = "leaving: yes\n";

/// Far more than a holder writes; the file may be anything.
const MAX_BYTES: u64 = 4096;

/// Who holds a home, as the holder itself has written it into the lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockHolder {
    /// In that host's (or container's) own numbering.
    pub pid: i32,
    /// The name of its host.
    pub host: String,
    /// The kernel's `boot_id` of that host.
    pub boot: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// Of flamenco-worker.
    pub version: String,
    /// It is on its way out.
    pub leaving: bool,
}

impl LockHolder {
    /// This process.
    pub(super) fn ourselves() -> Self {
        Self {
            pid: getpid().as_raw(),
            host: hostname(),
            boot: clock::boot_id(),
            started: clock::timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leaving: false,
        }
    }

    /// Whether this holder runs on this host, as far as a name can tell.
    pub(crate) fn is_here(&self) -> bool {
        self.host == hostname()
    }

    /// Who has used the home `dir` last, by the text of its lock; the lock itself is left alone. `None` for a home
    /// that nobody used.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        Self::look(dir).ok().flatten()
    }

    /// Who has used the home `dir` last, as [`of`](Self::of).
    ///
    /// # Errors
    /// What the system says of the file, but that it is not there.
    pub(crate) fn look(dir: &Path) -> io::Result<Option<Self>> {
        match files::open(&dir.join(NAME)) {
            Ok(mut file) => Ok(Self::read(&mut file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a process with its pid runs on this host, and the host was not started anew since; the pid may have been given
    /// to another process. One that is dead, and that its parent has not waited for, does not run.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_here() && self.boot == clock::boot_id() && lives(self.pid)
    }

    /// Whether the process of that number holds the lock of `dir`: another process that has the number now, here or in
    /// another container, does not. What another user's worker holds is seen as well, where the home is open.
    ///
    /// What it has open says so for sure, and is shown to root: a worker is [closed](crate::process::close_to_others) to its own
    /// user. For anybody else the kernel's list of locks has to do.
    pub(crate) fn holds_lock(&self, dir: &Path) -> bool {
        let identity = |path: PathBuf| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let Some(lock) = identity(dir.join(NAME)) else {
            return false;
        };
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid));
        let files = open.into_iter().flatten().flatten();
        let seen: Vec<_> = files.filter_map(|entry| identity(entry.path())).collect();
        if !seen.is_empty() {
            return seen.contains(&lock);
        }
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.lines().any(|line| is_lock_of(line, self.pid, lock.1))
    }

    /// Writes the text of a holder in place of what is in the file. Whoever reads it meanwhile finds one or the other: a worker
    /// that goes on as its own successor is there all the time.
    pub(super) fn write(&self, file: &impl AsFd) -> io::Result<()> {
        let Self {
            pid,
            host,
            boot,
            started,
            version,
            leaving: _,
        } = self;
        let text = format!("pid: {pid}\nhost: {host}\nboot: {boot}\nstarted: {started}\nversion: {version}\n");
        let file = file.as_fd();
        lseek(file, 0, Whence::SeekSet)?;
        FdWriter(file).write_all(text.as_bytes())?;
        Ok(ftruncate(file, text.len() as i64)?)
    }

    pub(super) fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    /// Only a whole text: one may be looked at while it is written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix(key))?;
            line.strip_suffix('\n').map(str::to_owned)
        };
        Some(Self {
            // Others are no process, but many of them.
            pid: value("pid: ")?.parse().ok().filter(|pid| *pid > 0)?,
            host: value("host: ")?,
            boot: value("boot: ")?,
            started: value("started: ")?,
            version: value("version: ")?,
            leaving: text.ends_with(LEAVING),
        })
    }
}

/// Writes to a descriptor that is another's.
pub(super) struct FdWriter<'a>(pub(super) BorrowedFd<'a>);

impl Write for FdWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a line of `/proc/locks` (proc_locks(5)) is a lock that this process holds on this inode. The device is passed over:
/// that of a subvolume, or below an overlay, has another number here than in stat(2).
fn is_lock_of(line: &str, pid: i32, inode: u64) -> bool {
    // `1: FLOCK ADVISORY WRITE 4711 08:01:131 0 EOF`; who waits for one has an arrow behind the number.
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, holder, file, ..] = words[..] else {
        return false;
    };
    holder.parse() == Ok(pid)
        && file
            .rsplit(':')
            .next()
            .is_some_and(|number| number.parse() == Ok(inode))
}

/// The state of a process follows its name, which may have any character in it (proc_pid_stat(5)). Where `/proc` hides what is
/// closed to us (`hidepid`), that is a worker of our own user as well: one that is dead would be shown.
fn lives(pid: i32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
        return kill(Pid::from_raw(pid), None).is_ok();
    };
    let name_end = stat.iter().rposition(|byte| *byte == b')');
    name_end.is_some_and(|end| !matches!(stat.get(end + 2), None | Some(b'Z' | b'X' | b'x')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_from_other_locks_and_from_who_waits_for_it() {
        let held = "12: FLOCK  ADVISORY  WRITE 4711 00:2f:131 0 EOF";
        assert!(is_lock_of(held, 4711, 131));
        assert!(!is_lock_of(held, 471, 131) && !is_lock_of(held, 4711, 31));
        for other in [
            "12: -> FLOCK  ADVISORY  WRITE 4711 00:2f:131 0 EOF",
            "12: POSIX  ADVISORY  WRITE 4711 00:2f:131 0 EOF",
            "12: FLOCK",
            "",
        ] {
            assert!(!is_lock_of(other, 4711, 131), "{other}");
        }
    }
}
