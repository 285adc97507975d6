// SPDX-License-Identifier: GPL-3.0-or-later

//! What guards noted of programs whose worker was gone before it had their end on disk.
//!
//! ```text
//! TaskReporter::end_note ─► guard ─► spool/<task>/end-note.json ─► UnseenEnd ─ a verdict ─► settle
//! ```

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use super::task_reporter::{one_line, remembered};
use crate::blocking::run_blocking_within;
use crate::process::{EndNote, Finished, NotedEnd};
use crate::spool::{Cause, OrphanedRun, Spool};

/// How long one file may hold up a start.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is noted beside the end.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    /// Tells the run from others of the same task.
    run: u64,
    /// As the task named it.
    program: String,
    is_last: bool,
}

/// A run that ended with its worker, and how its program ended.
#[derive(Debug)]
pub struct UnseenEnd {
    run: OrphanedRun,
    about: About,
    ended: u64,
    finished: Finished,
}

pub(super) fn note(file: &Path, run: u64, program: &str, is_last: bool) -> EndNote {
    let about = About {
        run,
        program: program.to_owned(),
        is_last,
    };
    EndNote {
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).into(),
        about: serde_json::to_string(&about).unwrap_or_default(),
    }
}

impl UnseenEnd {
    /// What was noted of this run, if anything.
    pub async fn of(run: &OrphanedRun) -> Option<Self> {
        let file = run.note.clone();
        let noted = match run_blocking_within(sleep(PATIENCE), move || NotedEnd::read(&file)).await? {
            Ok(noted) => noted?,
            Err(error) => {
                warn!(path = %run.note.display(), %error, "cannot read what was noted of a program's end");
                return None;
            }
        };
        let about: About = serde_json::from_str(&noted.about).ok()?;
        (about.run == run.begun).then(|| Self {
            run: run.clone(),
            about,
            ended: noted.ended,
            finished: noted.finished,
        })
    }

    /// The task is done if this program has ended well.
    pub fn is_last(&self) -> bool {
        self.about.is_last
    }

    pub fn finished(&self) -> &Finished {
        &self.finished
    }

    /// The task has ended so. `told`: the end in the task's log.
    pub fn settle(self, spool: &Spool, failure: Option<&str>, told: &str) {
        let mut lines = vec![
            "The worker was killed when this program had ended: what it said last may be missing here".to_owned(),
            told.to_owned(),
        ];
        lines.extend(failure.map(|why| format!("Failed: {why}")));
        let cause = failure.map_or(Cause::Completed, |why| Cause::Failed(one_line(why)));
        let program = remembered(&self.about.program, &self.finished);
        spool.settle(&self.run, cause, (self.ended, program), &lines);
    }
}
