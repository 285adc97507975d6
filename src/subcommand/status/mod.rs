// SPDX-License-Identifier: GPL-3.0-or-later

//! `status`: what the worker of a home does now.
//!
//! ```text
//! home ─► its socket ─── answers ─────► Snapshot ──╮
//!            │  └─────── is silent ───► Stuck      ├─► Observation ─► a line, or JSON
//!            └─ nobody ─► lock, marks ─► NotRunning ╯     └─ again and again: watch
//! ```

mod observation;
mod watch;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::observation::{Observation, TaskName};
use super::running_worker::{self, NoWorker};
use crate::chain::chain;
use crate::cli::StatusArguments;
use crate::departure::Departure;
use crate::files::{self, is_standstill};
use crate::home::{StatusAnswer, ask_for_status, mark_of, spool_of};
use crate::printable::escape_line;
use crate::process::{is_stopped, marked};
use crate::spool::{ReportState, list};

/// How long a worker may take to answer. One that is well takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells what the worker of `home` does, as `wanted`.
///
/// # Errors
/// How the process is to end. Why was said.
pub(super) fn tell(wanted: StatusArguments, home: &Path) -> Result<(), Departure> {
    let looking = Looking::at(home)?;
    if wanted.watch {
        return watch::follow(&looking, wanted.json);
    }
    let seen = looking.observe();
    let text = if wanted.json { seen.json(home) } else { seen.line(home) };
    let ends = seen.departure();
    if !wanted.json && ends.is_err() {
        super::say(&escape_line(&text));
        return ends;
    }
    super::written(writeln!(io::stdout(), "{}", escape_line(&text)))?;
    ends
}

/// Looks at a home, which may hang.
struct Looking {
    home: PathBuf,
    files: files::Thread,
}

impl Looking {
    fn at(home: &Path) -> Result<Self, Departure> {
        let files = files::Thread::start().map_err(|error| super::failed(&error))?;
        Ok(Self {
            home: home.to_owned(),
            files,
        })
    }

    fn observe(&self) -> Observation {
        let home = self.home.clone();
        match self.files.run(move || Ok(observe(&home))) {
            Ok(seen) => seen,
            Err(error) if is_standstill(&error) => Observation::Unknown {
                why: format!("the home {} cannot be looked at: {error}", self.home.display()),
            },
            Err(error) => Observation::Unknown { why: chain(&error) },
        }
    }
}

fn observe(home: &Path) -> Observation {
    match ask_for_status(home, PATIENCE) {
        Ok(StatusAnswer::Said(said)) => match serde_json::from_slice(&said) {
            Ok(snapshot) => Observation::Answered(snapshot),
            // It ended just now, or it is of a version that has other names.
            Err(error) => unasked(home, &format!("its answer cannot be read ({error})")),
        },
        Ok(StatusAnswer::Silence { pid }) => {
            let pid = if pid > 0 {
                Some(pid)
            } else {
                running_worker::find(home).ok().map(|holder| holder.pid)
            };
            Observation::Stuck {
                pid,
                is_stopped: pid.is_some_and(is_stopped),
            }
        }
        Ok(StatusAnswer::Nobody) => unasked(
            home,
            "it has no socket: it starts or ends just now, delivers with -flush, or its home takes none",
        ),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            let dir = home.to_owned();
            Observation::unknown(&NoWorker::Closed { dir, source })
        }
        Err(error) => unasked(home, &chain(&error)),
    }
}

/// What can be seen of a worker that cannot be asked, for the reason `why`.
fn unasked(home: &Path, why: &str) -> Observation {
    let found = running_worker::find(home);
    let processes = fs::metadata(home).map_or_else(|_| Vec::new(), |home| marked(&mark_of(&home)));
    match found {
        Ok(holder) => Observation::Unasked {
            pid: holder.pid,
            is_leaving: holder.leaving,
            // Where nothing runs there may be folders of tasks that an earlier worker died with.
            task: (!processes.is_empty()).then(|| last_begun(home)).flatten(),
            why: why.to_owned(),
        },
        Err(NoWorker::NotRunning(_)) => Observation::NotRunning { processes },
        Err(other) => Observation::unknown(&other),
    }
}

/// The last task that was begun in a home and is not over, as its spool has it.
fn last_begun(home: &Path) -> Option<TaskName> {
    let stored = list(&spool_of(home)).ok()?.tasks;
    let mut open = stored.into_iter().rev();
    let task = open.find(|task| task.end.is_none() && task.report == ReportState::Waiting)?;
    Some(TaskName {
        id: task.task,
        name: task.name,
        job: task.job,
    })
}
