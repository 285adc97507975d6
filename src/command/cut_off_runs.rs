// SPDX-License-Identifier: GPL-3.0-or-later

//! Runs of Blender that nobody saw to the end: their worker was killed with them, or their storage did not answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::warn;

use super::context::CommandContext;
use super::journal::{CutOffRun, read_cut_off_runs};
use super::output_pattern::output_patterns;
use super::set_aside::{LOOK_PATIENCE, set_aside};
use super::unfinished_pictures::RenderRun;
use crate::abort::{Abort, AbortSource};
use crate::blocking::run_blocking_within;
use crate::files::temporary_folder;
use crate::sandbox::Sandbox;

/// How long the pictures of such runs may hold up a start of the worker.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Where they are known from, and how their pictures are touched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutOffRuns<'a> {
    /// The folder of the journals.
    pub(crate) journals: &'a Path,
    /// What the worker is held to, where there is one.
    pub(crate) sandbox: Option<&'a Sandbox>,
}

impl CutOffRuns<'_> {
    /// Sets aside what they began, and says of which tasks. For the start, when nothing of them runs any more and before a
    /// task can be given out again. Of a task that `is_completed` there is nothing.
    pub(crate) async fn set_aside(self, is_completed: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        self.see_to(is_completed, START_PATIENCE, &AbortSource::new().1).await
    }

    /// What could not be looked at when its run was over may be there now: the run that begins would take it for done.
    pub(super) async fn see_to_before_a_run(context: &mut CommandContext<'_>) {
        let Some(journals) = context.tools.journals() else {
            return;
        };
        let sandbox = context.tools.sandbox.as_ref();
        let runs = CutOffRuns { journals, sandbox };
        for (task, line) in runs.see_to(|_| false, LOOK_PATIENCE, context.abort).await {
            if task == context.environment.task {
                context.log.line(&line);
            } else {
                warn!(task, "{line}");
            }
        }
    }

    /// What cannot be looked at within `patience` stays for the next try.
    async fn see_to(
        self,
        is_completed: impl Fn(&str) -> bool,
        patience: Duration,
        abort: &Abort,
    ) -> Vec<(String, String)> {
        let folder = self.journals.to_owned();
        let Some(found) = run_blocking_within(abort.patience(patience), move || read_cut_off_runs(&folder)).await
        else {
            warn!(folder = %self.journals.display(), "does not answer: pictures that were not finished may be taken for done");
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
                let held = self.sandbox.map(|sandbox| sandbox.held(None));
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
