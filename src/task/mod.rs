// SPDX-License-Identifier: GPL-3.0-or-later

//! A task: its commands in order, and one outcome, decided once.
//!
//! ```text
//! AssignedTask ─► TMPDIR ─► command 1 ─► command 2 ─► ... ─► Outcome ─► TMPDIR removed
//!                              └─ abort? asked before each one
//! ```

mod tmpdir;
mod unseen;

#[cfg(test)]
mod tests;

use std::fmt;

use tracing::info;

use crate::abort::{Abort, AbortReason};
use crate::command::{Command, Ending, Identity, Stage};
use crate::protocol::{AssignedTask, WireCommand};
use crate::report::LastWord;

pub(crate) use crate::command::set_aside_leftovers;
pub use crate::command::{HandBack, Said, Scratch, Tools};
pub use tmpdir::Leftovers;
pub use unseen::settle;

use tmpdir::TaskDir;

/// How a task ended, as far as this worker is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// In the words of its activity, without `Failed: `.
    Failed(String),
    /// The same, and it may well be this node's fault.
    Unwell(String),
    Aborted(AbortReason),
    HandedBack(HandBack),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Failed(why) | Self::Unwell(why) => write!(f, "failed: {why}"),
            Self::Aborted(reason) => write!(f, "aborted: {reason}"),
            Self::HandedBack(cause) => write!(f, "handed back: {cause}"),
        }
    }
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Failed(why) => Self::Failed(why),
            Ending::Unwell(why) => Self::Unwell(why),
            Ending::Aborted(reason) => Self::Aborted(reason),
            Ending::HandedBack(cause) => Self::HandedBack(cause),
        }
    }
}

/// Whose fault the next failure is, where that cannot be told from it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repute {
    /// A program that cannot be run is the task's fault, a lost guard is not.
    Good,
    /// There were many in a row with these words: one more is this node's, and the task is handed back.
    Doubtful(String),
    /// One guard after the other was lost: one more is the task's fault, which kills them.
    Unguarded,
}

/// Gives a task back before it has begun: it is not for this node now.
pub async fn hand_back(cause: HandBack, reporter: impl LastWord) -> Outcome {
    let outcome = Outcome::HandedBack(cause);
    tell(&outcome, reporter).await;
    outcome
}

/// Runs a task to its end; the outcome is in the reporter's hands when this returns, and the task's
/// temporary directory is gone, or goes on being removed. Dropped on the way, the directory stays until [`Leftovers`] are
/// looked for.
pub async fn run(
    task: &AssignedTask,
    tools: &Tools,
    repute: Repute,
    abort: &mut Abort,
    mut reporter: impl LastWord,
) -> Outcome {
    if let Some(reason) = abort.reason() {
        let outcome = Outcome::Aborted(reason);
        tell(&outcome, reporter).await;
        return outcome;
    }
    reporter.activity("Started");
    let dir = match TaskDir::make(tools.scratch(), abort).await {
        Ok(dir) => dir,
        Err(cause) => {
            let outcome = abort.reason().map_or(Outcome::HandedBack(cause), Outcome::Aborted);
            tell(&outcome, reporter).await;
            return outcome;
        }
    };
    let identity = Identity::new(task, dir.path());
    let mut stage = Stage {
        tools,
        identity: &identity,
        abort,
        voice: &mut reporter,
        is_last: false,
    };
    let outcome = match commands(&task.commands, &mut stage).await {
        Ok(()) => Outcome::Completed,
        Err(Ending::Unwell(why)) if repute == Repute::Doubtful(why.clone()) => {
            Outcome::HandedBack(HandBack::Strikes(why))
        }
        Err(Ending::HandedBack(lost @ HandBack::GuardLost)) if repute == Repute::Unguarded => {
            Outcome::Failed(format!("{lost}, time after time: does it kill its parent?"))
        }
        Err(ending) => ending.into(),
    };
    tell(&outcome, reporter).await;
    tools.launcher().release().await;
    dir.remove(tools.launcher(), abort).await;
    outcome
}

/// One after the other, each read only when it is reached: those before a wrong one have run.
async fn commands(commands: &[WireCommand], stage: &mut Stage<'_>) -> Result<(), Ending> {
    for (index, wire) in commands.iter().enumerate() {
        if let Some(reason) = stage.abort.reason() {
            return Err(Ending::Aborted(reason));
        }
        info!(command = wire.name, "running command {}", wire.name);
        let command = Command::try_from(wire).map_err(|error| Ending::Failed(error.to_string()))?;
        stage.is_last = index + 1 == commands.len();
        command.run(stage).await?;
        if !stage.is_last {
            stage.tools.launcher().release().await;
        }
        // A command with steps of its own has told them.
        if wire.total_step_count <= 0 {
            stage.voice.step();
        }
    }
    Ok(())
}

async fn tell(outcome: &Outcome, reporter: impl LastWord) {
    match outcome {
        Outcome::Completed => reporter.completed().await,
        Outcome::Failed(why) | Outcome::Unwell(why) => reporter.failed(why).await,
        Outcome::Aborted(reason) => reporter.aborted(&reason.to_string()).await,
        Outcome::HandedBack(cause) => reporter.handed_back(&cause.to_string()).await,
    }
}
