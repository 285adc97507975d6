// SPDX-License-Identifier: GPL-3.0-or-later

//! One task, from assigned to over. Whatever is asked meanwhile is decided here, and carried out by
//! raising an abort, never by touching the task.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::doing::Course;
use super::keep_running::keep_running;
use super::{Doing, Rest, State, Worker};
use crate::abort::{AbortReason, AbortSource};
use crate::departure::Departure;
use crate::manager::push::Interest;
use crate::manager::{Manager, chain};
use crate::node::Node;
use crate::protocol::AssignedTask;
use crate::report::TaskReporter;
use crate::signals::Order;
use crate::spool::{Notice, Spool};
use crate::task::{self, HandBack, Outcome};

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
            task = task.uuid,
            name = task.name,
            job = task.job,
            "running task {}",
            task.name
        );
        let reporter = match TaskReporter::begin(&self.around.spool, &self.around.pictures, task).await {
            Ok(reporter) => reporter,
            Err(error) => {
                let cause = HandBack::Spool(chain(&error));
                warn!(task = task.uuid, %cause, "handing the task back");
                return Err(State::Asleep(Rest::HandedBack(cause)));
            }
        };
        self.around.hints.care_for(Interest::Task {
            job: task.job.clone(),
            task: task.uuid.clone(),
        });
        self.doing.send_modify(|doing| doing.begins(task));
        let (outcome, afterwards) = self.watch_over(task, reporter).await;
        self.doing.send_modify(Doing::ended);
        // The reporter has told a failure, with more.
        if !matches!(outcome, Outcome::Failed(_) | Outcome::Unwell(_)) {
            info!(task = task.uuid, "task {}: {outcome}", task.name);
        }
        self.strikes.note(&outcome);
        match (outcome, afterwards.0) {
            (_, Some(next)) => Err(next),
            (Outcome::HandedBack(cause), None) => Err(State::Asleep(Rest::HandedBack(cause))),
            (Outcome::Completed | Outcome::Failed(_) | Outcome::Unwell(_) | Outcome::Aborted(_), None) => Ok(()),
        }
    }

    async fn watch_over(&mut self, task: &AssignedTask, reporter: TaskReporter) -> (Outcome, Afterwards) {
        let (source, mut abort) = AbortSource::new();
        let mut afterwards = Afterwards::default();
        let (node, tools, repute) = (&self.around.node, &self.around.tools, self.strikes.repute());
        let mut running = pin!(async {
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
            info!(task = task.uuid, "while the task runs: {event:?}");
            if let Some(reason) = afterwards.decide(event, &task.uuid) {
                info!(task = task.uuid, "ending the task: {reason}");
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
                (task == running).then_some(AbortReason::Reassigned)
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
            afterwards.decide(Event::Noticed(Notice::Gone("other".into())), "t"),
            None
        );
        let ours = afterwards.decide(Event::Noticed(Notice::NotOurs("t".into())), "t");
        assert_eq!(ours, Some(AbortReason::Reassigned));
    }
}
