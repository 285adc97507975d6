// SPDX-License-Identifier: GPL-3.0-or-later

//! What is mounted by whoever looks into it. A rule for what it hides is none for what is mounted there afterwards, when a task looks:
//! so we look first.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::exceptions::Exceptions;
use crate::files::Thread;
use crate::mounts::{Mount, idle_automounts};

/// Those at which was looked, each by a thread of its own: a server that does not answer holds up nothing but its own.
#[derive(Debug, Default)]
pub(super) struct Automounts(Mutex<HashMap<PathBuf, Thread>>);

impl Automounts {
    /// Looks into all that are [`met`]. One that does not answer is waited for once; until it has, it must not be touched.
    pub(super) fn wake(&self, exceptions: &Exceptions, mounts: &[Mount]) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for at in met(exceptions, mounts) {
            let Some(thread) = threads.remove(&at).or_else(|| Thread::start().ok()) else {
                continue;
            };
            let inside = at.join(".");
            // What cannot be mounted is not there for the task either.
            thread.run(move || fs::metadata(inside)).ok();
            threads.insert(at, thread);
        }
    }

    /// Those that have not answered yet. Whoever only opens one waits with us.
    pub(super) fn stuck(&self) -> Vec<PathBuf> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = threads.iter().filter(|(_, thread)| thread.ready().is_err());
        stuck.map(|(at, _)| at.clone()).collect()
    }
}

/// Those without a mount that are right in a folder which is open entry by entry: all below any other is open with it.
pub(super) fn met(exceptions: &Exceptions, mounts: &[Mount]) -> impl Iterator<Item = PathBuf> {
    let folders = exceptions.folders();
    let is_met = move |at: &&Path| at.parent().is_some_and(|parent| folders.contains(parent));
    let met: Vec<_> = idle_automounts(mounts).filter(is_met).map(Path::to_owned).collect();
    met.into_iter()
}
