// SPDX-License-Identifier: GPL-3.0-or-later

//! How a command ends, and with it its task: one value that travels from the command up to the worker, which closes
//! the task's report with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::abort::AbortReason;
use crate::process::Stray;

/// The end of a command or a task. `Ok`: it is done, and for a command that the next one can begin.
pub(crate) type Outcome = Result<(), Incomplete>;

/// Why a command or a task is not done: the rest of the task is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// It is the task's own fault, as far as can be told; in words for the task's log, without `Failed: `.
    Failed(String),
    /// The same, and it may well be this node's fault: a program that cannot be started, or crashes at once.
    SuspectNode(String),
    /// It was stopped.
    Aborted(AbortReason),
    /// It is not the task's fault: the task goes back to the Manager's queue.
    Requeued(RequeueReason),
}

/// Why a task is given back to the Manager's queue: something is wrong with this node, not with the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RequeueReason {
    /// The guard of its program died: how the program ended is not known, and nothing of it is left.
    GuardLost,
    /// Processes are left that cannot be ended.
    Unkillable(Vec<Stray>),
    /// No program, or nothing it needs, can be started here; why.
    CannotStart(String),
    /// There is no place for its temporary directory; why.
    NoTmpdir(String),
    /// What the task says cannot be kept; why.
    Spool(String),
    /// The node lacks what its operator said that tasks need; what.
    Unfit(String),
    /// Too many in a row were [`Incomplete::SuspectNode`]; the last one's words.
    CrashLoop(String),
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::SuspectNode(why) => write!(f, "failed: {why}"),
            Self::Aborted(reason) => write!(f, "aborted: {reason}"),
            Self::Requeued(reason) => write!(f, "handed back: {reason}"),
        }
    }
}

impl fmt::Display for RequeueReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuardLost => f.write_str("the guard of the program was lost, and the program ended with it"),
            Self::Unkillable(strays) => write!(f, "processes that cannot be ended: {}", names(strays)),
            Self::CannotStart(why) => write!(f, "no program can be started on this node: {why}"),
            Self::NoTmpdir(why) => write!(f, "no temporary directory can be made on this node: {why}"),
            Self::Spool(why) => write!(f, "the task's log cannot be kept on this node: {why}"),
            Self::Unfit(why) => write!(f, "this node is not fit for work: {why}"),
            Self::CrashLoop(why) => write!(
                f,
                "one task after another fails on this node, which pauses for a while; here: {why}"
            ),
        }
    }
}

/// `sleep (pid 123), python3 (pid 124)`.
pub(crate) fn names(strays: &[Stray]) -> String {
    let names: Vec<_> = strays
        .iter()
        .map(|stray| format!("{} (pid {})", stray.name, stray.pid))
        .collect();
    names.join(", ")
}
