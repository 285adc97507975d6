// SPDX-License-Identifier: GPL-3.0-or-later

//! Why there is no Blender to render with, and how each way to that is told from the others.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::abort::{Abort, AbortReason};
use crate::chain::chain;
use crate::process::{Attended, Exit, Finished, KeptProgram, OpenFile, ProcessEvent, StartError, Usage};

/// How long a Blender whose channel is closed may take to be gone.
const QUITTING: Duration = Duration::from_secs(10);

/// Why a Blender is not, or no longer, there. Nothing of it is left.
#[derive(Debug)]
pub(super) enum Unusable {
    /// This file is not for one that is kept.
    Refused(String),
    /// The task was stopped, or its guard was lost, or something of it cannot be ended: what that means is not for this room.
    Ended(Box<Finished>),
    /// The task was stopped before anything ran.
    NotBegun(AbortReason),
    /// It ended by itself, in mid-work.
    Died(Box<Finished>),
    /// It does not start at all, or answered nonsense, or could not render.
    Failed {
        /// In words.
        why: String,
        /// What it had open for writing.
        writing: Vec<OpenFile>,
    },
}

impl Unusable {
    /// Counts for the task alone: `task` is what the task took, but for the processor time, of which the Blender had used
    /// `before`.
    pub(super) fn leave_out(&mut self, before: Duration, task: Usage) {
        if let Self::Ended(finished) | Self::Died(finished) = self {
            finished.usage.cpu = finished.usage.cpu.saturating_sub(before);
            (finished.usage.wall, finished.usage.frozen) = (task.wall, task.frozen);
        }
    }
}

/// No answer came that could be read. Where the channel is closed Blender is on its way out, by itself or because it was
/// told to end.
pub(super) async fn no_answer(
    program: &mut KeptProgram,
    error: &io::Error,
    abort: &mut Abort,
    on_event: &mut dyn FnMut(ProcessEvent<'_>),
) -> Unusable {
    let is_closed = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    );
    let waiting = abort.clone();
    let quitting = waiting.unpaused(QUITTING);
    if is_closed && let Attended::Over(end) = program.attend(quitting, abort, on_event).await {
        return over(end);
    }
    end_failed(program, &error.to_string(), on_event).await
}

/// Ends a Blender that failed. What it still says may tell why.
pub(super) async fn end_failed(
    program: &mut KeptProgram,
    why: &str,
    on_event: &mut dyn FnMut(ProcessEvent<'_>),
) -> Unusable {
    match program.end(on_event).await {
        Ok(finished) if finished.strays.unkillable.is_empty() => Unusable::Failed {
            why: why.to_owned(),
            writing: finished.writing,
        },
        Ok(finished) => Unusable::Ended(Box::new(lost(finished))),
        Err(error) => not_started(error),
    }
}

/// It ended by itself, or was aborted.
pub(super) fn over(end: Result<Finished, StartError>) -> Unusable {
    match end {
        Ok(finished) if matches!(finished.exit, Exit::Aborted(_)) => Unusable::Ended(Box::new(finished)),
        Ok(finished) if finished.exit == Exit::Lost || !finished.strays.unkillable.is_empty() => {
            Unusable::Ended(Box::new(lost(finished)))
        }
        Ok(finished) => Unusable::Died(Box::new(finished)),
        Err(error) => not_started(error),
    }
}

/// It is not known to be gone: no other program may write what it may still write.
fn lost(finished: Finished) -> Finished {
    Finished {
        exit: Exit::Lost,
        ..finished
    }
}

pub(super) fn not_started(error: StartError) -> Unusable {
    match error {
        StartError::Aborted(reason) => Unusable::NotBegun(reason),
        error @ (StartError::Exec(_) | StartError::NotOnPath | StartError::Nul(_) | StartError::Guard(_)) => {
            failed(&chain(&error))
        }
    }
}

/// It could not even be tried.
pub(super) fn failed(why: &impl Display) -> Unusable {
    Unusable::Failed {
        why: why.to_string(),
        writing: Vec::new(),
    }
}
