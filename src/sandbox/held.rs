// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's own work for a task, in a thread that may do no more than the task's programs.
//!
//! A thread that is held to something is so for ever: it is one of its own, and ends with the work.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::thread::Builder;

use nix::sys::signal::SigSet;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::confinement::{Confinement, confine};
use super::everything_but::OwnPlaces;
use super::policy::Sandbox;
use crate::chain::chain;

/// What work for a task is held to.
#[derive(Debug, Clone)]
pub(crate) struct HeldTo {
    pub(super) sandbox: Sandbox,
    pub(super) tmpdir: Option<PathBuf>,
}

/// What work for a task is held to that another process of ours does. It has no file open, so that it can travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldElsewhere {
    pub(super) confinement: Confinement,
    pub(super) own: OwnPlaces,
}

/// Why held work has come to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeldError {
    /// There can be no other thread.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
    /// It has not begun.
    #[error("the work cannot be held to the sandbox: {0}")]
    NotHeld(String),
}

impl HeldElsewhere {
    /// Holds the calling thread to it, and all that it starts from now on, for ever. It looks at files.
    ///
    /// # Errors
    /// There are no descriptors to be had.
    pub(crate) fn hold(self) -> io::Result<()> {
        confine(&Confinement {
            around: self.own.around()?,
            ..self.confinement
        })
    }
}

/// Does `work` in a thread, which is held to what a task may do where there is a sandbox. It begins at once, and goes on where
/// nothing waits for it.
pub(crate) fn run_held<T: Send + 'static>(
    held: Option<HeldTo>,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, HeldError>> {
    let begun = match held {
        None => Ok(Begun::InPool(spawn_blocking(work))),
        Some(held) => begin(held, work).map(Begun::Held),
    };
    async {
        let ended = match begun.map_err(HeldError::Thread)? {
            Begun::InPool(thread) => thread.await.ok().map(Ok),
            Begun::Held(done) => done.await.ok(),
        };
        match ended {
            Some(ended) => ended,
            // The runtime ends, and this with it.
            None => pending().await,
        }
    }
}

/// As [`run_held`], but waits until `limit` is over. Returns `None` when that was too short, or nothing came of it.
pub(crate) async fn run_held_within<T: Send + 'static>(
    held: Option<HeldTo>,
    limit: impl Future<Output = ()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::select! {
        biased;
        done = run_held(held, work) => done.ok(),
        () = limit => None,
    }
}

/// Work on its way.
enum Begun<T> {
    InPool(tokio::task::JoinHandle<T>),
    Held(oneshot::Receiver<Result<T, HeldError>>),
}

fn begin<T: Send + 'static>(
    held: HeldTo,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<Result<T, HeldError>>> {
    let runtime = Handle::current();
    let (tell, done) = oneshot::channel();
    Builder::new().name("flamenco-task".to_owned()).spawn(move || {
        // Signals are for the event loop.
        SigSet::all().thread_block().ok();
        // A pause is waited for in the work.
        let _within = runtime.enter();
        let confinement = held.sandbox.confinement(held.tmpdir.as_deref());
        let did = match confinement.and_then(|confinement| confine(&confinement)) {
            Ok(()) => Ok(work()),
            Err(error) => Err(HeldError::NotHeld(chain(&error))),
        };
        // Whoever has asked may be gone.
        tell.send(did).ok();
    })?;
    Ok(done)
}
