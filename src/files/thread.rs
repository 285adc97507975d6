// SPDX-License-Identifier: GPL-3.0-or-later

//! A thread for calls on files, which may never come back: one at a time, waited for a bounded time.
//!
//! ```text
//! event loop ── run(work) ──► thread ── files
//!      ▲                        │ in time: what came of it
//!      └────────────────────────┘ too late: an error; until it is back, an error at once
//! ```
//!
//! What comes too late is done all the same, but its result is lost: the work must do no harm when it is done after it was
//! taken for failed, and when it is tried again then. Nothing is queued behind it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use nix::sys::signal::SigSet;

/// How long the event loop stands still with the file system, once. A busy disk takes a second now and then.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is done on files needs little.
const STACK: usize = 256 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// Clones lead to the same thread. It ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    jobs: Sender<Job>,
    /// Calls that were given to the thread.
    given: Arc<AtomicU64>,
    /// Calls that came back.
    done: Arc<AtomicU64>,
}

impl Thread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, todo) = channel::<Job>();
        // It is never joined: it may not come back, and the process ends without it.
        Builder::new()
            .name("flamenco-files".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                // They are for the event loop: one that waits there for a successor of this process is not to be taken here.
                SigSet::all().thread_block().ok();
                for job in todo {
                    job();
                }
            })?;
        Ok(Self {
            jobs,
            given: Arc::default(),
            done: Arc::default(),
        })
    }

    /// Whether anything can be done now.
    ///
    /// # Errors
    /// `TimedOut` when an earlier call has not come back yet.
    pub(crate) fn ready(&self) -> io::Result<()> {
        match self.given.load(Ordering::SeqCst) == self.done.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(standstill()),
        }
    }

    /// Does `work` in the thread and waits for it, but not for long. To be called from one thread at a time.
    ///
    /// # Errors
    /// What `work` says; `TimedOut` when it has not come back yet, or an earlier one has not.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.ready()?;
        let (answer, answered) = channel();
        let done = Arc::clone(&self.done);
        let job = move || {
            let result = work();
            done.fetch_add(1, Ordering::SeqCst);
            // It may not be waited for any more.
            answer.send(result).ok();
        };
        self.given.fetch_add(1, Ordering::SeqCst);
        if self.jobs.send(Box::new(job)).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        answered.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(standstill()))
    }
}

fn standstill() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer")
}

/// Whether an error means that the file system stands still.
pub(crate) fn is_standstill(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn i9_what_does_not_come_back_is_waited_for_once_and_then_not_at_all() {
        let thread = Thread::start().unwrap();
        assert_eq!(thread.run(|| Ok(1)).unwrap(), 1);
        assert!(thread.run(|| Err::<(), _>(io::ErrorKind::NotFound.into())).is_err());
        let (go, goes) = channel::<()>();
        let hung = thread.run(move || goes.recv().map_err(io::Error::other));
        assert!(is_standstill(&hung.unwrap_err()));
        let (touch, touched) = channel::<()>();
        let refused = thread.run(move || touch.send(()).map_err(io::Error::other));
        assert!(is_standstill(&refused.unwrap_err()));
        assert!(touched.recv().is_err(), "it was never begun");
        go.send(()).unwrap();
        while thread.run(|| Ok(())).is_err() {}
        assert_eq!(thread.run(|| Ok(2)).unwrap(), 2);
    }
}
