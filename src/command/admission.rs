// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether a task may start a program on this node, and what that may do then.

use std::path::PathBuf;
use std::time::Duration;

use super::context::CommandContext;
use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::outcome::{Incomplete, RequeueReason};
use crate::sandbox::{Confinement, NotAdmitted, Sandbox};

/// How long the programs that the operator named may take to be looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What a program of the task may do; `None` where nothing is restricted.
///
/// # Errors
/// It may not be started: the task has failed, and would anywhere with this rule. A node whose programs cannot be looked at
/// is not fit.
pub(super) async fn admit(
    command: &str,
    exe: &str,
    context: &CommandContext<'_>,
) -> Result<Option<Confinement>, Incomplete> {
    let Some(sandbox) = context.tools.sandbox.clone() else {
        return Ok(None);
    };
    let (program, tmpdir) = (PathBuf::from(exe), context.environment.tmpdir.clone());
    let look = move || sandbox.admit(&program, &tmpdir);
    match run_blocking_within(context.abort.patience(LOOK), look).await {
        Some(Ok(confinement)) => Ok(Some(confinement)),
        Some(Err(not_allowed @ NotAdmitted::NotAllowed { .. })) => {
            Err(Incomplete::Failed(format!("{command}: {not_allowed}")))
        }
        Some(Err(error @ NotAdmitted::NoRuleset(_))) => {
            Err(Incomplete::Requeued(RequeueReason::CannotStart(chain(&error))))
        }
        None => Err(context.abort.reason().map_or_else(
            || {
                let why = "the programs that [sandbox] names cannot be looked at: their file system does not answer";
                Incomplete::Requeued(RequeueReason::CannotStart(why.to_owned()))
            },
            Incomplete::Aborted,
        )),
    }
}

/// Whether a program, or work of ours for a task, has said that it was refused something: many go on then, and end well.
#[derive(Debug)]
pub(super) struct DeniedWatch {
    sandbox: Option<Sandbox>,
    was_seen: bool,
}

impl DeniedWatch {
    pub(super) fn new(context: &CommandContext<'_>) -> Self {
        Self {
            sandbox: context.tools.sandbox.clone(),
            was_seen: false,
        }
    }

    pub(super) fn look(&mut self, line: &[u8]) {
        self.was_seen = self.was_seen || self.sandbox.as_ref().is_some_and(|sandbox| sandbox.is_refusal(line));
    }

    pub(super) fn was_seen(&self) -> bool {
        self.was_seen
    }

    /// Names the policy in the task's log; in a few words where nothing tells of a refusal: some programs do not say why they fail.
    pub(super) fn remind(&self, context: &mut CommandContext<'_>) {
        if let Some(sandbox) = &self.sandbox {
            context.log.line(&match self.was_seen {
                true => sandbox.reminder(),
                false => sandbox.short_reminder(),
            });
        }
    }

    /// Says so where people see why a task has failed; its log has the rules.
    pub(super) fn explain(&self, why: Incomplete) -> Incomplete {
        match why {
            Incomplete::Failed(ref text) if self.was_seen => {
                Incomplete::Failed(format!("{text}; perhaps the sandbox of this node refused something"))
            }
            Incomplete::Failed(_) | Incomplete::SuspectNode(_) | Incomplete::Aborted(_) | Incomplete::Requeued(_) => {
                why
            }
        }
    }
}
