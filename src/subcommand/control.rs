// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker drain | sleep | wake | stop`: tells the worker of a home what to do, with the signal that means it.
//!
//! ```text
//! home ─► running_worker: its process ─► the signal
//! ```

use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::running_worker::{self, NoWorker};

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
    #[error(transparent)]
    NoWorker(#[from] NoWorker),
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
    let pid = running_worker::find(dir)?.pid;
    let worker = Pid::from_raw(pid);
    kill(worker, command.signal()).map_err(|source| ControlError::Signal { pid, source })?;
    Ok(worker)
}
