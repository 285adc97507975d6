// SPDX-License-Identifier: GPL-3.0-or-later

//! What commands have around them: the same for all tasks ([`CommandTools`]), of one task ([`TaskEnvironment`]), and
//! for one run ([`CommandContext`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::abort::Abort;
use crate::process::{KillSequence, Launcher};
use crate::protocol::AssignedTask;
use crate::report::TaskLog;
use crate::timings::Timings;

/// What the commands of every task on this node need.
#[derive(Debug, Clone)]
pub struct CommandTools {
    pub(super) launcher: Launcher,
    /// The folder beside the worker's program where an FFmpeg may be.
    pub(super) ffmpeg_dir: PathBuf,
    pub(super) blender_kill_sequence: KillSequence,
    pub(super) kill_sequence: KillSequence,
    /// How long work on files may take to notice an abort, before it is left alone.
    pub(super) patience: Duration,
    /// A program killed sooner after its start has crashed at once.
    pub(super) crash: Duration,
    /// Where it is kept of a run of Blender what the next start has to know; nowhere in some tests.
    journals: Option<PathBuf>,
}

impl CommandTools {
    /// `ffmpeg_dir` is the `tools` folder beside the worker's program; it need not exist.
    pub fn new(launcher: Launcher, timings: &Timings, ffmpeg_dir: PathBuf) -> Self {
        Self {
            launcher,
            ffmpeg_dir,
            // Blender cleans up on SIGINT only.
            blender_kill_sequence: KillSequence(vec![
                (Signal::SIGINT, timings.blender_grace),
                (Signal::SIGTERM, timings.blender_firm_grace),
            ]),
            kill_sequence: KillSequence(vec![(Signal::SIGTERM, timings.grace)]),
            patience: timings.grace,
            crash: timings.crash_window,
            journals: None,
        }
    }

    /// The same, which keeps what the next start has to know of a run of Blender in files in `folder`. It need not
    /// be there.
    #[must_use]
    pub fn with_journals(self, folder: PathBuf) -> Self {
        Self {
            journals: Some(folder),
            ..self
        }
    }

    pub(super) fn journals(&self) -> Option<&Path> {
        self.journals.as_deref()
    }

    /// How programs are started here.
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }
}

/// Whose programs these are: what their environment and the process list say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnvironment {
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) label: String,
    /// The task's id.
    pub(super) task: String,
    pub(super) tmpdir: PathBuf,
}

impl TaskEnvironment {
    /// `FLAMENCO_TASK_ID`, `FLAMENCO_JOB_ID`, `FLAMENCO_TASK_NAME` and `TMPDIR`.
    pub fn new(task: &AssignedTask, tmpdir: &Path) -> Self {
        let mut env: Vec<_> = [
            ("FLAMENCO_TASK_ID", task.uuid.as_str()),
            ("FLAMENCO_JOB_ID", &task.job),
            ("FLAMENCO_TASK_NAME", &task.name),
        ]
        .into_iter()
        .map(|(name, value)| (OsString::from(name), Some(variable(value))))
        .collect();
        env.push(("TMPDIR".into(), Some(tmpdir.into())));
        Self {
            env,
            label: task.name.clone(),
            task: task.uuid.to_string(),
            tmpdir: tmpdir.to_owned(),
        }
    }
}

/// The longest value of a variable, in bytes: the kernel takes none over 128 KiB, and these are for people.
const LONGEST: usize = 4 << 10;

/// A NUL cannot be in a variable, nor can much text: a task's name must not keep its programs from starting.
fn variable(text: &str) -> OsString {
    let kept = &text[..text.floor_char_boundary(LONGEST)];
    kept.replace('\0', "").into()
}

/// What one command has while it runs.
pub struct CommandContext<'a> {
    pub tools: &'a CommandTools,
    pub environment: &'a TaskEnvironment,
    pub abort: &'a mut Abort,
    pub log: &'a mut dyn TaskLog,
    /// After it the task is done.
    pub is_last: bool,
}

impl std::fmt::Debug for CommandContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandContext")
            .field("environment", self.environment)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_whose_it_is_also_with_an_odd_name() {
        let task: AssignedTask = serde_json::from_str(r#"{"uuid":"t","job":"j","name":"a\u0000b ü"}"#).unwrap();
        let environment = TaskEnvironment::new(&task, Path::new("/tmp/x"));
        let env: Vec<_> = environment
            .env
            .iter()
            .map(|(name, value)| (name.to_str(), value.as_deref().and_then(|v| v.to_str())))
            .collect();
        assert_eq!(
            env,
            [
                (Some("FLAMENCO_TASK_ID"), Some("t")),
                (Some("FLAMENCO_JOB_ID"), Some("j")),
                (Some("FLAMENCO_TASK_NAME"), Some("ab ü")),
                (Some("TMPDIR"), Some("/tmp/x")),
            ]
        );
    }

    #[test]
    fn i4_a_name_that_is_too_long_for_a_variable_is_cut() {
        assert_eq!(variable(&"ü".repeat(140_000)).len(), LONGEST);
        assert_eq!(variable("a\u{0}b"), "ab");
    }
}
