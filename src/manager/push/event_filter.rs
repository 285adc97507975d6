// SPDX-License-Identifier: GPL-3.0-or-later

//! What an event of the Manager's means for this worker. Nearly all events are about others, and are dropped by searching
//! their text for this worker's own ids, before any JSON is parsed. This file is pure.

use memchr::memmem;
use serde::Deserialize;
use tracing::trace;

use super::Interest;
use crate::protocol::{JobEvent, LifecycleEvent, TaskEvent, WorkerEvent};

/// What an event suggests to this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Something happened to this worker, or to the task it runs: ask now.
    AskNow,
    /// The Manager has put this worker in `error`, as after a time-out.
    MarkedError,
    /// There may be new work: ask, but not at the same moment as all other workers.
    NewWork,
    /// A job has made a step, which may have made new work available: ask, but seldom.
    JobProgress,
    /// The Manager is about to stop.
    ManagerStops,
}

/// Decides which events matter to this worker.
#[derive(Debug, Clone)]
pub(crate) struct EventFilter {
    worker_id: String,
    interest: Interest,
}

impl EventFilter {
    /// A filter for the worker with the UUID `worker_id`.
    pub(crate) fn new(worker_id: String, interest: Interest) -> Self {
        Self { worker_id, interest }
    }

    /// What the worker wants hints about.
    pub(crate) fn interest(&self) -> &Interest {
        &self.interest
    }

    pub(super) fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// What the event `name` suggests. An event that cannot be read suggests nothing.
    pub(crate) fn hint(&self, name: &str, payload: &str) -> Option<Hint> {
        match name {
            "/workers" if mentions(payload, &self.worker_id) => self.hint_of_worker(&parse(payload)?),
            "/jobs" => match &self.interest {
                Interest::Work => hint_of_work(&parse(payload)?),
                Interest::Task { job, .. } if mentions(payload, job) => hint_of_job_end(&parse(payload)?, job),
                Interest::Nothing | Interest::StatusRequests | Interest::Task { .. } => None,
            },
            "/task" => match &self.interest {
                Interest::Task { task, .. } if mentions(payload, task) => self.hint_of_task(&parse(payload)?, task),
                Interest::Nothing | Interest::StatusRequests | Interest::Work | Interest::Task { .. } => None,
            },
            "/lifecycle" => {
                let event: LifecycleEvent = parse(payload)?;
                (event.kind.as_deref() == Some("manager-shutdown")).then_some(Hint::ManagerStops)
            }
            _ => None,
        }
    }

    /// Changes that this worker made itself are broadcast too, and suggest nothing.
    fn hint_of_worker(&self, event: &WorkerEvent) -> Option<Hint> {
        if event.id.as_ref() != Some(&self.worker_id) {
            return None;
        }
        if event.status.as_deref() == Some("error") {
            return Some(Hint::MarkedError);
        }
        (event.status_change.is_some() || event.deleted_at.is_some()).then_some(Hint::AskNow)
    }

    fn hint_of_task(&self, event: &TaskEvent, task: &str) -> Option<Hint> {
        let owner = event.worker.as_ref().and_then(|owner| owner.uuid.as_ref());
        let is_ours = event.status.as_deref() == Some("active") && owner.is_none_or(|owner| *owner == self.worker_id);
        (event.id.as_deref() == Some(task) && !is_ours).then_some(Hint::AskNow)
    }
}

/// A job is new, was queued again, or has become active. A job that was active before and still is has made a step.
fn hint_of_work(event: &JobEvent) -> Option<Hint> {
    match event.status.as_deref() {
        Some("queued") => Some(Hint::NewWork),
        Some("active") => match event.previous_status.as_deref() {
            None | Some("active") => Some(Hint::JobProgress),
            Some(_) => Some(Hint::NewWork),
        },
        _ => None,
    }
}

/// A job that goes on does not end its tasks. A deleted job has an empty status.
fn hint_of_job_end(event: &JobEvent, job: &str) -> Option<Hint> {
    let goes_on = matches!(event.status.as_deref(), Some("active" | "queued"));
    (event.id.as_deref() == Some(job) && !goes_on).then_some(Hint::AskNow)
}

fn mentions(payload: &str, id: &str) -> bool {
    memmem::find(payload.as_bytes(), id.as_bytes()).is_some()
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a str) -> Option<T> {
    serde_json::from_str(payload)
        .inspect_err(|error| trace!(%error, "an event that cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "349101db-3efa-44fe-92e9-f82ca8e0032b";
    const JOB: &str = "3fbd307e-c8eb-454b-87a8-9cdc8c810947";
    const TASK: &str = "b8bdc74a-f4cf-40e2-8b26-e74a4e5aa3ef";
    const OTHER: &str = "3dad3196-0000-4000-8000-000000000000";

    fn running() -> Interest {
        Interest::Task {
            job: JOB.into(),
            task: TASK.into(),
        }
    }

    fn hint(interest: &Interest, name: &str, payload: &str) -> Option<Hint> {
        EventFilter::new(OWN.into(), interest.clone()).hint(name, payload)
    }

    fn worker(id: &str, more: &str) -> String {
        format!(r#"{{"can_restart":false,"id":"{id}","name":"{OWN}","updated":"x"{more}}}"#)
    }

    #[test]
    fn events_about_this_worker_are_hints_in_every_state_unless_it_caused_them() {
        let change = r#","status":"awake","status_change":{"is_lazy":true,"status":"asleep"}"#;
        for interest in [Interest::StatusRequests, Interest::Work, running()] {
            let hint = |payload: &str| hint(&interest, "/workers", payload);
            assert_eq!(hint(&worker(OWN, change)), Some(Hint::AskNow));
            assert_eq!(hint(&worker(OWN, r#","deleted_at":"x""#)), Some(Hint::AskNow));
            assert_eq!(hint(&worker(OWN, r#","status":"error""#)), Some(Hint::MarkedError));
            assert_eq!(
                hint(&worker(OWN, r#","previous_status":"asleep","status":"awake""#)),
                None
            );
            assert_eq!(
                hint(&worker(OTHER, change)),
                None,
                "of another worker whose name is our id"
            );
        }
    }

    #[test]
    fn new_work_is_a_hint_while_idle_and_the_progress_of_a_job_a_lesser_one() {
        let job = |more: &str| format!(r#"{{"id":"{JOB}","priority":50{more}}}"#);
        let idle = |more: &str| hint(&Interest::Work, "/jobs", &job(more));
        assert_eq!(idle(r#","status":"queued""#), Some(Hint::NewWork));
        assert_eq!(
            idle(r#","status":"queued","previous_status":"requeueing""#),
            Some(Hint::NewWork)
        );
        assert_eq!(
            idle(r#","status":"active","previous_status":"paused""#),
            Some(Hint::NewWork)
        );
        assert_eq!(
            idle(r#","status":"active","steps_completed":7"#),
            Some(Hint::JobProgress)
        );
        assert_eq!(idle(r#","status":"completed","previous_status":"active""#), None);
        assert_eq!(
            hint(&Interest::StatusRequests, "/jobs", &job(r#","status":"queued""#)),
            None
        );
    }

    #[test]
    fn what_may_end_the_task_is_a_hint_while_it_runs() {
        let job =
            |id: &str, status: &str| hint(&running(), "/jobs", &format!(r#"{{"id":"{id}","status":"{status}"}}"#));
        for status in ["cancel-requested", "canceled", "failed", "", "whatever"] {
            assert_eq!(job(JOB, status), Some(Hint::AskNow), "{status}");
        }
        assert_eq!(job(JOB, "active"), None);
        assert_eq!(job(OTHER, "canceled"), None);
        let task = |id: &str, status: &str, owner: &str| {
            let payload =
                format!(r#"{{"id":"{id}","job_id":"{JOB}","status":"{status}","worker":{{"uuid":"{owner}"}}}}"#);
            hint(&running(), "/task", &payload)
        };
        assert_eq!(task(TASK, "canceled", OWN), Some(Hint::AskNow));
        assert_eq!(task(TASK, "active", OTHER), Some(Hint::AskNow));
        assert_eq!(task(TASK, "active", OWN), None);
        assert_eq!(task(OTHER, "canceled", OWN), None);
    }

    #[test]
    fn the_managers_goodbye_is_a_hint_and_nothing_else_is() {
        let idle = |name: &str, payload: &str| hint(&Interest::Work, name, payload);
        assert_eq!(
            idle("/lifecycle", r#"{"type":"manager-shutdown"}"#),
            Some(Hint::ManagerStops)
        );
        assert_eq!(idle("/lifecycle", r#"{"type":"manager-startup"}"#), None);
        assert_eq!(idle("/status", r#"{"status":"idle"}"#), None);
        for payload in ["", "null", "[]", "{", r#"{"status":7}"#, r#"{"status":null}"#] {
            assert_eq!(idle("/jobs", payload), None, "{payload}");
        }
        assert_eq!(idle("/workers", OWN), None);
    }

    proptest! {
        /// This worker's id may stand amid any text.
        #[test]
        fn any_payload_may_come(name in "/(workers|jobs|task|lifecycle|x)", payload in "\\{?\\PC{0,50}(\"id\":\")?349101db-3efa-44fe-92e9-f82ca8e0032b\\PC{0,50}\\}?") {
            hint(&running(), &name, &payload);
            hint(&Interest::Work, &name, &payload);
        }
    }
}
