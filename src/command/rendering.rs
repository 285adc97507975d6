// SPDX-License-Identifier: GPL-3.0-or-later

//! A run of Blender, as far as its pictures go: what was there before, what was saved, and, unless it ends well, what
//! is to be set aside.
//!
//! ```text
//! begin: look ─► journal on disk ─► Blender: `Saved:` ─► journal ─► end: unfinished set aside, journal gone
//!                    └─ the worker was killed: the next start sets aside
//! ```
//!
//! A disk that does not answer delays a run by seconds, and fails nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tracing::warn;

use super::blender_output::outputs;
use super::journal::{Head, Journal, Leftover, leftovers};
use super::tools::Stage;
use super::unfinished::{Found, Pictures, Run, Unfinished, look, mounts_of};
use crate::abort::{Abort, AbortSource};
use crate::blocking::run_blocking_within;
use crate::clock;
use crate::outcome::Outcome;
use crate::process::OpenFile;

/// How long a look at the output's folder may hold up Blender's start, and a search after its end the task.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How long the same may hold up a start of the worker.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file: whoever writes it is seen by that.
const MOMENT: Duration = Duration::from_millis(200);

/// What is kept in mind while Blender runs.
#[derive(Debug)]
pub(super) struct Rendering {
    arguments: Vec<String>,
    directory: PathBuf,
    tmpdir: PathBuf,
    before: Option<Pictures>,
    mounts: Vec<PathBuf>,
    saved: Vec<PathBuf>,
    began: SystemTime,
    journal: Option<Journal>,
}

impl Rendering {
    /// Before Blender starts.
    pub(super) async fn begin(stage: &mut Stage<'_>, arguments: &[String]) -> Self {
        see_to_earlier_runs(stage).await;
        let directory = std::env::current_dir().unwrap_or_default();
        let outputs = outputs(arguments, &directory);
        let mut rendering = Self {
            arguments: arguments.to_owned(),
            directory,
            tmpdir: stage.identity.tmpdir.clone(),
            before: None,
            mounts: Vec::new(),
            saved: Vec::new(),
            began: clock::system(),
            journal: None,
        };
        if outputs.is_empty() {
            return rendering;
        }
        let looked = tokio::select! {
            looked = run_blocking_within(sleep(LOOK_PATIENCE), move || Ok((look(&outputs)?, mounts_of(&outputs)))) => looked,
            // Nothing will run.
            _reason = stage.abort.raised() => return rendering,
        };
        match looked {
            Some(Ok((before, mounts))) => {
                rendering.before = Some(before);
                rendering.mounts = mounts;
            }
            Some(Err::<_, io::Error>(error)) => stage.voice.line(&format!(
                "Cannot look into the folder of the output: {error}; a picture that is not finished may stay there"
            )),
            None => stage
                .voice
                .line("The folder of the output does not answer; a picture that is not finished may stay there"),
        }
        if let (Some(folder), Some(before)) = (stage.tools.journals(), &rendering.before) {
            let head = Head {
                task: stage.identity.task.clone(),
                boot: clock::boot(),
                arguments: rendering.arguments.clone(),
                directory: rendering.directory.clone(),
                before: before.iter().map(|(path, look)| (path.clone(), *look)).collect(),
                mounts: rendering.mounts.clone(),
            };
            rendering.journal = Some(Journal::begin(folder, &head).await);
        }
        rendering
    }

    /// Blender says that it has written this.
    pub(super) fn saved(&mut self, path: PathBuf) {
        if let Some(journal) = &self.journal {
            journal.saved(&path);
        }
        self.saved.push(path);
    }

    /// After Blender's end: sets aside what it did not finish.
    pub(super) async fn end(self, ended: &Outcome, writing: Vec<OpenFile>, stage: &mut Stage<'_>) {
        let mut is_done = true;
        if ended.is_err() {
            let run = Run {
                outputs: outputs(&self.arguments, &self.directory),
                before: self.before,
                mounts: self.mounts,
                saved: self.saved,
                writing,
                tmpdir: self.tmpdir,
                began: self.began,
                not_after: None,
            };
            let done = set_aside(run, LOOK_PATIENCE, stage.abort).await;
            is_done = done.trouble.is_empty();
            done.lines().for_each(|line| stage.voice.line(&line));
        }
        match self.journal {
            Some(journal) if is_done => journal.end().await,
            Some(journal) => journal.keep(),
            None => {}
        }
    }
}

/// What could not be looked at when its run was over may be there now: this run would take it for done.
async fn see_to_earlier_runs(stage: &mut Stage<'_>) {
    let Some(journals) = stage.tools.journals() else { return };
    for (task, line) in see_to_leftovers(journals, |_| false, LOOK_PATIENCE, stage.abort).await {
        if task == stage.identity.task {
            stage.voice.line(&line);
        } else {
            warn!(task, "{line}");
        }
    }
}

/// What came of setting aside.
#[derive(Debug, Default)]
struct Done {
    /// What was done, in lines for a log.
    done: Vec<String>,
    /// What could not be; without any, there is nothing left to do.
    trouble: Vec<String>,
    /// The storage did not answer.
    is_late: bool,
}

/// Finds what was not finished and sets it aside.
async fn set_aside(run: Run, patience: Duration, abort: &Abort) -> Done {
    let Some(Found { unfinished, trouble }) = run_blocking_within(abort.patience(patience), move || run.find()).await
    else {
        return Done::late(
            "The folder of the output does not answer; a picture that was not finished may be left there, and another node \
             would take it for done",
        );
    };
    let mut result = Done {
        trouble,
        ..Done::default()
    };
    if unfinished.is_empty() {
        return result;
    }
    sleep(MOMENT).await;
    let setting = run_blocking_within(abort.patience(patience), || {
        unfinished.into_iter().map(Unfinished::set_aside).collect::<Vec<_>>()
    });
    let Some(done) = setting.await else {
        return Done::late("The folder of the output does not answer; it is tried on in the background");
    };
    for one in done {
        match one {
            Ok(line) => result.done.extend(line),
            Err(line) => result.trouble.push(line),
        }
    }
    result
}

impl Done {
    fn late(why: &str) -> Self {
        Self {
            trouble: vec![why.to_owned()],
            is_late: true,
            ..Self::default()
        }
    }

    /// Trouble is told the first time, and the last.
    fn bound(&mut self, is_new: bool, is_old: bool) {
        if is_old && !self.trouble.is_empty() {
            self.trouble.push("This was the last try".to_owned());
        } else if !is_new {
            self.trouble.clear();
        }
    }

    fn lines(self) -> impl Iterator<Item = String> {
        self.done.into_iter().chain(self.trouble)
    }
}

/// Sets aside what runs began whose worker was killed with them, and says of which tasks. For the start, when nothing
/// of them runs any more and before a task can be given out again.
/// Of a task that `is_completed` there is nothing.
pub(crate) async fn set_aside_leftovers(journals: &Path, is_completed: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    see_to_leftovers(journals, is_completed, START_PATIENCE, &AbortSource::new().1).await
}

/// The same where a run is about to begin: what could not be looked at by then stays for the next try.
async fn see_to_leftovers(
    journals: &Path,
    is_completed: impl Fn(&str) -> bool,
    patience: Duration,
    abort: &Abort,
) -> Vec<(String, String)> {
    let folder = journals.to_owned();
    let Some(found) = run_blocking_within(abort.patience(patience), move || leftovers(&folder)).await else {
        warn!(folder = %journals.display(), "does not answer: pictures that were not finished may be taken for done");
        return Vec::new();
    };
    let remove = async |path: PathBuf| {
        run_blocking_within(abort.patience(patience), move || std::fs::remove_file(path).ok()).await
    };
    let mut said = Vec::new();
    let mut is_late = false;
    for leftover in found {
        let path = leftover.path.clone();
        if is_completed(&leftover.head.task) {
            remove(path).await;
        } else if !is_late {
            let task = leftover.head.task.clone();
            let (is_new, is_old) = (leftover.is_new, leftover.is_old);
            let mut result = set_aside(leftover.into(), patience, abort).await;
            // So would the others be, and they can wait as well.
            is_late = result.is_late;
            if result.trouble.is_empty() || is_old {
                remove(path).await;
            }
            result.bound(is_new, is_old);
            said.extend(result.lines().map(|line| (task.clone(), line)));
        }
    }
    said
}

impl From<Leftover> for Run {
    fn from(leftover: Leftover) -> Self {
        let Leftover {
            head, saved, not_after, ..
        } = leftover;
        Self {
            outputs: outputs(&head.arguments, &head.directory),
            before: Some(head.before.into_iter().collect()),
            mounts: head.mounts,
            saved,
            writing: Vec::new(),
            tmpdir: std::env::temp_dir(),
            began: SystemTime::UNIX_EPOCH,
            not_after,
        }
    }
}
