// SPDX-License-Identifier: GPL-3.0-or-later

//! What guards noted of programs whose worker was gone before it had their end on disk.
//!
//! ```text
//! TaskReporter::end_note ─► guard ─► spool/<task>/end-note.json ─► OrphanedRunEnd ─ a verdict ─► settle
//! ```

use std::path::{self, Path};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use super::program_end::{one_line, program_end};
use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::process::{EndNote, Finished, NotedEnd};
use crate::spool::{Cause, OrphanedRun, Spool};

/// How long one file may hold up a start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which program an end note is about.
#[derive(Debug, Serialize, Deserialize)]
struct NoteSubject {
    /// Tells the run from others of the same task.
    run: u64,
    /// As the task named it.
    program: String,
    is_last: bool,
}

/// A run that ended with its worker, and how its program ended.
#[derive(Debug)]
pub(crate) struct OrphanedRunEnd {
    run: OrphanedRun,
    about: NoteSubject,
    ended: u64,
    finished: Finished,
}

/// Where the guard of a program is to note its end, and for which run.
pub(super) fn note(file: &Path, run: u64, program: &str, is_last: bool) -> EndNote {
    let about = NoteSubject {
        run,
        program: program.to_owned(),
        is_last,
    };
    EndNote {
        file: path::absolute(file).unwrap_or_else(|_| file.to_owned()).into(),
        about: serde_json::to_string(&about).unwrap_or_default(),
    }
}

impl OrphanedRunEnd {
    /// Reads what was noted of this run, if anything.
    pub(crate) async fn read(run: &OrphanedRun) -> Option<Self> {
        let file = run.note.clone();
        let noted = match run_blocking_within(sleep(PATIENCE), move || NotedEnd::read(&file)).await? {
            Ok(noted) => noted?,
            Err(error) => {
                warn!(path = %run.note.display(), error = chain(&error), "cannot read what was noted of a program's end");
                return None;
            }
        };
        let about: NoteSubject = serde_json::from_str(&noted.about).ok()?;
        (about.run == run.begun).then(|| Self {
            run: run.clone(),
            about,
            ended: noted.ended,
            finished: noted.finished,
        })
    }

    /// Whether the task is done if this program has ended well.
    pub(crate) fn is_last(&self) -> bool {
        self.about.is_last
    }

    /// How its last program ended.
    pub(crate) fn finished(&self) -> &Finished {
        &self.finished
    }

    /// The task has ended so: failed for the reason `failure`, or else completed. `how` is the line for the task's log that
    /// says how the program ended.
    pub(crate) fn settle(self, spool: &Spool, failure: Option<&str>, how: &str) {
        let mut lines = vec![
            "The worker was killed when this program had ended: what it said last may be missing here".to_owned(),
            how.to_owned(),
        ];
        lines.extend(failure.map(|why| format!("Failed: {why}")));
        let cause = failure.map_or(Cause::Completed, |why| Cause::Failed(one_line(why)));
        let program = program_end(&self.about.program, &self.finished, None);
        spool.settle(&self.run, cause, (self.ended, program), &lines);
    }
}
