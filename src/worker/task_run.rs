// SPDX-License-Identifier: GPL-3.0-or-later

//! What is done for a task from its plan to the end of its report, or to where it goes on elsewhere. What is asked and
//! ordered meanwhile comes in as an abort.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::crash_loop::CrashLoopBreaker;
use crate::abort::Abort;
use crate::chain::chain;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::outcome::{Incomplete, Outcome, RequeueReason};
use crate::protocol::AssignedTask;
use crate::report::{HandedReport, PreviewQueue, TaskReporter, TaskTotals};
use crate::spool::Spool;
use crate::task::{self, HandedTask, TaskStop, Tools};

/// What becomes of a task that was handed out.
#[derive(Debug)]
pub(super) struct RunPlan {
    /// How long it waits before anything else, and why.
    pub(super) pause: Option<(Duration, String)>,
    /// Why it fails and is not run.
    pub(super) refusal: Option<String>,
}

/// How a task begins here.
#[derive(Debug)]
pub(super) enum Beginning {
    Planned(RunPlan),
    /// It goes on.
    HandedOver(Box<HandedTask>, HandedReport),
}

/// Where it stands when it is not run here any more.
#[derive(Debug)]
pub(super) enum TaskRun {
    Over(RunResult),
    GoesOn(Box<HandedTask>, HandedReport),
}

/// What became of it.
#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) outcome: Outcome,
    /// `None`: its commands were never begun.
    pub(super) ran: Option<TaskTotals>,
}

/// What a run works with.
pub(super) struct RunContext<'a> {
    pub(super) node: &'a Node,
    pub(super) tools: &'a Tools,
    pub(super) spool: &'a Spool,
    pub(super) previews: &'a PreviewQueue,
    pub(super) metrics: &'a Metrics,
    pub(super) breaker: &'a mut CrashLoopBreaker,
    /// Set once the end of the task is reported: what is left to do for it is no business of the Manager's.
    pub(super) is_reported: &'a Cell<bool>,
}

impl RunResult {
    fn not_begun(outcome: Outcome) -> Self {
        Self { outcome, ran: None }
    }

    /// How it ended, and what it came to.
    pub(super) fn summary(&self) -> String {
        let (end, then) = match &self.outcome {
            Ok(()) => ("completed".to_owned(), ": "),
            // The reporter has told why, with more.
            Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => ("failed".to_owned(), ": "),
            Err(incomplete) => (incomplete.to_string(), "; "),
        };
        match &self.ran {
            Some(totals) => format!("{end}{then}{totals}"),
            None => end,
        }
    }
}

/// Does what is planned, or goes on.
pub(super) async fn carry_out(
    beginning: Beginning,
    task: &AssignedTask,
    context: RunContext<'_>,
    abort: &mut Abort,
) -> TaskRun {
    let begun = match beginning {
        Beginning::Planned(plan) => begin(plan, task, &context, abort)
            .await
            .map(|reporter| (reporter, None)),
        Beginning::HandedOver(work, report) => go_on(report, task, &context).map(|reporter| (reporter, Some(work))),
    };
    let (mut reporter, handed) = match begun {
        Ok(begun) => begun,
        Err(why) => return TaskRun::Over(RunResult::not_begun(Err(why))),
    };
    let stopped = match handed {
        None => task::run(task, context.tools, abort, &mut reporter).await,
        Some(work) => task::go_on(*work, task, context.tools, abort, &mut reporter).await,
    };
    let (outcome, cleanup) = match stopped {
        TaskStop::Over(outcome, cleanup) => (outcome, cleanup),
        TaskStop::HandedOver(work) => return TaskRun::GoesOn(work, reporter.hand_over()),
    };
    let outcome = context.breaker.judge(outcome);
    let ran = reporter.close(&outcome);
    context.is_reported.set(true);
    cleanup.run(context.tools, abort).await;
    TaskRun::Over(RunResult { outcome, ran })
}

/// Opens the report of a task that is to be run. Stopped meanwhile, it does not begin.
async fn begin(
    plan: RunPlan,
    task: &AssignedTask,
    context: &RunContext<'_>,
    abort: &mut Abort,
) -> Result<TaskReporter, Incomplete> {
    if let Some((pause, _)) = &plan.pause {
        timeout(*pause, abort.raised()).await.ok();
    }
    let fit = context.node.check().await;
    // Not sooner: to the next start, a folder that is open is one whose task ran.
    let begun = TaskReporter::begin(context.spool, context.previews, context.metrics, task);
    let mut reporter = begun.map_err(|error| {
        let cause = RequeueReason::Spool(chain(&error));
        warn!(task = task.uuid.as_str(), %cause, "handing the task back");
        Incomplete::Requeued(cause)
    })?;
    if let Some((pause, why)) = plan.pause {
        reporter.line(&format!("{why}: it had to wait for {pause:?}"));
    }
    let not_run = match (plan.refusal, abort.reason(), fit) {
        (Some(why), None, _) => Some(Incomplete::Failed(why)),
        (_, _, Err(unfit)) => Some(Incomplete::Requeued(RequeueReason::Unfit(unfit.to_string()))),
        (_, stopped, Ok(())) => stopped.map(Incomplete::Aborted),
    };
    match not_run {
        None => Ok(reporter),
        Some(why) => {
            reporter.close(&Err(why.clone()));
            Err(why)
        }
    }
}

/// The report of a task that goes on.
fn go_on(report: HandedReport, task: &AssignedTask, context: &RunContext<'_>) -> Result<TaskReporter, Incomplete> {
    TaskReporter::take_over(context.spool, context.previews, context.metrics, task, report).ok_or_else(|| {
        let why = "what was handed over has no report of the task".to_owned();
        warn!(task = task.uuid.as_str(), why, "handing the task back");
        Incomplete::Requeued(RequeueReason::Spool(why))
    })
}
