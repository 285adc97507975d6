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

use tracing::info;

use crate::abort::Abort;
use crate::command::{Command, CommandContext, TaskEnvironment};
use crate::outcome::{Incomplete, Outcome};
use crate::protocol::{AssignedTask, WireCommand};
use crate::report::TaskLog;
use crate::scratch::TmpDir;

pub(crate) use crate::command::set_aside_leftovers;
pub(crate) use orphaned_runs::settle;
pub(crate) use tools::Tools;

/// What is still to be done for a task once its report is closed.
#[derive(Debug)]
#[must_use = "the guard would wait, and the task's temporary directory stay until the next start"]
pub(crate) struct Cleanup(Option<TmpDir>);

/// Runs the commands of a task to its end. The report is still open when this returns: the outcome is the worker's to
/// judge. Dropped on the way, the task's temporary directory stays until [`Leftovers`](crate::scratch::Leftovers) are looked for.
pub(crate) async fn run(
    task: &AssignedTask,
    tools: &Tools,
    abort: &mut Abort,
    log: &mut impl TaskLog,
) -> (Outcome, Cleanup) {
    if let Some(reason) = abort.reason() {
        return (Err(Incomplete::Aborted(reason)), Cleanup(None));
    }
    log.activity("Started");
    tokio::select! {
        biased;
        reason = abort.raised() => return (Err(Incomplete::Aborted(reason)), Cleanup(None)),
        () = tools.commands.begin(&task.job) => {}
    }
    let dir = match TmpDir::make(tools.scratch(), abort).await {
        Ok(dir) => dir,
        Err(no_dir) => {
            let reason = abort.reason().map_or(Incomplete::Requeued(no_dir), Incomplete::Aborted);
            return (Err(reason), Cleanup(None));
        }
    };
    let environment = TaskEnvironment::new(task, dir.path());
    let mut context = CommandContext {
        tools: &tools.commands,
        environment: &environment,
        abort,
        log,
        is_last: false,
    };
    (commands(&task.commands, &mut context).await, Cleanup(Some(dir)))
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

/// One after the other, each read only when it is reached: those before a wrong one have run.
async fn commands(commands: &[WireCommand], context: &mut CommandContext<'_>) -> Outcome {
    for (index, wire) in commands.iter().enumerate() {
        if let Some(reason) = context.abort.reason() {
            return Err(Incomplete::Aborted(reason));
        }
        info!(command = wire.name, "running command {}", wire.name);
        let command = Command::try_from(wire).map_err(|error| Incomplete::Failed(error.to_string()))?;
        context.is_last = index + 1 == commands.len();
        command.run(context).await?;
        if !context.is_last {
            context.tools.launcher().release().await;
        }
        // A command with steps of its own has told them.
        if wire.total_step_count <= 0 {
            context.log.step();
        }
    }
    Ok(())
}
