// SPDX-License-Identifier: GPL-3.0-or-later
//! What systemd or a loop in a shell is on a farm: starts the worker, and again each time it leaves with its restart exit code.
//!
//! ```text
//! thread: start ─► wait ─┬─ restart exit code ─► start
//!                        └─ anything else ─► over
//! ```

use std::{
    io,
    path::PathBuf,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use crate::programs::{WorkerStart, pid_of};

/// More starts than a person asks for within [`A_WHILE`]: a worker that restarts for ever is not humoured.
const MOST_LIVES: usize = 10;
const A_WHILE: Duration = Duration::from_secs(30);

/// One worker under supervision, until it is dropped.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    start: WorkerStart,
    thread: Option<JoinHandle<()>>,
}

/// One process of the worker's, from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) pid: Pid,
    pub(crate) end: Option<(Instant, ExitStatus)>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lives: Vec<Life>,
    /// Nothing is started any more.
    stopping: bool,
    /// Nothing runs any more: why, if it is not a worker that left.
    over: Option<Option<String>>,
}

impl Supervisor {
    /// Starts the worker for the first time.
    ///
    /// # Errors
    /// It has no thread to watch from.
    pub(crate) fn start(start: WorkerStart) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, how) = (Arc::clone(&shared), start.clone());
        let thread = thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || theirs.supervise(&how))?;
        Ok(Self {
            shared,
            start,
            thread: Some(thread),
        })
    }

    /// All its processes so far, the present one last.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.shared.lock().lives.clone()
    }

    pub(crate) fn name(&self) -> &str {
        &self.start.name
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.start.home()
    }

    /// The last life's end, if no other will follow.
    pub(crate) fn over(&self) -> Option<Result<(Instant, ExitStatus), String>> {
        let state = self.shared.lock();
        let reason = state.over.as_ref()?;
        let end = state.lives.last().and_then(|life| life.end);
        Some(match (reason, end) {
            (None, Some(end)) => Ok(end),
            (Some(reason), _) => Err(reason.clone()),
            (None, None) => Err("it was never started".to_owned()),
        })
    }

    /// Starts nothing more, and signals what runs; with SIGKILL its whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        self.shared.signal(signal);
    }

    /// Kills what still runs, and returns once nothing of the worker's own process does.
    pub(crate) fn end(&mut self) {
        self.shared.signal(Signal::SIGKILL);
        if let Some(thread) = self.thread.take() {
            // Its panic was shown.
            thread.join().ok();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn supervise(&self, start: &WorkerStart) {
        let outcome = loop {
            match self.start_one(start) {
                Ok(Some(child)) => match self.see_to_its_end(child) {
                    Ok(status) if status.code() == Some(start.restart_code) => {}
                    Ok(_) => break None,
                    Err(error) => break Some(format!("waiting for it: {error}")),
                },
                Ok(None) => break None,
                Err(error) => break Some(format!("starting it: {error}")),
            }
        };
        self.lock().over = Some(outcome);
    }

    /// Under the lock, so that a stop either comes before or finds the process.
    fn start_one(&self, start: &WorkerStart) -> io::Result<Option<Child>> {
        let mut state = self.lock();
        if state.stopping {
            return Ok(None);
        }
        let earlier = state.lives.iter().rev().nth(MOST_LIVES - 1);
        if earlier
            .and_then(|life| life.end)
            .is_some_and(|(end, _)| end.elapsed() < A_WHILE)
        {
            let seconds = A_WHILE.as_secs();
            return Err(io::Error::other(format!(
                "it restarted {MOST_LIVES} times in {seconds} s"
            )));
        }
        let child = start.spawn()?;
        state.lives.push(Life {
            pid: pid_of(&child),
            end: None,
        });
        Ok(Some(child))
    }

    /// Reaps only under the lock: a process id that is signalled is still that process.
    fn see_to_its_end(&self, mut child: Child) -> io::Result<ExitStatus> {
        let pid = pid_of(&child);
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut state = self.lock();
        let status = child.wait()?;
        if let Some(life) = state.lives.last_mut() {
            life.end = Some((Instant::now(), status));
        }
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        let mut state = self.lock();
        state.stopping = true;
        if let Some(Life { pid, end: None, .. }) = state.lives.last() {
            // A zombie cannot refuse.
            kill(*pid, signal).ok();
            if signal == Signal::SIGKILL {
                // The leash may not have made it yet.
                killpg(*pid, signal).ok();
            }
        }
    }
}
