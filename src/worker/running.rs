// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, from assigned to over. Whatever is asked meanwhile is decided here, and carried out by
//! raising an abort, never by touching the task.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::doing::Course;
use super::keep_running::keep_running;
use super::repeats::growing;
use super::{Doing, Rest, State, Worker};
use crate::abort::{AbortReason, AbortSource};
use crate::departure::Departure;
use crate::manager::push::Interest;
use crate::manager::{Manager, chain};
use crate::node::Node;
use crate::protocol::{AssignedTask, Id};
use crate::report::TaskReporter;
use crate::signals::Order;
use crate::spool::{Notice, Spool};
use crate::task::{self, HandBack, Outcome};

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

impl<M: Manager> Worker<'_, M> {
    /// Runs one task. `Ok`: fetch again, its answer says where to.
    pub(super) async fn run_task(&mut self, task: &AssignedTask) -> Result<(), State> {
        info!(
            task = task.uuid.as_str(),
            name = task.name,
            job = task.job,
            "running task {}",
            task.name
        );
        let mut reporter = self.reporter(task).await?;
        let wait = match self.before(task) {
            Ok(None) => Duration::ZERO,
            Ok(Some((pause, why))) => {
                warn!(task = task.uuid.as_str(), ?pause, "{why}");
                reporter.line(&format!("{why}: waiting for {pause:?}"));
                pause
            }
            Err(why) => {
                self.around.spool.forget_cut_short(&task.uuid);
                reporter.failed(&why).await;
                return Ok(());
            }
        };
        self.around.hints.care_for(interest(task));
        self.doing.send_modify(|doing| doing.begins(task));
        let began = Instant::now();
        let (outcome, afterwards) = self.watch_over(task, wait, reporter).await;
        self.doing.send_modify(Doing::ended);
        // The reporter has told a failure, with more.
        if !matches!(outcome, Outcome::Failed(_) | Outcome::Unwell(_)) {
            info!(task = task.uuid.as_str(), "task {}: {outcome}", task.name);
        }
        self.strikes.note(&outcome);
        self.repeats.note(&task.uuid, &outcome);
        self.note_stop(&task.uuid, &outcome, began.elapsed().saturating_sub(wait));
        match (outcome, afterwards.0) {
            (_, Some(next)) => Err(next),
            (Outcome::HandedBack(cause), None) => Err(State::Asleep(Rest::HandedBack(cause))),
            (Outcome::Completed | Outcome::Failed(_) | Outcome::Unwell(_) | Outcome::Aborted(_), None) => Ok(()),
        }
    }

    /// Fails a task that cannot be read. It would come again for as long as we ask for tasks.
    pub(super) async fn refuse_task(&mut self, task: Id, why: &str) -> Result<(), State> {
        let reporter = self.reporter(&AssignedTask::unread(task)).await?;
        let why = format!("this worker cannot read what the Manager says of the task: {why}");
        reporter.failed(&why).await;
        Ok(())
    }

    /// What the past of a task says before it is run: a pause and why, or, as an error, why it is not run any more.
    fn before(&mut self, task: &AssignedTask) -> Result<Option<(Duration, String)>, String> {
        let timings = &self.around.timings;
        let times = self.around.spool.cut_short(&task.uuid);
        if times >= CUT_SHORT {
            return Err(format!(
                "{times} times in a row this worker was killed or told to stop as soon as it ran this task: does the task \
                 end it?"
            ));
        }
        if let Some(doublings) = times.checked_sub(1) {
            let pause = growing(timings.backoff_min, doublings, timings.backoff_max);
            let why =
                format!("this worker ended while it ran this task, {times} of {CUT_SHORT} times before it has failed");
            return Ok(Some((pause, why)));
        }
        let pause = self.repeats.handed_out(&task.uuid);
        Ok(pause.map(|pause| (pause, "the Manager hands this task out again and again".to_owned())))
    }

    /// A task that has its worker stopped comes back after each start: see [`Spool::cut_short`].
    fn note_stop(&self, task: &Id, outcome: &Outcome, ran: Duration) {
        match outcome {
            Outcome::Aborted(AbortReason::Shutdown | AbortReason::Force) if ran < HARDLY_BEGUN => {
                self.around.spool.count_cut_short(task);
            }
            Outcome::Aborted(_) => {}
            Outcome::Completed | Outcome::Failed(_) | Outcome::Unwell(_) | Outcome::HandedBack(_) => {
                self.around.spool.forget_cut_short(task);
            }
        }
    }

    /// Opens the task's report; a task that cannot be reported is handed back.
    async fn reporter(&self, task: &AssignedTask) -> Result<TaskReporter, State> {
        let begun = TaskReporter::begin(&self.around.spool, &self.around.pictures, task).await;
        begun.map_err(|error| {
            let cause = HandBack::Spool(chain(&error));
            warn!(task = task.uuid.as_str(), %cause, "handing the task back");
            State::Asleep(Rest::HandedBack(cause))
        })
    }

    async fn watch_over(
        &mut self,
        task: &AssignedTask,
        wait: Duration,
        reporter: TaskReporter,
    ) -> (Outcome, Afterwards) {
        let (source, mut abort) = AbortSource::new();
        let mut afterwards = Afterwards::default();
        let (node, tools, repute) = (&self.around.node, &self.around.tools, self.strikes.repute());
        let mut running = pin!(async {
            // Stopped meanwhile, the task does not begin.
            let _raised = timeout(wait, abort.raised()).await;
            match node.fit().await {
                Ok(()) => task::run(task, tools, repute, &mut abort, reporter).await,
                Err(unfit) => task::hand_back(HandBack::Unfit(unfit.to_string()), reporter).await,
            }
        });
        let mut warning = pin!(warn_when_short(node, &self.around.spool, &task.uuid));
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
                outcome = &mut running => return (outcome, afterwards),
                order = self.around.orders.next() => Event::Ordered(order),
                reason = &mut asking, if !stopped => Event::Stop(reason),
                () = reached(patience), if !stopped => Event::Stop(AbortReason::Shutdown),
                notice = self.around.spool.next_notice() => Event::Noticed(notice),
                never = &mut warning => match never {},
            };
            stopped |= matches!(event, Event::Stop(_));
            info!(task = task.uuid.as_str(), "while the task runs: {event:?}");
            if let Some(reason) = afterwards.decide(event, &task.uuid) {
                info!(task = task.uuid.as_str(), "ending the task: {reason}");
                self.doing
                    .send_modify(|doing| doing.goes(Course::Ending(reason.clone())));
                source.raise(reason);
            } else if afterwards.drains() && patience.is_none() {
                patience = Some(Instant::now() + self.around.timings.drain_limit);
                self.doing.send_modify(|doing| doing.goes(Course::Last));
            }
        }
    }
}

/// What is heard of a job without an id would be that of all.
fn interest(task: &AssignedTask) -> Interest {
    match task.job.is_empty() {
        true => Interest::Wishes,
        false => Interest::Task {
            job: task.job.clone(),
            task: task.uuid.to_string(),
        },
    }
}

/// A drain does not wait for its task any longer.
async fn reached(patience: Option<Instant>) {
    match patience {
        Some(end) => sleep_until(end).await,
        None => pending().await,
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
                self.0.get_or_insert(State::Asleep(Rest::Local));
                None
            }
            Event::Ordered(Order::Wake) => {
                self.0.take_if(|next| *next == State::Asleep(Rest::Local));
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
        assert_eq!(afterwards.0, Some(State::Asleep(Rest::Local)));
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
