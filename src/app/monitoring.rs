// SPDX-License-Identifier: GPL-3.0-or-later

//! What those are told who watch this worker over HTTP.
//!
//! `/livez` is for what restarts a worker when it says 503. Next to nothing gets better by that, and a render would be lost, so
//! it says so only where the operator has set a longest silence of the Manager's, and no task runs. `/healthz` is for what is
//! shown: it says 503, and why, when this worker cannot do its work. Both say 200 while a task runs. Being put to sleep is
//! healthy; a silent Manager is not, asleep or awake.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;

use super::status_view::StatusView;
use crate::config::Config;
use crate::metrics::{Gauges, Metrics, SleepCause, StateLabel, TEXT_TYPE};
use crate::monitoring::{HttpAnswer, MonitoringServer, Page};
use crate::outcome::RequeueReason;
use crate::snapshot::StateKind;
use crate::timings::Timings;
use crate::worker::{SleepReason, State};

/// Those who know what there is to tell.
#[derive(Debug)]
pub(super) struct Monitor<'a> {
    view: &'a StatusView<'a>,
    metrics: &'a Metrics,
    timings: &'a Timings,
    /// When this process began to look for the Manager.
    began: Instant,
}

/// Answers for as long as it is polled, where that is configured.
pub(super) async fn monitor(view: &StatusView<'_>, metrics: &Metrics, config: &Config) -> Infallible {
    let Some(address) = config.metrics.clone() else {
        return pending().await;
    };
    let timings = &config.timings;
    let server = MonitoringServer {
        address,
        first_pause: timings.backoff_min,
        longest_pause: timings.backoff_max,
    };
    let monitor = Monitor {
        view,
        metrics,
        timings,
        began: Instant::now(),
    };
    server.run(|page| monitor.answer(page)).await
}

impl Monitor<'_> {
    fn answer(&self, page: Page) -> HttpAnswer {
        match page {
            Page::Index => HttpAnswer::text("200 OK", index()),
            Page::Metrics => match self.metrics.text(&self.gauges()) {
                Ok(body) => HttpAnswer {
                    status: "200 OK",
                    kind: TEXT_TYPE,
                    body,
                },
                Err(error) => HttpAnswer::text("500 Internal Server Error", format!("{error}\n")),
            },
            Page::Health => self.health(self.trouble()),
            Page::Liveness => self.health(self.stalled()),
        }
    }

    fn health(&self, trouble: Option<String>) -> HttpAnswer {
        match trouble {
            None => HttpAnswer::text("200 OK", format!("ok: {}\n", self.view.snapshot().line())),
            Some(trouble) => HttpAnswer::text("503 Service Unavailable", format!("{trouble}\n")),
        }
    }

    /// Why this worker cannot do its work, unless a task runs: it is asleep because its node is not fit, or its Manager is
    /// silent, whether the worker is awake or asleep.
    fn trouble(&self) -> Option<String> {
        let now = self.view.snapshot();
        if now.task.is_some() {
            return None;
        }
        match self.view.status.borrow().state() {
            State::Asleep(reason @ SleepReason::Requeued(_)) => Some(format!("asleep: {reason}")),
            State::Starting | State::Awake | State::Asleep(_) => {
                let trouble = now.trouble_text();
                trouble.filter(|_| self.silence() > self.timings.contact_gap)
            }
            State::HandingOver(_) | State::Leaving(_) => None,
        }
    }

    /// The same as for systemd's watchdog, but for a task: see [`Timings::watchdog_contact`].
    fn stalled(&self) -> Option<String> {
        let idle = self.view.status.borrow().task().is_none();
        let limit = self.timings.watchdog_contact;
        let stalled = idle && self.silence() > limit;
        stalled.then(|| format!("no answer from the Manager for longer than {limit:?} (watchdog_contact)"))
    }

    /// How long the Manager has not answered.
    fn silence(&self) -> Duration {
        let began = || self.began.elapsed();
        self.view.manager.since_last_answer().unwrap_or_else(began)
    }

    fn gauges(&self) -> Gauges {
        let now = self.view.snapshot();
        let since_last_answer = self.view.manager.since_last_answer();
        let task = now.task.as_ref();
        Gauges {
            state: match now.state {
                StateKind::Starting => StateLabel::Starting,
                StateKind::Awake => StateLabel::Awake,
                StateKind::Asleep => StateLabel::Asleep,
                StateKind::Leaving => StateLabel::Leaving,
            },
            asleep: sleep_cause(self.view.status.borrow().state()),
            paused: now.paused.is_some(),
            running: task.is_some(),
            steps: task.and_then(|task| task.of).unwrap_or_default(),
            steps_done: task.map_or(0, |task| task.done),
            since_last_answer,
            manager_answers: since_last_answer.is_some() && now.trouble.is_none(),
            updates_waiting: now.updates_waiting,
            outcomes_waiting: self.view.spool.pending().outcomes,
            spool_bytes: self.view.spool.unsent_log(),
            strays: now.processes_left.len(),
        }
    }
}

fn index() -> String {
    let lines = Page::ALL.map(|(_, path, about)| format!("{path:9} {about}\n"));
    format!("flamenco-worker\n\n{}", lines.concat())
}

fn sleep_cause(state: &State) -> Option<SleepCause> {
    let State::Asleep(reason) = state else { return None };
    Some(match reason {
        SleepReason::Requested(_) => SleepCause::Manager,
        SleepReason::Local => SleepCause::Local,
        SleepReason::Paused(_) => SleepCause::Paused,
        SleepReason::Requeued(RequeueReason::Unfit(_)) => SleepCause::Unfit,
        SleepReason::Requeued(RequeueReason::CrashLoop(_)) => SleepCause::CrashLoop,
        SleepReason::Requeued(RequeueReason::Unkillable(_)) => SleepCause::Unkillable,
        SleepReason::Requeued(RequeueReason::Spool(_)) => SleepCause::Disk,
        SleepReason::Requeued(
            RequeueReason::CannotStart(_) | RequeueReason::NoTmpdir(_) | RequeueReason::GuardLost,
        ) => SleepCause::CannotStart,
    })
}
