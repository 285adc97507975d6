// SPDX-License-Identifier: GPL-3.0-or-later

//! The task that waits for this process's children: the only place that does.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::children::SharedChildren;

/// Waits for this process's children, as long as it lives. Poll [`Reaper::run`] beside everything else:
/// without it no [`Launcher::run`](super::Launcher::run) ends.
#[derive(Debug)]
pub(crate) struct Reaper {
    children: SharedChildren,
    sigchld: Signal,
    wake: Rc<Notify>,
}

impl Reaper {
    /// Needs a runtime, as every listener for signals does.
    ///
    /// # Errors
    /// When the runtime cannot listen for SIGCHLD.
    pub(super) fn new(children: SharedChildren) -> io::Result<Self> {
        let wake = children.borrow().wake();
        Ok(Self {
            children,
            wake,
            sigchld: signal(SignalKind::child())?,
        })
    }

    /// Reaps for ever. When this is dropped, nothing but the reaping ends.
    pub(crate) async fn run(mut self) -> Infallible {
        loop {
            let pause = self.children.borrow_mut().turn();
            tokio::select! {
                _ = self.sigchld.recv() => {}
                () = self.wake.notified() => {}
                () = async { sleep(pause.unwrap_or_default()).await }, if pause.is_some() => {}
            }
        }
    }
}
