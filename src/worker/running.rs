// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, from assigned to over. Whatever is asked meanwhile is decided here, and carried out by
//! raising an abort, never by touching the task.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::crash_loop::CrashLoopBreaker;
use super::doing::Course;
use super::keep_running::keep_running;
use super::repeats::growing;
use super::{Doing, SleepReason, State, Worker};
use crate::abort::{Abort, AbortReason, AbortSource};
use crate::chain::chain;
use crate::departure::Departure;
use crate::manager::Manager;
use crate::manager::push::Interest;
use crate::node::Node;
use crate::outcome::{Incomplete, Outcome, RequeueReason};
use crate::protocol::{AssignedTask, Id};
use crate::report::{Pictures, TaskReporter};
use crate::signals::Order;
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

/// What was decided meanwhile for afterwards.
#[derive(Debug, Default)]
struct Afterwards(Option<State>);

/// What becomes of a task that was handed out.
#[derive(Debug)]
struct Plan {
    /// How long it waits before anything else, and why.
    pause: Option<(Duration, String)>,
    /// Why it fails and is not run.
    refusal: Option<String>,
}

/// What became of it.
#[derive(Debug)]
struct Run {
    outcome: Outcome,
    /// `None`: its commands were never begun.
    ran: Option<Duration>,
}

/// What a run needs around it.
struct Place<'a> {
    node: &'a Node,
    tools: &'a Tools,
    spool: &'a Spool,
    pictures: &'a Pictures,
    breaker: &'a mut CrashLoopBreaker,
}

impl<M: Manager> Worker<'_, M> {
    /// Sees a task through that was handed out, or fails it where it is `unread`: for this reason. `Ok`: fetch again, its
    /// answer says where to.
    pub(super) async fn run_task(&mut self, task: &AssignedTask, unread: Option<String>) -> Result<(), State> {
        info!(
            task = task.uuid.as_str(),
            name = task.name,
            job = task.job,
            "running task {}",
            task.name
        );
        self.around.spool.handed_out(&task.uuid);
        let plan = self.plan(&task.uuid, unread);
        if let Some((pause, why)) = &plan.pause {
            warn!(task = task.uuid.as_str(), ?pause, "{why}");
        }
        self.around.hints.set_interest(interest(task));
        self.doing.send_modify(|doing| doing.begins(task));
        let (run, afterwards) = self.watch_over(task, plan).await;
        self.doing.send_modify(Doing::ended);
        // The reporter has told a failure, with more.
        match &run.outcome {
            Ok(()) => info!(task = task.uuid.as_str(), "task {}: completed", task.name),
            Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)) => {}
            Err(incomplete) => info!(task = task.uuid.as_str(), "task {}: {incomplete}", task.name),
        }
        self.note(&task.uuid, &run);
        match (run.outcome, afterwards.0) {
            (_, Some(next)) => Err(next),
            (Err(Incomplete::Requeued(reason)), None) => Err(State::Asleep(SleepReason::Requeued(reason))),
            (Ok(()) | Err(_), None) => Ok(()),
        }
    }

    /// What the past of a task says of it. One that cannot be read would come again for as long as we ask for tasks.
    fn plan(&mut self, task: &Id, unread: Option<String>) -> Plan {
        let timings = &self.around.timings;
        let unread = unread.map(|why| format!("this worker cannot read what the Manager says of the task: {why}"));
        let repeated = self.repeats.handed_out(task);
        let repeated = repeated.map(|pause| (pause, "the Manager hands this task out again and again".to_owned()));
        let times = self.around.spool.interruptions(task);
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
        Plan {
            pause: repeated.max(cut_short),
            refusal: unread.or(deadly),
        }
    }

    /// What a run says of this node and of what is handed out next.
    fn note(&mut self, task: &Id, run: &Run) {
        self.repeats.note(task, &run.outcome);
        self.note_stop(task, run);
    }

    /// A task that has its worker stopped comes back after each start: see [`Spool::interruptions`].
    fn note_stop(&self, task: &Id, run: &Run) {
        match (&run.outcome, run.ran) {
            (Err(Incomplete::Aborted(AbortReason::Shutdown | AbortReason::Force)), Some(ran)) if ran < HARDLY_BEGUN => {
                self.around.spool.count_interruption(task);
            }
            (Err(Incomplete::Aborted(_)), _) | (Err(Incomplete::Requeued(_)), None) => {}
            (Err(Incomplete::Requeued(_)), Some(_))
            | (Ok(()) | Err(Incomplete::Failed(_) | Incomplete::SuspectNode(_)), _) => {
                self.around.spool.forget_interruptions(task);
            }
        }
    }

    async fn watch_over(&mut self, task: &AssignedTask, plan: Plan) -> (Run, Afterwards) {
        let (source, mut abort) = AbortSource::new();
        let mut afterwards = Afterwards::default();
        let place = Place {
            node: &self.around.node,
            tools: &self.around.tools,
            spool: &self.around.spool,
            pictures: &self.around.pictures,
            breaker: &mut self.breaker,
        };
        let mut warning = pin!(warn_when_short(place.node, place.spool, &task.uuid));
        let mut running = pin!(carry_out(plan, task, place, &mut abort));
        let mut asking = pin!(keep_running(
            self.manager,
            &mut self.session,
            &mut self.around.hints,
            &task.uuid,
            &self.around.timings
        ));
        let mut stopped = false;
        let mut patience = None;
        loop {
            let event = tokio::select! {
                biased;
                run = &mut running => return (run, afterwards),
                order = self.around.orders.next() => Event::Ordered(order),
                reason = &mut asking, if !stopped => Event::Stop(reason),
                () = until(patience), if !stopped => Event::Stop(AbortReason::Shutdown),
                notice = self.around.spool.next_notice() => Event::Noticed(notice),
                never = &mut warning => match never {},
            };
            stopped |= matches!(event, Event::Stop(_));
            info!(task = task.uuid.as_str(), "while the task runs: {event:?}");
            if let Some(reason) = afterwards.decide(event, &task.uuid) {
                info!(task = task.uuid.as_str(), "ending the task: {reason}");
                self.doing
                    .send_modify(|doing| doing.goes(Course::Incomplete(reason.clone())));
                source.raise(reason);
            } else if afterwards.drains() && patience.is_none() {
                patience = Some(Instant::now() + self.around.timings.drain_limit);
                self.doing.send_modify(|doing| doing.goes(Course::Last));
            }
        }
    }
}

impl Run {
    fn not_begun(outcome: Outcome) -> Self {
        Self { outcome, ran: None }
    }
}

/// Does what is planned. Stopped meanwhile, the task does not begin.
async fn carry_out(plan: Plan, task: &AssignedTask, place: Place<'_>, abort: &mut Abort) -> Run {
    if let Some((pause, _)) = &plan.pause {
        let _raised = timeout(*pause, abort.raised()).await;
    }
    let fit = place.node.fit().await;
    // Not sooner: to the next start, a folder that is open is one whose task ran.
    let mut reporter = match TaskReporter::begin(place.spool, place.pictures, task).await {
        Ok(reporter) => reporter,
        Err(error) => {
            let cause = RequeueReason::Spool(chain(&error));
            warn!(task = task.uuid.as_str(), %cause, "handing the task back");
            return Run::not_begun(Err(Incomplete::Requeued(cause)));
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
        return Run::not_begun(Err(why));
    }
    let began = Instant::now();
    let (outcome, cleanup) = task::run(task, place.tools, abort, &mut reporter).await;
    let outcome = place.breaker.judge(outcome);
    reporter.close(&outcome);
    cleanup.run(place.tools, abort).await;
    Run {
        outcome,
        ran: Some(began.elapsed()),
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

impl Afterwards {
    /// The task is the last one.
    fn drains(&self) -> bool {
        matches!(self.0, Some(State::Leaving(_)))
    }

    /// What an event means for the task that runs, and for what comes after it.
    fn decide(&mut self, event: Event, running: &str) -> Option<AbortReason> {
        match event {
            Event::Ordered(Order::Stop | Order::HangUp) => {
                self.0 = Some(State::Leaving(Departure::Signalled));
                Some(AbortReason::Shutdown)
            }
            Event::Ordered(Order::StopNow) => {
                self.0 = Some(State::Leaving(Departure::Signalled));
                Some(AbortReason::Force)
            }
            Event::Ordered(Order::Drain) => {
                self.0 = Some(State::Leaving(Departure::Signalled));
                None
            }
            Event::Ordered(Order::Sleep) => {
                self.0.get_or_insert(State::Asleep(SleepReason::Local));
                None
            }
            Event::Ordered(Order::Wake) => {
                self.0.take_if(|next| *next == State::Asleep(SleepReason::Local));
                None
            }
            Event::Stop(reason) => Some(reason),
            Event::Noticed(Notice::NotOurs(task) | Notice::Gone(task)) => {
                (*task == *running).then_some(AbortReason::Reassigned)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_the_task_finish_and_a_stop_after_it_does_not() {
        let mut afterwards = Afterwards::default();
        assert_eq!(afterwards.decide(Event::Ordered(Order::Drain), "t"), None);
        assert_eq!(afterwards.0, Some(State::Leaving(Departure::Signalled)));
        assert_eq!(
            afterwards.decide(Event::Ordered(Order::Stop), "t"),
            Some(AbortReason::Shutdown)
        );
        assert_eq!(
            afterwards.decide(Event::Ordered(Order::StopNow), "t"),
            Some(AbortReason::Force)
        );
    }

    #[test]
    fn sleep_is_for_after_the_task_and_wake_takes_it_back_but_never_a_departure() {
        let mut afterwards = Afterwards::default();
        assert_eq!(afterwards.decide(Event::Ordered(Order::Sleep), "t"), None);
        assert_eq!(afterwards.0, Some(State::Asleep(SleepReason::Local)));
        afterwards.decide(Event::Ordered(Order::Wake), "t");
        assert_eq!(afterwards.0, None);
        afterwards.decide(Event::Ordered(Order::Drain), "t");
        afterwards.decide(Event::Ordered(Order::Sleep), "t");
        afterwards.decide(Event::Ordered(Order::Wake), "t");
        assert_eq!(afterwards.0, Some(State::Leaving(Departure::Signalled)));
    }

    #[test]
    fn only_a_notice_about_the_running_task_stops_it() {
        let mut afterwards = Afterwards::default();
        assert_eq!(
            afterwards.decide(
                Event::Noticed(Notice::Gone("other".to_owned().try_into().unwrap())),
                "t"
            ),
            None
        );
        let ours = afterwards.decide(Event::Noticed(Notice::NotOurs("t".to_owned().try_into().unwrap())), "t");
        assert_eq!(ours, Some(AbortReason::Reassigned));
    }
}
