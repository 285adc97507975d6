// SPDX-License-Identifier: GPL-3.0-or-later

//! A task: its commands in order, and their outcome.
//!
//! ```text
//! AssignedTask ─► TMPDIR ─► command 1 ─► command 2 ─► ... ─► Outcome ─► (report closed) ─► Cleanup: TMPDIR removed
//!                              └─ abort? asked before each one
//! ```

mod orphaned_runs;
mod tools;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::info;

use crate::abort::Abort;
use crate::command::{Command, CommandContext, CommandStop, HandedCommand, TaskEnvironment};
use crate::handover::HandedFd;
use crate::outcome::{Incomplete, Outcome};
use crate::protocol::{AssignedTask, WireCommand};
use crate::report::TaskLog;
use crate::scratch::TmpDir;

pub(crate) use crate::command::CutOffRuns;
pub(crate) use orphaned_runs::settle;
pub(crate) use tools::Tools;

/// What is still to be done for a task once its report is closed.
#[derive(Debug)]
#[must_use = "the guard would wait, and the task's temporary directory stay until the next start"]
pub(crate) struct Cleanup(Option<TmpDir>);

/// A task as it travels, while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedTask {
    /// So many of its commands are done.
    done: usize,
    /// The next one.
    command: HandedCommand,
    /// The task's temporary directory.
    tmpdir: OsString,
}

/// Where a task stands when it is not run here any more.
#[derive(Debug)]
pub(crate) enum TaskStop {
    /// It is over, but for what is to be done once its report is closed.
    Over(Outcome, Cleanup),
    /// It goes on, in the hands of whoever has this.
    HandedOver(Box<HandedTask>),
}

impl HandedTask {
    /// What stays open over the exec.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        self.command.descriptors()
    }

    /// The task's temporary directory.
    pub(crate) fn tmpdir(&self) -> &Path {
        Path::new(&self.tmpdir)
    }
}

/// Runs the commands of a task to its end. The report is still open when this returns: the outcome is the worker's to
/// judge. Dropped on the way, the task's temporary directory stays until [`Leftovers`](crate::scratch::Leftovers) are looked for.
pub(crate) async fn run(task: &AssignedTask, tools: &Tools, abort: &mut Abort, log: &mut impl TaskLog) -> TaskStop {
    let not_begun = |why| TaskStop::Over(Err(why), Cleanup(None));
    if let Some(reason) = abort.reason() {
        return not_begun(Incomplete::Aborted(reason));
    }
    log.activity("Started");
    tokio::select! {
        biased;
        reason = abort.raised() => return not_begun(Incomplete::Aborted(reason)),
        () = tools.commands.begin(&task.job) => {}
    }
    let dir = match TmpDir::make(tools.scratch(), abort).await {
        Ok(dir) => dir,
        Err(no_dir) => {
            let reason = abort.reason().map_or(Incomplete::Requeued(no_dir), Incomplete::Aborted);
            return not_begun(reason);
        }
    };
    run_in(dir, None, task, tools, (abort, log)).await
}

/// Goes on with a task that was handed over, as [`run`] does.
pub(crate) async fn go_on(
    handed: HandedTask,
    task: &AssignedTask,
    tools: &Tools,
    abort: &mut Abort,
    log: &mut impl TaskLog,
) -> TaskStop {
    let dir = TmpDir::take_over(handed.tmpdir.into(), tools.scratch());
    let begun = (handed.done, handed.command);
    run_in(dir, Some(begun), task, tools, (abort, log)).await
}

/// Runs what is not `begun`, which is so many commands, and the one that goes on.
async fn run_in(
    dir: TmpDir,
    begun: Option<(usize, HandedCommand)>,
    task: &AssignedTask,
    tools: &Tools,
    (abort, log): (&mut Abort, &mut impl TaskLog),
) -> TaskStop {
    log.runs_in(dir.path());
    let environment = TaskEnvironment::new(task, dir.path());
    let mut context = CommandContext {
        tools: &tools.commands,
        environment: &environment,
        abort,
        log,
        is_last: false,
    };
    match commands(&task.commands, begun, &mut context).await {
        Ok(()) => TaskStop::Over(Ok(()), Cleanup(Some(dir))),
        Err((_, CommandStop::Incomplete(why))) => TaskStop::Over(Err(why), Cleanup(Some(dir))),
        Err((done, CommandStop::HandedOver(command))) => TaskStop::HandedOver(Box::new(HandedTask {
            done,
            command: *command,
            tmpdir: dir.path().into(),
        })),
    }
}

impl Cleanup {
    /// Lets the guard of the last program go, and removes the temporary directory; what takes long goes on by itself.
    /// Only for when the outcome is on disk: the guard is what would note it otherwise.
    pub(crate) async fn run(self, tools: &Tools, abort: &Abort) {
        let Some(dir) = self.0 else { return };
        tools.launcher().release().await;
        dir.remove(tools.launcher(), abort).await;
    }
}

/// One after the other, each read only when it is reached: those before a wrong one have run. Where they do not all get
/// done, it says how many were.
async fn commands(
    commands: &[WireCommand],
    begun: Option<(usize, HandedCommand)>,
    context: &mut CommandContext<'_>,
) -> Result<(), (usize, CommandStop)> {
    let (done, mut handed) = begun.map_or((0, None), |(done, handed)| (done, Some(handed)));
    for (index, wire) in commands.iter().enumerate().skip(done) {
        context.is_last = index + 1 == commands.len();
        command(wire, handed.take(), context)
            .await
            .map_err(|stop| (index, stop))?;
    }
    Ok(())
}

async fn command(
    wire: &WireCommand,
    handed: Option<HandedCommand>,
    context: &mut CommandContext<'_>,
) -> Result<(), CommandStop> {
    if let (Some(reason), None) = (context.abort.reason(), &handed) {
        return Err(Incomplete::Aborted(reason).into());
    }
    if handed.is_none() {
        info!(command = wire.name, "running command {}", wire.name);
    }
    let command = Command::try_from(wire).map_err(|error| Incomplete::Failed(error.to_string()))?;
    command.run(handed, context).await?;
    if !context.is_last {
        context.tools.launcher().release().await;
    }
    // A command with steps of its own has told them.
    if wire.total_step_count <= 0 {
        context.log.step();
    }
    Ok(())
}
