// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker drain | sleep | wake | stop`: tells the worker of a home what to do, with the signal that means it.
//!
//! ```text
//! home ─► its lock: held? by whom? ─► that process, if it has the lock file open ◄── signal
//! ```
//!
//! Nothing is sent on a guess: a number in a file may belong to somebody else by now, or to another container.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::{self, Held};

/// What a worker can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Finish the running task, then leave.
    Drain,
    /// Take no new task until woken.
    Sleep,
    Wake,
    /// End the running task, give it back, leave.
    Stop,
}

impl Command {
    fn signal(self) -> Signal {
        match self {
            Self::Drain => Signal::SIGQUIT,
            Self::Sleep => Signal::SIGUSR1,
            Self::Wake => Signal::SIGUSR2,
            Self::Stop => Signal::SIGTERM,
        }
    }
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no worker uses the home {}; for another one set FLAMENCO_HOME, or --config as the worker has it", .0.display())]
    NotRunning(PathBuf),
    #[error("a worker is starting in the home {}: try again", .0.display())]
    Nameless(PathBuf),
    #[error("the home {} is used by a worker on {host} (pid {pid} there): tell it on that host", dir.display())]
    Elsewhere { dir: PathBuf, host: String, pid: i32 },
    #[error("the worker of {} has pid {pid} in a container, or belongs to another user: tell it from there", dir.display())]
    OutOfSight { dir: PathBuf, pid: i32 },
    #[error("cannot look at the lock of the home {}", dir.display())]
    Lock {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot signal the worker (pid {pid})")]
    Signal {
        pid: i32,
        #[source]
        source: Errno,
    },
}

/// Sends the signal, and returns whom it was sent to.
///
/// # Errors
/// [`ControlError`]: then nobody was told anything.
pub fn tell(dir: &Path, command: Command) -> Result<Pid, ControlError> {
    let dir_owned = || dir.to_owned();
    let held = home::held(dir).or_else(|source| match source.kind() {
        io::ErrorKind::NotFound => Ok(Held::Nobody),
        _ => Err(ControlError::Lock {
            dir: dir_owned(),
            source,
        }),
    })?;
    let holder = match held {
        Held::Nobody => return Err(ControlError::NotRunning(dir_owned())),
        Held::Nameless => return Err(ControlError::Nameless(dir_owned())),
        Held::By(holder) => holder,
    };
    let pid = holder.pid;
    if !holder.is_here() {
        return Err(ControlError::Elsewhere {
            dir: dir_owned(),
            host: holder.host,
            pid,
        });
    }
    if !holder.has_open(dir) {
        return Err(ControlError::OutOfSight { dir: dir_owned(), pid });
    }
    let pid = Pid::from_raw(pid);
    kill(pid, command.signal()).map_err(|source| ControlError::Signal {
        pid: pid.as_raw(),
        source,
    })?;
    Ok(pid)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_home_without_a_worker_is_named_and_nobody_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let said = tell(dir.path(), Command::Drain).unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("no worker uses the home {}", dir.path().display())),
            "{said}"
        );
        fs::write(dir.path().join("flamenco-worker.lock"), "pid: 1\n").unwrap();
        assert!(matches!(
            tell(dir.path(), Command::Stop),
            Err(ControlError::NotRunning(_))
        ));
    }

    #[test]
    fn a_held_home_is_only_told_if_its_holder_is_here_and_has_the_lock_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flamenco-worker.lock");
        let lock = File::create(&path).unwrap();
        lock.lock().unwrap();
        assert!(matches!(
            tell(dir.path(), Command::Stop),
            Err(ControlError::Nameless(_))
        ));
        let text = |host: &str, pid: i32| format!("pid: {pid}\nhost: {host}\nboot: b\nstarted: s\nversion: v\n");
        fs::write(&path, text("no.such.host", 1)).unwrap();
        let elsewhere = tell(dir.path(), Command::Stop).unwrap_err().to_string();
        assert!(elsewhere.contains("no.such.host (pid 1 there)"), "{elsewhere}");
        // Process 1 is somebody else's, though it is alive.
        fs::write(&path, text(&crate::config::hostname(), 1)).unwrap();
        assert!(matches!(
            tell(dir.path(), Command::Stop),
            Err(ControlError::OutOfSight { pid: 1, .. })
        ));
    }
}
