// SPDX-License-Identifier: GPL-3.0-or-later
//! How the whole farm is, in one word.

use super::{Event, Farm};
use crate::words::{FarmStatus, JobStatus, WorkerStatus};

impl Farm {
    pub(crate) fn status(&self) -> FarmStatus {
        let present = || self.workers.iter().filter(|worker| !worker.deleted);
        let any_worker = |status| present().any(|worker| worker.status == status);
        let any_job = |status| self.jobs.iter().any(|job| job.status == status);
        if present().all(|worker| matches!(worker.status, WorkerStatus::Offline | WorkerStatus::Error)) {
            return FarmStatus::Inoperative;
        }
        let (awake, active) = (any_worker(WorkerStatus::Awake), any_job(JobStatus::Active));
        if active && awake {
            FarmStatus::Active
        } else if active || any_job(JobStatus::Queued) {
            FarmStatus::Waiting
        } else if !awake && any_worker(WorkerStatus::Asleep) {
            FarmStatus::Asleep
        } else {
            FarmStatus::Idle
        }
    }
}

impl Event {
    /// A status of a worker or job became another: the Manager then looks at the farm's.
    pub(crate) fn changes_status(&self) -> bool {
        match self {
            Self::Worker { worker, previous, .. } => previous.is_some_and(|previous| previous != worker.status),
            Self::Job { job, previous, .. } => previous.is_some_and(|previous| previous != job.status),
            Self::Task { .. } | Self::LastRendered { .. } => false,
        }
    }
}
