// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, from handed out to over. Whatever is asked meanwhile is decided here, and carried out by
//! raising an abort, never by dropping the task.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::awake::HandedOut;
use super::handed::HandedTaskRun;
use super::keep_running::keep_running;
use super::repeats::growing;
use super::steering::{TaskEvent, TaskSteering};
use super::task_run::{Beginning, RunContext, RunPlan, RunResult, TaskRun, carry_out};
use super::task_watch::TaskWatch;
use super::{Interrupts, SleepReason, State, Status, Worker};
use crate::abort::{AbortReason, AbortSource};
use crate::manager::Manager;
use crate::manager::push::Interest;
use crate::metrics::TaskEnd;
use crate::node::Node;
use crate::outcome::{Incomplete, Outcome};
use crate::protocol::{AssignedTask, Id};
use crate::signals::Order;
use crate::spool::Spool;

/// A task that ended its worker so often in a row is not run again.
const CUT_SHORT: u32 = 3;

/// A stop so soon after the start of a task may be the task's doing. A person's comes later, and not three times.
const HARDLY_BEGUN: Duration = Duration::from_secs(60);

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
        let beginning = Beginning::Planned(plan);
        self.see_through(task, beginning, TaskWatch::new(handed_out), interrupts)
            .await
    }

    /// Goes on with a task that an earlier life of this process has begun, as [`run_task`](Self::run_task) does.
    pub(super) async fn go_on_with_task(
        &mut self,
        run: HandedTaskRun,
        interrupts: &mut Interrupts,
    ) -> Result<(), State> {
        let watch = TaskWatch::take_over(&run);
        let HandedTaskRun { task, work, report, .. } = run;
        info!(task = task.uuid.as_str(), "going on with task {}", task.name);
        self.context.hints.set_interest(interest(&task));
        self.status
            .send_modify(|status| status.go_on(&task, watch.handed_out.elapsed()));
        let beginning = Beginning::HandedOver(work, report);
        self.see_through(task, beginning, watch, interrupts).await
    }

    async fn see_through(
        &mut self,
        task: Box<AssignedTask>,
        beginning: Beginning,
        mut watch: TaskWatch,
        interrupts: &mut Interrupts,
    ) -> Result<(), State> {
        let run = match self.watch_over(&task, beginning, &mut watch, interrupts).await {
            TaskRun::Over(run) => run,
            TaskRun::GoesOn(work, report) => {
                self.handed = Some(Box::new(watch.hand_over(task, work, report)));
                return Err(State::HandingOver(Box::new(State::Awake)));
            }
        };
        self.status.send_modify(Status::end);
        let took = watch.handed_out.elapsed();
        self.context.metrics.task_ended(task_end(&run.outcome), took);
        info!(task = task.uuid.as_str(), "task {} {}", task.name, run.summary());
        self.repeats.note(&task.uuid, &run.outcome);
        self.note_stop(&task.uuid, &run);
        let next = match (watch.after, run.outcome) {
            (State::Awake, Err(Incomplete::Requeued(reason))) => State::Asleep(SleepReason::Requeued(reason)),
            (State::Awake, _) if self.to_introduce => State::Starting,
            (after, _) => after,
        };
        // It has ended before it could be handed over.
        match watch
            .to_hand_over
            .then(|| next.ordered(Order::HandOver))
            .flatten()
            .unwrap_or(next)
        {
            State::Awake => Ok(()),
            next @ (State::Starting | State::Asleep(_) | State::HandingOver(_) | State::Leaving(_)) => Err(next),
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

    /// Runs a task, and hears what is ordered and asked meanwhile.
    async fn watch_over(
        &mut self,
        task: &AssignedTask,
        beginning: Beginning,
        watch: &mut TaskWatch,
        interrupts: &mut Interrupts,
    ) -> TaskRun {
        let (source, mut abort) = AbortSource::new();
        let steering = TaskSteering {
            task: &task.uuid,
            source,
            spool: &self.context.spool,
            status: &self.status,
            metrics: &self.context.metrics,
            pauses: self.context.pauses,
            drain_limit: self.context.timings.drain_limit,
        };
        // What holds at the begin counts, too: for a task that goes on it may be another thing than in an earlier life.
        let paused = interrupts.paused().map_or(Order::Resume, Order::Pause);
        steering.begin(paused, watch);
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
        let mut running = pin!(carry_out(beginning, task, context, &mut abort));
        let (session, hints) = (&mut self.session, &mut self.context.hints);
        let mut asking = pin!(until_reported(
            &is_reported,
            keep_running(session, hints, &task.uuid, &self.context.timings)
        ));
        // The Manager's reason stands; one of this machine's may be told no sooner.
        let mut stopped = watch.reason.as_ref().is_some_and(|reason| !reason.is_stop());
        loop {
            let event = tokio::select! {
                biased;
                run = &mut running => {
                    steering.end(&run, watch);
                    return run;
                }
                order = interrupts.next() => TaskEvent::Ordered(order),
                reason = &mut asking, if !stopped => TaskEvent::Stop(reason),
                reason = steering.too_late(watch), if !stopped => TaskEvent::Stop(reason),
                notice = self.context.spool.next_notice() => TaskEvent::Noticed(notice),
                never = &mut warning => match never {},
            };
            stopped |= matches!(event, TaskEvent::Stop(_));
            steering.hear(event, watch);
        }
    }
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

/// The outcome as it is counted.
fn task_end(outcome: &Outcome) -> TaskEnd {
    match outcome {
        Ok(()) => TaskEnd::Completed,
        Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => TaskEnd::Failed,
        Err(Incomplete::Aborted(_)) => TaskEnd::Aborted,
        Err(Incomplete::Requeued(_)) => TaskEnd::Requeued,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_its_end_is_reported_the_manager_stops_no_task() {
        let is_reported = Cell::new(false);
        let asking = || async { AbortReason::Reassigned };
        assert_eq!(until_reported(&is_reported, asking()).await, AbortReason::Reassigned);
        is_reported.set(true);
        let late = timeout(Duration::from_secs(60), until_reported(&is_reported, asking())).await;
        assert!(late.is_err(), "{late:?}");
    }
}
