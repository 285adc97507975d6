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
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::context::CommandContext;
use super::cut_off_runs::CutOffRuns;
use super::journal::{Journal, JournalHeader};
use super::output_pattern::output_patterns;
use super::set_aside::{LOOK_PATIENCE, set_aside};
use super::unfinished_pictures::{FileStamp, PictureStamps, RenderRun, mounts_of, stamp_pictures};
use crate::clock;
use crate::outcome::Outcome;
use crate::process::OpenFile;
use crate::sandbox::run_held_within;

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
        CutOffRuns::see_to_before_a_run(context).await;
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
