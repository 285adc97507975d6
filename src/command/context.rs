// SPDX-License-Identifier: GPL-3.0-or-later

//! What a running command uses besides its parameters: what is the same for all tasks ([`CommandTools`]), what belongs to one
//! task ([`TaskEnvironment`]), and what belongs to one run ([`CommandContext`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::abort::Abort;
use crate::process::{KillSequence, Launcher};
use crate::protocol::AssignedTask;
use crate::report::TaskLog;
use crate::sandbox::{HeldTo, Sandbox};
use crate::timings::Timings;
use crate::warm::WarmBlender;

/// What the commands of every task on this node need.
#[derive(Debug, Clone)]
pub(crate) struct CommandTools {
    pub(super) launcher: Launcher,
    /// The folder beside the worker's program where an FFmpeg may be.
    pub(super) ffmpeg_dir: PathBuf,
    /// How Blender is ended.
    pub(super) blender_kill_sequence: KillSequence,
    /// How any other program is ended.
    pub(super) kill_sequence: KillSequence,
    /// How long work on files may take to notice an abort before it is left behind.
    pub(super) patience: Duration,
    /// A program that is killed sooner after its start than this counts as crashed at its start.
    pub(super) crash: Duration,
    /// The folder for the journals of runs of Blender; `None` in some tests.
    journals: Option<PathBuf>,
    /// Renders in a Blender that is kept, where that is switched on.
    pub(super) warm: Option<WarmBlender>,
    /// What tasks may do, where that is restricted.
    pub(super) sandbox: Option<Sandbox>,
}

impl CommandTools {
    /// Tools without journals. `ffmpeg_dir` is the `tools` folder beside the worker's program; it need not exist.
    pub(crate) fn new(launcher: Launcher, timings: &Timings, ffmpeg_dir: PathBuf) -> Self {
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
            warm: None,
            sandbox: None,
        }
    }

    /// The same tools, which keep in `folder` what the next start has to know about a run of Blender. The folder need not
    /// exist.
    #[must_use]
    pub(crate) fn with_journals(self, folder: PathBuf) -> Self {
        Self {
            journals: Some(folder),
            ..self
        }
    }

    /// The same tools, which render in a Blender that is kept, where they have one.
    #[must_use]
    pub(crate) fn with_warm(self, warm: Option<WarmBlender>) -> Self {
        Self { warm, ..self }
    }

    /// The same tools, which hold tasks to a sandbox, where there is one.
    #[must_use]
    pub(crate) fn with_sandbox(self, sandbox: Option<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// No task is taken now: a Blender that is kept goes. The future, which need not be waited for, is over when it has.
    pub(crate) fn let_go(&self) -> impl Future<Output = ()> + use<> {
        let going = self.warm.as_ref().map(WarmBlender::let_go);
        async {
            if let Some(going) = going {
                going.await;
            }
        }
    }

    /// A task of this job comes: a Blender that is kept for another one goes. The future is over when it has.
    pub(crate) fn begin(&self, job: &str) -> impl Future<Output = ()> + use<> {
        let going = self.warm.as_ref().map(|warm| warm.begin(job));
        async {
            if let Some(going) = going {
                going.await;
            }
        }
    }

    pub(super) fn journals(&self) -> Option<&Path> {
        self.journals.as_deref()
    }

    /// Starts programs.
    pub(crate) fn launcher(&self) -> &Launcher {
        &self.launcher
    }
}

/// What the programs of a task are told about the task, and what the process list says about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskEnvironment {
    /// Variables to set, or to remove.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    /// The task's name, for the process list.
    pub(super) label: String,
    /// The task's id.
    pub(super) task: String,
    /// The job's id.
    pub(super) job: String,
    /// The task has no other command.
    pub(super) is_only: bool,
    /// The task's temporary directory.
    pub(super) tmpdir: PathBuf,
}

impl TaskEnvironment {
    /// Sets `FLAMENCO_TASK_ID`, `FLAMENCO_JOB_ID`, `FLAMENCO_TASK_NAME` and `TMPDIR`.
    pub(crate) fn new(task: &AssignedTask, tmpdir: &Path) -> Self {
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
            job: task.job.clone(),
            is_only: task.commands.len() == 1,
            tmpdir: tmpdir.to_owned(),
        }
    }
}

/// The longest value of a variable, in bytes. The kernel takes none over 128 KiB, and these values are for people.
const LONGEST: usize = 4 << 10;

/// Makes any text a valid value of a variable, without NUL bytes and not too long, so that no task's name keeps its programs
/// from starting.
fn variable(text: &str) -> OsString {
    let kept = &text[..text.floor_char_boundary(LONGEST)];
    kept.replace('\0', "").into()
}

/// What one command uses while it runs.
pub(crate) struct CommandContext<'a> {
    /// What is the same for all tasks.
    pub tools: &'a CommandTools,
    /// What belongs to the task.
    pub environment: &'a TaskEnvironment,
    /// Raised when the command is to stop.
    pub abort: &'a mut Abort,
    /// The task's log.
    pub log: &'a mut dyn TaskLog,
    /// Whether this is the task's last command.
    pub is_last: bool,
}

impl CommandContext<'_> {
    /// What the worker's own work for this task is held to, where there is a sandbox.
    pub(super) fn held(&self) -> Option<HeldTo> {
        let sandbox = self.tools.sandbox.as_ref()?;
        Some(sandbox.held(Some(&self.environment.tmpdir)))
    }
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
