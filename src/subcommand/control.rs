// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker drain | sleep | wake | stop`: tells the worker of a home what to do, with the signal that means it.
//!
//! ```text
//! home ─► its lock file names a process ─► the signal, if that process has this file open
//! ```
//!
//! No signal is sent on a guess: the number in the file may belong to another process by now, or to another container.

use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::LockHolder;

/// What a worker can be ordered from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlCommand {
    /// Finish the running task, then leave.
    Drain,
    /// Take no new task until woken.
    Sleep,
    /// Take tasks again.
    Wake,
    /// End the running task, give it back, leave.
    Stop,
}

impl ControlCommand {
    /// What the worker will do, as the end of a sentence that starts with "worker 123 will".
    pub(super) fn effect(self) -> &'static str {
        match self {
            Self::Drain => "finish its task and leave",
            Self::Sleep => "take no new task until it is woken",
            Self::Wake => "take tasks again",
            Self::Stop => "end its task, give it back and leave",
        }
    }

    /// The signal that means it, see `signals`.
    fn signal(self) -> Signal {
        match self {
            Self::Drain => Signal::SIGQUIT,
            Self::Sleep => Signal::SIGUSR1,
            Self::Wake => Signal::SIGUSR2,
            Self::Stop => Signal::SIGTERM,
        }
    }
}

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    #[error("no worker uses the home {}; for another one set FLAMENCO_HOME, or --config as that worker has it", .0.display())]
    NotRunning(PathBuf),
    #[error("the home {} was last used on {host} (pid {pid} there): tell its worker on that host", dir.display())]
    Elsewhere { dir: PathBuf, host: String, pid: i32 },
    #[error("the home {} is another user's: tell its worker as that user, or as root", .dir.display())]
    Closed {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("pid {pid} cannot be seen to be the worker of {}: is it another user's, or in a container?", dir.display())]
    OutOfSight { dir: PathBuf, pid: i32 },
    #[error("cannot signal the worker (pid {pid})")]
    Signal {
        pid: i32,
        #[source]
        source: Errno,
    },
}

/// Sends the signal to the worker of the home `dir`, and returns its process.
///
/// # Errors
/// [`ControlError`]: then no process got a signal.
pub(super) fn send(dir: &Path, command: ControlCommand) -> Result<Pid, ControlError> {
    let home = || dir.to_owned();
    let holder = LockHolder::of(dir).ok_or_else(|| match fs::read_dir(dir) {
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => ControlError::Closed { dir: home(), source },
        Ok(_) | Err(_) => ControlError::NotRunning(home()),
    })?;
    let pid = holder.pid;
    if !holder.is_here() {
        return Err(ControlError::Elsewhere {
            dir: home(),
            host: holder.host,
            pid,
        });
    }
    if !holder.is_alive() {
        return Err(ControlError::NotRunning(home()));
    }
    if !holder.has_open(dir) {
        return Err(ControlError::OutOfSight { dir: home(), pid });
    }
    let worker = Pid::from_raw(pid);
    kill(worker, command.signal()).map_err(|source| ControlError::Signal { pid, source })?;
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_on_a_guess() {
        let dir = tempfile::tempdir().unwrap();
        let said = send(dir.path(), ControlCommand::Drain).unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("no worker uses the home {}", dir.path().display())),
            "{said}"
        );
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let path = dir.path().join("flamenco-worker.lock");
        let held_by = |host: &str, boot: &str, pid: i32| {
            let text = format!(
                "pid: {pid}\nhost: {host}\nboot: {}\nstarted: s\nversion: v\n",
                boot.trim()
            );
            fs::write(&path, text).unwrap();
            send(dir.path(), ControlCommand::Stop).unwrap_err()
        };
        let here = crate::config::hostname();
        let elsewhere = held_by("no.such.host", &boot, 1).to_string();
        assert!(elsewhere.contains("no.such.host (pid 1 there)"), "{elsewhere}");
        assert!(matches!(
            held_by(&here, "an earlier one", 1),
            ControlError::NotRunning(_)
        ));
        // Process 1 is alive, and no worker.
        assert!(matches!(
            held_by(&here, &boot, 1),
            ControlError::OutOfSight { pid: 1, .. }
        ));
    }
}
