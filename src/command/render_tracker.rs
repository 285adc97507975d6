// SPDX-License-Identifier: GPL-3.0-or-later

//! A run of Blender, as far as its pictures go: what was there before, what was saved, and, unless it ends well, what
//! is to be set aside.
//!
//! ```text
//! begin: stamp ─► journal on disk ─► Blender: `Saved:` ─► journal ─► end: unfinished set aside, journal gone
//!                    └─ the worker was killed: the next start sets aside
//! ```
//!
//! A disk that does not answer delays a run by seconds, and fails nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use super::context::CommandContext;
use super::journal::{CutOffRun, Journal, JournalHeader, read_cut_off_runs};
use super::output_pattern::output_patterns;
use super::unfinished_pictures::{
    FileStamp, PictureStamps, RenderRun, UnfinishedPicture, UnfinishedSearch, mounts_of, stamp_pictures,
};
use crate::abort::{Abort, AbortSource};
use crate::blocking::run_blocking_within;
use crate::clock;
use crate::files::temporary_folder;
use crate::outcome::Outcome;
use crate::process::OpenFile;
use crate::sandbox::{HeldTo, Sandbox, run_held_within};

/// How long a stamp at the output's folder may hold up Blender's start, and a search after its end the task.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How long the same may hold up a start of the worker.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file: whoever writes it is seen by that.
const MOMENT: Duration = Duration::from_millis(200);

/// What is kept in mind while Blender runs, as it travels. Names need not be text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedTracker {
    arguments: Vec<String>,
    directory: OsString,
    before: Option<Vec<(OsString, FileStamp)>>,
    mounts: Vec<OsString>,
    saved: Vec<OsString>,
    began: SystemTime,
    journal: Option<OsString>,
}

/// What is kept in mind while Blender runs.
#[derive(Debug)]
pub(super) struct RenderTracker {
    arguments: Vec<String>,
    directory: PathBuf,
    tmpdir: PathBuf,
    before: Option<PictureStamps>,
    mounts: Vec<PathBuf>,
    saved: Vec<PathBuf>,
    began: SystemTime,
    journal: Option<Journal>,
}

impl RenderTracker {
    /// Before Blender starts.
    pub(super) async fn begin(context: &mut CommandContext<'_>, arguments: &[String]) -> Self {
        see_to_earlier_runs(context).await;
        let directory = std::env::current_dir().unwrap_or_default();
        let outputs = output_patterns(arguments, &directory);
        let mut rendering = Self {
            arguments: arguments.to_owned(),
            directory,
            tmpdir: context.environment.tmpdir.clone(),
            before: None,
            mounts: Vec::new(),
            saved: Vec::new(),
            began: clock::system_time(),
            journal: None,
        };
        if outputs.is_empty() {
            return rendering;
        }
        let looked = tokio::select! {
            looked = run_held_within(context.held(), sleep(LOOK_PATIENCE), move || Ok((stamp_pictures(&outputs)?, mounts_of(&outputs)))) => looked,
            // Nothing will run.
            _reason = context.abort.raised() => return rendering,
        };
        match looked {
            Some(Ok((before, mounts))) => {
                rendering.before = Some(before);
                rendering.mounts = mounts;
            }
            Some(Err::<_, io::Error>(error)) => context.log.line(&format!(
                "Cannot look into the folder of the output: {error}; a picture that is not finished may stay there"
            )),
            None => context
                .log
                .line("The folder of the output does not answer; a picture that is not finished may stay there"),
        }
        if let (Some(folder), Some(before)) = (context.tools.journals(), &rendering.before) {
            let head = JournalHeader {
                task: context.environment.task.clone(),
                boot: clock::boot_id(),
                arguments: rendering.arguments.clone(),
                directory: rendering.directory.clone(),
                before: before.iter().map(|(path, stamp)| (path.clone(), *stamp)).collect(),
                mounts: rendering.mounts.clone(),
            };
            rendering.journal = Some(Journal::begin(folder, &head).await);
        }
        rendering
    }

    /// As it travels to whoever goes on with the run.
    pub(super) fn hand_over(self) -> HandedTracker {
        let words = |paths: Vec<PathBuf>| paths.into_iter().map(OsString::from).collect();
        let stamps = |stamps: PictureStamps| stamps.into_iter().map(|(path, stamp)| (path.into(), stamp)).collect();
        HandedTracker {
            arguments: self.arguments,
            directory: self.directory.into(),
            before: self.before.map(stamps),
            mounts: words(self.mounts),
            saved: words(self.saved),
            began: self.began,
            journal: self.journal.as_ref().map(|journal| journal.path().into()),
        }
    }

    /// Goes on with a run.
    pub(super) fn take_over(handed: HandedTracker, context: &CommandContext<'_>) -> Self {
        let paths = |paths: Vec<OsString>| paths.into_iter().map(PathBuf::from).collect();
        let before = handed
            .before
            .map(|before| before.into_iter().map(|(path, stamp)| (path.into(), stamp)).collect());
        Self {
            arguments: handed.arguments,
            directory: handed.directory.into(),
            tmpdir: context.environment.tmpdir.clone(),
            before,
            mounts: paths(handed.mounts),
            saved: paths(handed.saved),
            began: handed.began,
            journal: handed.journal.map(|path| Journal::go_on(path.into())),
        }
    }

    /// Blender says that it has written this.
    pub(super) fn saved(&mut self, path: PathBuf) {
        if let Some(journal) = &self.journal {
            journal.saved(&path);
        }
        self.saved.push(path);
    }

    /// After Blender's end: sets aside what it did not finish.
    pub(super) async fn end(self, ended: &Outcome, writing: Vec<OpenFile>, context: &mut CommandContext<'_>) {
        let mut is_done = true;
        if ended.is_err() {
            let run = RenderRun {
                outputs: output_patterns(&self.arguments, &self.directory),
                before: self.before,
                mounts: self.mounts,
                saved: self.saved,
                writing,
                tmpdir: self.tmpdir,
                began: self.began,
                not_after: None,
            };
            let held = context.held();
            let done = set_aside(run, held, LOOK_PATIENCE, context.abort).await;
            is_done = done.problems.is_empty();
            done.lines().for_each(|line| context.log.line(&line));
        }
        match self.journal {
            Some(journal) if is_done => journal.end().await,
            Some(journal) => journal.keep(),
            None => {}
        }
    }
}

/// What could not be looked at when its run was over may be there now: this run would take it for done.
async fn see_to_earlier_runs(context: &mut CommandContext<'_>) {
    let Some(journals) = context.tools.journals() else {
        return;
    };
    let sandbox = context.tools.sandbox.as_ref();
    for (task, line) in see_to_leftovers((journals, sandbox), |_| false, LOOK_PATIENCE, context.abort).await {
        if task == context.environment.task {
            context.log.line(&line);
        } else {
            warn!(task, "{line}");
        }
    }
}

/// What came of setting aside.
#[derive(Debug, Default)]
struct SetAsideReport {
    /// What was done, in lines for a log.
    done: Vec<String>,
    /// What could not be; without any, there is nothing left to do.
    problems: Vec<String>,
    /// The storage did not answer.
    is_late: bool,
}

/// Finds what was not finished and sets it aside.
async fn set_aside(run: RenderRun, held: Option<HeldTo>, patience: Duration, abort: &Abort) -> SetAsideReport {
    let Some(UnfinishedSearch { unfinished, problems }) =
        run_held_within(held.clone(), abort.patience(patience), move || run.find()).await
    else {
        return SetAsideReport::late(
            "The folder of the output does not answer; a picture that was not finished may be left there, and another node \
             would take it for done",
        );
    };
    let mut result = SetAsideReport {
        problems,
        ..SetAsideReport::default()
    };
    if unfinished.is_empty() {
        return result;
    }
    sleep(MOMENT).await;
    let setting = run_held_within(held, abort.patience(patience), || {
        unfinished
            .into_iter()
            .map(UnfinishedPicture::set_aside)
            .collect::<Vec<_>>()
    });
    let Some(done) = setting.await else {
        return SetAsideReport::late("The folder of the output does not answer; it is tried on in the background");
    };
    for one in done {
        match one {
            Ok(line) => result.done.extend(line),
            Err(line) => result.problems.push(line),
        }
    }
    result
}

impl SetAsideReport {
    fn late(why: &str) -> Self {
        Self {
            problems: vec![why.to_owned()],
            is_late: true,
            ..Self::default()
        }
    }

    /// FileWorkError is told the first time, and the last.
    fn bound(&mut self, is_new: bool, is_old: bool) {
        if is_old && !self.problems.is_empty() {
            self.problems.push("This was the last try".to_owned());
        } else if !is_new {
            self.problems.clear();
        }
    }

    fn lines(self) -> impl Iterator<Item = String> {
        self.done.into_iter().chain(self.problems)
    }
}

/// Sets aside what runs began whose worker was killed with them, and says of which tasks. For the start, when nothing
/// of them runs any more and before a task can be given out again.
/// Of a task that `is_completed` there is nothing.
pub(crate) async fn set_aside_leftovers(
    journals: &Path,
    sandbox: Option<&Sandbox>,
    is_completed: impl Fn(&str) -> bool,
) -> Vec<(String, String)> {
    see_to_leftovers((journals, sandbox), is_completed, START_PATIENCE, &AbortSource::new().1).await
}

/// The same where a run is about to begin: what could not be looked at by then stays for the next try.
async fn see_to_leftovers(
    (journals, sandbox): (&Path, Option<&Sandbox>),
    is_completed: impl Fn(&str) -> bool,
    patience: Duration,
    abort: &Abort,
) -> Vec<(String, String)> {
    let folder = journals.to_owned();
    let Some(found) = run_blocking_within(abort.patience(patience), move || read_cut_off_runs(&folder)).await else {
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
            let held = sandbox.map(|sandbox| sandbox.held(None));
            let mut result = set_aside(leftover.into(), held, patience, abort).await;
            // So would the others be, and they can wait as well.
            is_late = result.is_late;
            if result.problems.is_empty() || is_old {
                remove(path).await;
            }
            result.bound(is_new, is_old);
            said.extend(result.lines().map(|line| (task.clone(), line)));
        }
    }
    said
}

impl From<CutOffRun> for RenderRun {
    fn from(leftover: CutOffRun) -> Self {
        let CutOffRun {
            head, saved, not_after, ..
        } = leftover;
        Self {
            outputs: output_patterns(&head.arguments, &head.directory),
            before: Some(head.before.into_iter().collect()),
            mounts: head.mounts,
            saved,
            writing: Vec::new(),
            tmpdir: temporary_folder(),
            began: SystemTime::UNIX_EPOCH,
            not_after,
        }
    }
}
