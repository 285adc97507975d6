// SPDX-License-Identifier: GPL-3.0-or-later

//! What becomes of a task that runs, by what is ordered and asked meanwhile: it is ended by raising an abort, stands still
//! while its machine is not for tasks, or goes on and is the last. It is never dropped.
//!
//! One that is being ended stands still no more, and does not begin to: who stands still would not hear that it is to end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info};

use super::task_run::TaskRun;
use super::task_watch::TaskWatch;
use super::{PauseRules, State, Status};
use crate::abort::{AbortReason, AbortSource};
use crate::metrics::Metrics;
use crate::pause::{PausePolicy, PauseReason};
use crate::progress::precise;
use crate::protocol::Id;
use crate::signals::{Order, Urgency};
use crate::spool::{Notice, Spool};
use crate::timings::until;

/// What happens while a task runs.
#[derive(Debug)]
pub(super) enum TaskEvent {
    Ordered(Order),
    /// The Manager wants it stopped, or it has taken too long.
    Stop(AbortReason),
    /// The Manager's answer to an update.
    Noticed(Notice),
}

/// Who decides what becomes of the task, and who is told.
pub(super) struct TaskSteering<'a> {
    pub(super) task: &'a Id,
    pub(super) source: AbortSource,
    pub(super) spool: &'a Spool,
    pub(super) status: &'a watch::Sender<Status>,
    pub(super) metrics: &'a Metrics,
    pub(super) pauses: PauseRules,
    /// How long it may go on once it is the last.
    pub(super) drain_limit: Duration,
}

impl TaskSteering<'_> {
    /// What was decided of it before it was handed over, and whether its machine is `paused`.
    pub(super) fn begin(&self, paused: Order, watch: &mut TaskWatch) {
        if let Some(reason) = watch.reason.clone() {
            self.abort(reason);
        }
        self.obey(paused, watch);
    }

    /// It is over, or is handed over.
    pub(super) fn end(&self, run: &TaskRun, watch: &mut TaskWatch) {
        watch.reason = self.source.reason();
        if let TaskRun::Over(_) = run {
            self.note_resumed(watch);
        }
    }

    /// Does what an event asks for.
    pub(super) fn hear(&self, event: TaskEvent, watch: &mut TaskWatch) {
        // What it comes to has a line of its own.
        debug!(task = self.task.as_str(), "while the task runs: {event:?}");
        if let TaskEvent::Ordered(order) = event {
            self.obey(order, watch);
        }
        if let Some(reason) = abort_reason(event, self.task) {
            self.abort(reason);
        } else if matches!(watch.after, State::Leaving(_)) && watch.patience.is_none() {
            watch.patience = Some(Instant::now() + self.drain_limit);
        }
    }

    /// Returns when it has taken too long, as the last one or standing still.
    pub(super) async fn too_late(&self, watch: &TaskWatch) -> AbortReason {
        let limit = self.pauses.limit;
        tokio::select! {
            () = until(watch.patience) => AbortReason::Shutdown,
            () = until(watch.paused.map(|since| since + limit)) => AbortReason::PausedTooLong(limit),
        }
    }

    fn obey(&self, order: Order, watch: &mut TaskWatch) {
        watch.ordered(order, &self.source);
        let after = watch.after.clone();
        self.status.send_modify(|status| status.set_after(after));
        if let Order::Pause(reason) = order {
            self.pause(reason, watch);
        } else if order == Order::Resume {
            self.resume(watch);
        }
    }

    fn pause(&self, reason: PauseReason, watch: &mut TaskWatch) {
        match self.pauses.policy {
            PausePolicy::Sleep => {}
            PausePolicy::Requeue => self.abort(AbortReason::Paused(reason)),
            PausePolicy::Freeze if self.source.reason().is_some() => {}
            PausePolicy::Freeze => self.stand_still(reason, watch),
        }
    }

    fn stand_still(&self, reason: PauseReason, watch: &mut TaskWatch) {
        self.source.pause(true);
        // It may stand still since an earlier life of this process.
        if watch.paused.is_none() {
            info!(task = self.task.as_str(), "the task stands still: {reason}");
            self.spool.pause(self.task, &reason.to_string());
        }
        let since = *watch.paused.get_or_insert_with(Instant::now);
        self.status
            .send_modify(|status| status.stand_still(Some(since.elapsed())));
    }

    fn resume(&self, watch: &mut TaskWatch) {
        self.source.pause(false);
        if self.note_resumed(watch) && self.source.reason().is_none() {
            let time = self.spool.end_pause(self.task).unwrap_or_default();
            info!(task = self.task.as_str(), "the task goes on after {}", precise(time));
        }
    }

    /// It does not stand still any more. Returns whether it did.
    fn note_resumed(&self, watch: &mut TaskWatch) -> bool {
        let Some(since) = watch.paused.take() else {
            return false;
        };
        self.metrics.stood_still(since.elapsed());
        self.status.send_modify(|status| status.stand_still(None));
        true
    }

    fn abort(&self, reason: AbortReason) {
        info!(task = self.task.as_str(), "ending the task: {reason}");
        self.status.send_modify(|status| status.set_ending(reason.clone()));
        self.source.raise(reason);
    }
}

/// What an event means for the task that runs.
fn abort_reason(event: TaskEvent, running: &str) -> Option<AbortReason> {
    match event {
        TaskEvent::Ordered(Order::Leave(Urgency::Now)) => Some(AbortReason::Shutdown),
        TaskEvent::Ordered(Order::Leave(Urgency::AtOnce)) => Some(AbortReason::Force),
        TaskEvent::Ordered(
            Order::Leave(Urgency::AfterTask)
            | Order::Sleep
            | Order::Wake
            | Order::Pause(_)
            | Order::Resume
            | Order::Reload
            | Order::HandOver,
        ) => None,
        TaskEvent::Stop(reason) => Some(reason),
        TaskEvent::Noticed(Notice::NotOurs(task) | Notice::Gone(task)) => {
            (*task == *running).then_some(AbortReason::Reassigned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_the_task_finish_and_a_stop_after_it_does_not() {
        let reason = |urgency| abort_reason(TaskEvent::Ordered(Order::Leave(urgency)), "t");
        assert_eq!(reason(Urgency::AfterTask), None);
        assert_eq!(reason(Urgency::Now), Some(AbortReason::Shutdown));
        assert_eq!(reason(Urgency::AtOnce), Some(AbortReason::Force));
    }

    #[test]
    fn only_a_notice_about_the_running_task_stops_it() {
        let id = |id: &str| Id::try_from(id.to_owned()).unwrap();
        assert_eq!(abort_reason(TaskEvent::Noticed(Notice::Gone(id("other"))), "t"), None);
        let ours = abort_reason(TaskEvent::Noticed(Notice::NotOurs(id("t"))), "t");
        assert_eq!(ours, Some(AbortReason::Reassigned));
    }
}
