// SPDX-License-Identifier: GPL-3.0-or-later

//! Counts for each task how often in a row its runs ended together with the worker: `spool/cut-short.json`.
//!
//! A program that kills its worker, restarts its unit or has its whole control group killed would be run again by each
//! start, for as long as a supervisor makes them. What is counted here outlives every process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::disk;
use super::records::now_millis;
use crate::chain::chain;
use crate::files::{self, Thread};

const NAME: &str = "cut-short.json";

/// So many tasks are remembered; the oldest go first.
const REMEMBERED: usize = 100;

/// A task that was interrupted so long ago begins anew. In milliseconds: a week.
const FORGET_AFTER: u64 = 7 * 86_400_000;

/// The runs that ended together with the worker, by the task.
#[derive(Debug)]
pub(super) struct InterruptedRuns {
    path: PathBuf,
    tasks: BTreeMap<String, Interruptions>,
    files: Thread,
    /// What is on disk is older.
    unsaved: bool,
}

/// The same as a successor gets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HandedInterruptions {
    tasks: BTreeMap<String, Interruptions>,
    unsaved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Interruptions {
    times: u32,
    /// Milliseconds since 1970.
    last: u64,
}

impl InterruptedRuns {
    /// Reads what an earlier process left; what cannot be read counts as nothing. Blocks.
    pub(super) fn read(spool: &Path, files: Thread) -> Self {
        let path = spool.join(NAME);
        let tasks = disk::read(&path).unwrap_or_else(|error| {
            warn!(path = %path.display(), error = chain(&error), "cannot read which tasks ended with their worker");
            None
        });
        Self {
            path,
            tasks: tasks.unwrap_or_default(),
            files,
            unsaved: false,
        }
    }

    pub(super) fn hand_over(&self) -> HandedInterruptions {
        HandedInterruptions {
            tasks: self.tasks.clone(),
            unsaved: self.unsaved,
        }
    }

    pub(super) fn take_over(spool: &Path, handed: HandedInterruptions, files: Thread) -> Self {
        Self {
            path: spool.join(NAME),
            tasks: handed.tasks,
            files,
            unsaved: handed.unsaved,
        }
    }

    /// How often in a row the worker ended with this task.
    pub(super) fn times(&self, task: &str) -> u32 {
        self.tasks.get(task).map_or(0, |runs| runs.times)
    }

    /// The worker ended once more while it ran this task.
    pub(super) fn add(&mut self, task: &str) {
        let now = now_millis();
        self.tasks
            .retain(|_, runs| now.saturating_sub(runs.last) < FORGET_AFTER);
        let oldest = self.tasks.iter().min_by_key(|(_, runs)| runs.last);
        if self.tasks.len() >= REMEMBERED
            && let Some(oldest) = oldest.map(|(task, _)| task.clone())
        {
            self.tasks.remove(&oldest);
        }
        let times = self.times(task).saturating_add(1);
        self.tasks.insert(task.to_owned(), Interruptions { times, last: now });
        self.save();
    }

    /// A run of this task ended, and the worker did not end with it.
    pub(super) fn forget(&mut self, task: &str) {
        if self.tasks.remove(task).is_some() || self.unsaved {
            self.save();
        }
    }

    fn save(&mut self) {
        let path = self.path.clone();
        let text = serde_json::to_vec(&self.tasks).map_err(io::Error::from);
        let saved = text.and_then(|text| self.files.run(move || files::replace(&path, &text)));
        self.unsaved = saved.is_err();
        if let Err(error) = saved {
            warn!(path = %self.path.display(), error = chain(&error), "cannot note which tasks ended with their worker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_what_ended_with_the_worker_is_known_to_the_next_one_until_it_ends_well() {
        let folder = tempfile::tempdir().unwrap();
        let files = Thread::start().unwrap();
        let read = || InterruptedRuns::read(folder.path(), files.clone());
        let mut first = read();
        first.add("a");
        first.add("b");
        first.add("a");
        let mut next = read();
        assert_eq!((next.times("a"), next.times("b"), next.times("c")), (2, 1, 0));
        next.forget("a");
        next.forget("c");
        assert_eq!(read().times("a"), 0);
        for n in 0..300 {
            next.add(&format!("t{n}"));
        }
        assert_eq!(next.tasks.len(), REMEMBERED);
        std::fs::write(folder.path().join(NAME), "{").unwrap();
        assert_eq!(read().times("t299"), 0);
    }
}
