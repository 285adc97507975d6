// SPDX-License-Identifier: GPL-3.0-or-later

//! What an event means for us: pure. Nearly all are for others, and are dropped by looking for our own ids in the text,
//! before any JSON is read.

use memchr::memmem;
use serde::Deserialize;

use super::Interest;
use crate::protocol::{JobEvent, LifecycleEvent, TaskEvent, WorkerEvent};

/// What was heard that concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something about this worker, or the task it runs: ask.
    Ours,
    /// The Manager has put this worker in `error`, as after a time-out.
    GivenUp,
    /// There may be work: ask, but not all at once.
    Work,
    /// A job has made a step, which may have freed work: ask, but seldom.
    Step,
    /// The Manager is about to stop.
    Shutdown,
}

/// Somebody who listens.
#[derive(Debug, Clone)]
pub struct Ear {
    /// The worker's UUID.
    own: String,
    interest: Interest,
}

impl Ear {
    pub fn new(own: String, interest: Interest) -> Self {
        Self { own, interest }
    }

    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    pub(super) fn turn_to(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// What the event `name` means. What cannot be read means nothing.
    pub fn hear(&self, name: &str, payload: &str) -> Option<Heard> {
        match name {
            "/workers" if mentions(payload, &self.own) => self.worker(&read(payload)?),
            "/jobs" => match &self.interest {
                Interest::Work => work(&read(payload)?),
                Interest::Task { job, .. } if mentions(payload, job) => may_end(&read(payload)?, job),
                Interest::Nothing | Interest::Wishes | Interest::Task { .. } => None,
            },
            "/task" => match &self.interest {
                Interest::Task { task, .. } if mentions(payload, task) => self.task(&read(payload)?, task),
                Interest::Nothing | Interest::Wishes | Interest::Work | Interest::Task { .. } => None,
            },
            "/lifecycle" => {
                let event: LifecycleEvent = read(payload)?;
                (event.kind.as_deref() == Some("manager-shutdown")).then_some(Heard::Shutdown)
            }
            _ => None,
        }
    }

    /// What we do ourselves comes back too, and means nothing.
    fn worker(&self, event: &WorkerEvent) -> Option<Heard> {
        if event.id.as_ref() != Some(&self.own) {
            return None;
        }
        if event.status.as_deref() == Some("error") {
            return Some(Heard::GivenUp);
        }
        (event.status_change.is_some() || event.deleted_at.is_some()).then_some(Heard::Ours)
    }

    fn task(&self, event: &TaskEvent, task: &str) -> Option<Heard> {
        let owner = event.worker.as_ref().and_then(|owner| owner.uuid.as_ref());
        let still_ours = event.status.as_deref() == Some("active") && owner.is_none_or(|owner| *owner == self.own);
        (event.id.as_deref() == Some(task) && !still_ours).then_some(Heard::Ours)
    }
}

/// A job is new or was queued again, or has become active. One that is active and stays so has made a step.
fn work(event: &JobEvent) -> Option<Heard> {
    match event.status.as_deref() {
        Some("queued") => Some(Heard::Work),
        Some("active") => match event.previous_status.as_deref() {
            None | Some("active") => Some(Heard::Step),
            Some(_) => Some(Heard::Work),
        },
        _ => None,
    }
}

/// A job that goes on does not end its tasks. A deleted one has an empty status.
fn may_end(event: &JobEvent, job: &str) -> Option<Heard> {
    let goes_on = matches!(event.status.as_deref(), Some("active" | "queued"));
    (event.id.as_deref() == Some(job) && !goes_on).then_some(Heard::Ours)
}

fn mentions(payload: &str, id: &str) -> bool {
    memmem::find(payload.as_bytes(), id.as_bytes()).is_some()
}

fn read<'a, T: Deserialize<'a>>(payload: &'a str) -> Option<T> {
    serde_json::from_str(payload)
        .inspect_err(|error| tracing::trace!(%error, "an event that cannot be read"))
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

    fn hear(interest: &Interest, name: &str, payload: &str) -> Option<Heard> {
        Ear::new(OWN.into(), interest.clone()).hear(name, payload)
    }

    fn worker(id: &str, more: &str) -> String {
        format!(r#"{{"can_restart":false,"id":"{id}","name":"{OWN}","updated":"x"{more}}}"#)
    }

    #[test]
    fn our_own_row_is_heard_in_every_state_unless_it_is_our_own_echo() {
        let change = r#","status":"awake","status_change":{"is_lazy":true,"status":"asleep"}"#;
        for interest in [Interest::Wishes, Interest::Work, running()] {
            let hear = |payload: &str| hear(&interest, "/workers", payload);
            assert_eq!(hear(&worker(OWN, change)), Some(Heard::Ours));
            assert_eq!(hear(&worker(OWN, r#","deleted_at":"x""#)), Some(Heard::Ours));
            assert_eq!(hear(&worker(OWN, r#","status":"error""#)), Some(Heard::GivenUp));
            assert_eq!(
                hear(&worker(OWN, r#","previous_status":"asleep","status":"awake""#)),
                None
            );
            assert_eq!(
                hear(&worker(OTHER, change)),
                None,
                "of another who bears our id as a name"
            );
        }
    }

    #[test]
    fn new_work_is_heard_while_idle_and_the_progress_of_a_job_as_less() {
        let job = |more: &str| format!(r#"{{"id":"{JOB}","priority":50{more}}}"#);
        let idle = |more: &str| hear(&Interest::Work, "/jobs", &job(more));
        assert_eq!(idle(r#","status":"queued""#), Some(Heard::Work));
        assert_eq!(
            idle(r#","status":"queued","previous_status":"requeueing""#),
            Some(Heard::Work)
        );
        assert_eq!(
            idle(r#","status":"active","previous_status":"paused""#),
            Some(Heard::Work)
        );
        assert_eq!(idle(r#","status":"active","steps_completed":7"#), Some(Heard::Step));
        assert_eq!(idle(r#","status":"completed","previous_status":"active""#), None);
        assert_eq!(hear(&Interest::Wishes, "/jobs", &job(r#","status":"queued""#)), None);
    }

    #[test]
    fn what_may_end_the_task_is_heard_while_it_runs() {
        let job =
            |id: &str, status: &str| hear(&running(), "/jobs", &format!(r#"{{"id":"{id}","status":"{status}"}}"#));
        for status in ["cancel-requested", "canceled", "failed", "", "whatever"] {
            assert_eq!(job(JOB, status), Some(Heard::Ours), "{status}");
        }
        assert_eq!(job(JOB, "active"), None);
        assert_eq!(job(OTHER, "canceled"), None);
        let task = |id: &str, status: &str, owner: &str| {
            let payload =
                format!(r#"{{"id":"{id}","job_id":"{JOB}","status":"{status}","worker":{{"uuid":"{owner}"}}}}"#);
            hear(&running(), "/task", &payload)
        };
        assert_eq!(task(TASK, "canceled", OWN), Some(Heard::Ours));
        assert_eq!(task(TASK, "active", OTHER), Some(Heard::Ours));
        assert_eq!(task(TASK, "active", OWN), None);
        assert_eq!(task(OTHER, "canceled", OWN), None);
    }

    #[test]
    fn the_managers_goodbye_is_heard_and_nothing_else_is() {
        let idle = |name: &str, payload: &str| hear(&Interest::Work, name, payload);
        assert_eq!(
            idle("/lifecycle", r#"{"type":"manager-shutdown"}"#),
            Some(Heard::Shutdown)
        );
        assert_eq!(idle("/lifecycle", r#"{"type":"manager-startup"}"#), None);
        assert_eq!(idle("/status", r#"{"status":"idle"}"#), None);
        for payload in ["", "null", "[]", "{", r#"{"status":7}"#, r#"{"status":null}"#] {
            assert_eq!(idle("/jobs", payload), None, "{payload}");
        }
        assert_eq!(idle("/workers", OWN), None);
    }

    proptest! {
        /// An id of ours amid anything breaks nothing.
        #[test]
        fn any_payload_may_come(name in "/(workers|jobs|task|lifecycle|x)", payload in "\\{?\\PC{0,50}(\"id\":\")?349101db-3efa-44fe-92e9-f82ca8e0032b\\PC{0,50}\\}?") {
            hear(&running(), &name, &payload);
            hear(&Interest::Work, &name, &payload);
        }
    }
}
