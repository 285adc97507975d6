// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, from handed out to over. Whatever is asked meanwhile is decided here, and carried out by
//! raising an abort, never by dropping the task.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::awake::HandedOut;
use super::crash_loop::CrashLoopBreaker;
use super::keep_running::keep_running;
use super::repeats::growing;
use super::status::TaskPhase;
use super::{Interrupts, SleepReason, State, Status, Worker};
use crate::abort::{Abort, AbortReason, AbortSource};
use crate::chain::chain;
use crate::manager::Manager;
use crate::manager::push::Interest;
use crate::metrics::{Metrics, TaskEnd};
use crate::node::Node;
use crate::outcome::{Incomplete, Outcome, RequeueReason};
use crate::protocol::{AssignedTask, Id};
use crate::report::{PreviewQueue, TaskReporter, TaskTotals};
use crate::signals::{Order, Urgency};
use crate::spool::{Notice, Spool};
use crate::task::{self, Tools};
use crate::timings::until;

/// A task that ended its worker so often in a row is not run again.
const CUT_SHORT: u32 = 3;

/// A stop so soon after the start of a task may be the task's doing. A person's comes later, and not three times.
const HARDLY_BEGUN: Duration = Duration::from_secs(60);

/// What happens while a task runs.
#[derive(Debug)]
enum Event {
    Ordered(Order),
    /// The Manager wants it stopped.
    Stop(AbortReason),
    /// The Manager's answer to an update.
    Noticed(Notice),
}

/// What becomes of a task that was handed out.
#[derive(Debug)]
struct RunPlan {
    /// How long it waits before anything else, and why.
    pause: Option<(Duration, String)>,
    /// Why it fails and is not run.
    refusal: Option<String>,
}

/// What became of it.
#[derive(Debug)]
struct RunResult {
    outcome: Outcome,
    /// `None`: its commands were never begun.
    ran: Option<TaskTotals>,
}

/// What a run works with.
struct RunContext<'a> {
    node: &'a Node,
    tools: &'a Tools,
    spool: &'a Spool,
    previews: &'a PreviewQueue,
    metrics: &'a Metrics,
    breaker: &'a mut CrashLoopBreaker,
    /// Set once the end of the task is reported: what is left to do for it is no business of the Manager's.
    is_reported: &'a Cell<bool>,
}

impl<M: Manager> Worker<'_, M> {
    /// Sees a task through. `Ok`: fetch again, its answer says where to.
    pub(super) async fn run_task(&mut self, handed_out: HandedOut, interrupts: &mut Interrupts) -> Result<(), State> {
        let HandedOut { task, unreadable } = handed_out;
        info!(
            task = task.uuid.as_str(),
            name = task.name,
            job = task.job,
            "running task {}",
            task.name
        );
        let handed_out = Instant::now();
        self.context.metrics.task_handed_out();
        self.context.spool.handed_out(&task.uuid);
        let plan = self.plan(&task.uuid, unreadable);
        if let Some((pause, why)) = &plan.pause {
            warn!(task = task.uuid.as_str(), ?pause, "{why}");
        }
        self.context.hints.set_interest(interest(&task));
        self.status.send_modify(|status| status.begin(&task));
        let (run, after) = self.watch_over(&task, plan, interrupts).await;
        self.status.send_modify(Status::end);
        self.context
            .metrics
            .task_ended(task_end(&run.outcome), handed_out.elapsed());
        info!(task = task.uuid.as_str(), "task {} {}", task.name, run.summary());
        self.repeats.note(&task.uuid, &run.outcome);
        self.note_stop(&task.uuid, &run);
        match (after, run.outcome) {
            (State::Awake, Err(Incomplete::Requeued(reason))) => Err(State::Asleep(SleepReason::Requeued(reason))),
            (State::Awake, Ok(()) | Err(_)) => Ok(()),
            (after, _) => Err(after),
        }
    }

    /// What the past of a task says of it. One that cannot be read would come again for as long as we ask for tasks.
    fn plan(&mut self, task: &Id, unreadable: Option<String>) -> RunPlan {
        let timings = &self.context.timings;
        let unreadable =
            unreadable.map(|why| format!("this worker cannot read what the Manager says of the task: {why}"));
        let repeated = self.repeats.handed_out(task);
        let repeated = repeated.map(|pause| (pause, "the Manager hands this task out again and again".to_owned()));
        let times = self.context.spool.interruptions(task);
        let deadly = (times >= CUT_SHORT).then(|| {
            format!(
                "{times} times in a row this worker was killed or told to stop as soon as it ran this task: does the task \
                 end it?"
            )
        });
        let cut_short = times.checked_sub(1).filter(|_| deadly.is_none()).map(|doublings| {
            let pause = growing(timings.backoff_min, doublings, timings.backoff_max);
            let why =
                format!("this worker ended while it ran this task, {times} of {CUT_SHORT} times before it has failed");
            (pause, why)
        });
        RunPlan {
            pause: repeated.max(cut_short),
            refusal: unreadable.or(deadly),
        }
    }

    /// A task that has its worker stopped comes back after each start: see [`Spool::interruptions`].
    fn note_stop(&self, task: &Id, run: &RunResult) {
        match (&run.outcome, &run.ran) {
            (Err(Incomplete::Aborted(AbortReason::Shutdown | AbortReason::Force)), Some(ran))
                if ran.took < HARDLY_BEGUN =>
            {
                self.context.spool.count_interruption(task);
            }
            (Err(Incomplete::Aborted(_)), _) | (Err(Incomplete::Requeued(_)), None) => {}
            (Err(Incomplete::Requeued(_)), Some(_))
            | (Ok(()) | Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)), _) => {
                self.context.spool.forget_interruptions(task);
            }
        }
    }

    /// Runs a task; answers also with the state to go to after it, which is awake unless something else is ordered.
    async fn watch_over(
        &mut self,
        task: &AssignedTask,
        plan: RunPlan,
        interrupts: &mut Interrupts,
    ) -> (RunResult, State) {
        let (source, mut abort) = AbortSource::new();
        let mut after = State::Awake;
        let is_reported = Cell::new(false);
        let context = RunContext {
            node: &self.context.node,
            tools: &self.context.tools,
            spool: &self.context.spool,
            previews: &self.context.previews,
            metrics: &self.context.metrics,
            breaker: &mut self.breaker,
            is_reported: &is_reported,
        };
        let mut warning = pin!(warn_when_short(context.node, context.spool, &task.uuid));
        let mut running = pin!(carry_out(plan, task, context, &mut abort));
        let (session, hints) = (&mut self.session, &mut self.context.hints);
        let mut asking = pin!(until_reported(
            &is_reported,
            keep_running(session, hints, &task.uuid, &self.context.timings)
        ));
        let mut stopped = false;
        let mut patience = None;
        loop {
            let event = tokio::select! {
                biased;
                run = &mut running => return (run, after),
                order = interrupts.next() => Event::Ordered(order),
                reason = &mut asking, if !stopped => Event::Stop(reason),
                () = until(patience), if !stopped => Event::Stop(AbortReason::Shutdown),
                notice = self.context.spool.next_notice() => Event::Noticed(notice),
                never = &mut warning => match never {},
            };
            stopped |= matches!(event, Event::Stop(_));
            info!(task = task.uuid.as_str(), "while the task runs: {event:?}");
            if let Event::Ordered(order) = event {
                after = after.ordered(order).unwrap_or(after);
            }
            if let Some(reason) = abort_reason(event, &task.uuid) {
                abort_task(&task.uuid, reason, &source, &self.status);
            } else if matches!(after, State::Leaving(_)) && patience.is_none() {
                patience = Some(Instant::now() + self.context.timings.drain_limit);
                self.status.send_modify(|status| status.set_phase(TaskPhase::Last));
            }
        }
    }
}

impl RunResult {
    fn not_begun(outcome: Outcome) -> Self {
        Self { outcome, ran: None }
    }

    /// How it ended, and what it came to.
    fn summary(&self) -> String {
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

/// Does what is planned. Stopped meanwhile, the task does not begin.
async fn carry_out(plan: RunPlan, task: &AssignedTask, context: RunContext<'_>, abort: &mut Abort) -> RunResult {
    if let Some((pause, _)) = &plan.pause {
        timeout(*pause, abort.raised()).await.ok();
    }
    let fit = context.node.check().await;
    // Not sooner: to the next start, a folder that is open is one whose task ran.
    let mut reporter = match TaskReporter::begin(context.spool, context.previews, context.metrics, task) {
        Ok(reporter) => reporter,
        Err(error) => {
            let cause = RequeueReason::Spool(chain(&error));
            warn!(task = task.uuid.as_str(), %cause, "handing the task back");
            return RunResult::not_begun(Err(Incomplete::Requeued(cause)));
        }
    };
    if let Some((pause, why)) = plan.pause {
        reporter.line(&format!("{why}: it had to wait for {pause:?}"));
    }
    let not_run = match (plan.refusal, abort.reason(), fit) {
        (Some(why), None, _) => Some(Incomplete::Failed(why)),
        (_, _, Err(unfit)) => Some(Incomplete::Requeued(RequeueReason::Unfit(unfit.to_string()))),
        (_, stopped, Ok(())) => stopped.map(Incomplete::Aborted),
    };
    if let Some(why) = not_run {
        reporter.close(&Err(why.clone()));
        return RunResult::not_begun(Err(why));
    }
    let (outcome, cleanup) = task::run(task, context.tools, abort, &mut reporter).await;
    let outcome = context.breaker.judge(outcome);
    let ran = reporter.close(&outcome);
    context.is_reported.set(true);
    cleanup.run(context.tools, abort).await;
    RunResult { outcome, ran }
}

/// What is heard of a job without an id, or with one that is none, would be that of all, or nothing.
fn interest(task: &AssignedTask) -> Interest {
    match Id::try_from(task.job.clone()) {
        Err(_) => Interest::StatusRequests,
        Ok(_) => Interest::Task {
            job: task.job.clone(),
            task: task.uuid.to_string(),
        },
    }
}

/// Tells the running task, once, that the node has become short of space.
async fn warn_when_short(node: &Node, spool: &Spool, task: &str) -> Infallible {
    let unfit = node.runs_short().await;
    spool.remark(task, &format!("No new task will be taken here: {unfit}"));
    pending().await
}

/// Why the Manager wants the task stopped; never, once its end is reported: that it may not go on is then its own end.
async fn until_reported(is_reported: &Cell<bool>, asking: impl Future<Output = AbortReason>) -> AbortReason {
    let reason = asking.await;
    match is_reported.get() {
        true => pending().await,
        false => reason,
    }
}

fn abort_task(task: &Id, reason: AbortReason, source: &AbortSource, status: &watch::Sender<Status>) {
    info!(task = task.as_str(), "ending the task: {reason}");
    status.send_modify(|status| status.set_phase(TaskPhase::Ending(reason.clone())));
    source.raise(reason);
}

/// The outcome as it is counted.
fn task_end(outcome: &Outcome) -> TaskEnd {
    match outcome {
        Ok(()) => TaskEnd::Completed,
        Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => TaskEnd::Failed,
        Err(Incomplete::Aborted(_)) => TaskEnd::Aborted,
        Err(Incomplete::Requeued(_)) => TaskEnd::Requeued,
    }
}

/// What an event means for the task that runs.
fn abort_reason(event: Event, running: &str) -> Option<AbortReason> {
    match event {
        Event::Ordered(Order::Leave(Urgency::Now)) => Some(AbortReason::Shutdown),
        Event::Ordered(Order::Leave(Urgency::AtOnce)) => Some(AbortReason::Force),
        Event::Ordered(Order::Leave(Urgency::AfterTask) | Order::Sleep | Order::Wake | Order::Reload) => None,
        Event::Stop(reason) => Some(reason),
        Event::Noticed(Notice::NotOurs(task) | Notice::Gone(task)) => {
            (*task == *running).then_some(AbortReason::Reassigned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_the_task_finish_and_a_stop_after_it_does_not() {
        let reason = |urgency| abort_reason(Event::Ordered(Order::Leave(urgency)), "t");
        assert_eq!(reason(Urgency::AfterTask), None);
        assert_eq!(reason(Urgency::Now), Some(AbortReason::Shutdown));
        assert_eq!(reason(Urgency::AtOnce), Some(AbortReason::Force));
    }

    #[tokio::test(start_paused = true)]
    async fn once_its_end_is_reported_the_manager_stops_no_task() {
        let is_reported = Cell::new(false);
        let asking = || async { AbortReason::Reassigned };
        assert_eq!(until_reported(&is_reported, asking()).await, AbortReason::Reassigned);
        is_reported.set(true);
        let late = timeout(Duration::from_secs(60), until_reported(&is_reported, asking())).await;
        assert!(late.is_err(), "{late:?}");
    }

    #[test]
    fn only_a_notice_about_the_running_task_stops_it() {
        let id = |id: &str| Id::try_from(id.to_owned()).unwrap();
        assert_eq!(abort_reason(Event::Noticed(Notice::Gone(id("other"))), "t"), None);
        let ours = abort_reason(Event::Noticed(Notice::NotOurs(id("t"))), "t");
        assert_eq!(ours, Some(AbortReason::Reassigned));
    }
}
