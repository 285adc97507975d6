// SPDX-License-Identifier: GPL-3.0-or-later

//! The smallest farm: one Manager, one worker.

use std::time::Duration;

use serde_json::Value;
use standin_manager::{CommandSpec, Endpoint, JobSpec, Options, Seen, Snapshot, StandIn, TaskSpec, When, WorkerStatus};

use crate::contender::Contender;
use crate::worker::Worker;

/// How long anything may take before the benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A farm of one. The worker goes first, and finds its Manager still there to sign off.
pub(crate) struct Node {
    pub(crate) worker: Worker,
    pub(crate) manager: StandIn,
}

impl Node {
    /// With a worker that is awake, and has nothing to do.
    pub(crate) fn awake(contender: &Contender) -> Result<Self, String> {
        let node = Self::start(contender, manager()?)?;
        node.wait("the worker to be awake", |farm| {
            let awake = farm.workers().find(|worker| worker.status == WorkerStatus::Awake);
            awake.map(|_| ())
        })?;
        Ok(node)
    }

    /// With a task that waits for the worker already; also returns its job's id.
    pub(crate) fn with_task(contender: &Contender, task: &CommandSpec) -> Result<(Self, String), String> {
        let manager = manager()?;
        let job = submit(&manager, task)?;
        Ok((Self::start(contender, manager)?, job))
    }

    fn start(contender: &Contender, manager: StandIn) -> Result<Self, String> {
        let worker = Worker::start(contender, &manager.url(), "bench")?;
        Ok(Self { worker, manager })
    }

    /// Submits a job of one task; returns the job's id.
    pub(crate) fn submit(&self, command: &CommandSpec) -> Result<String, String> {
        submit(&self.manager, command)
    }

    /// Chooses a Worker Action and clicks *Apply*; returns when that was.
    pub(crate) fn ask(&self, status: WorkerStatus, when: When) -> Result<Duration, String> {
        let worker = self.manager.workers().pop().ok_or("no worker is registered")?;
        let clicked = self.manager.now();
        self.manager
            .ask(&worker.id, status, when)
            .map_err(|refused| refused.to_string())?;
        Ok(clicked)
    }

    /// Waits until the worker has told the Manager this status, in answer to what was clicked at `clicked`; returns when the
    /// Manager had taken it.
    pub(crate) fn acknowledged(&self, status: WorkerStatus, clicked: Duration) -> Result<Duration, String> {
        self.wait(&format!("the worker to say that it is {status}"), |farm| {
            let said = |seen: &&Seen| seen.received >= clicked && says(seen, status);
            farm.requests().iter().rev().find(said).and_then(|seen| seen.finished)
        })
    }

    pub(crate) fn wait<T>(&self, what: &str, fact: impl FnMut(&Snapshot<'_>) -> Option<T>) -> Result<T, String> {
        self.manager
            .wait_for(PATIENCE, what, fact)
            .map_err(|dump| format!("{dump}the worker's log ends:\n{}", self.worker.log()))
    }
}

/// A Manager without workers.
pub(crate) fn manager() -> Result<StandIn, String> {
    StandIn::start(Options::default()).map_err(|error| error.to_string())
}

fn submit(manager: &StandIn, command: &CommandSpec) -> Result<String, String> {
    let job = JobSpec::new("job").task(TaskSpec::new("task").command(command.clone()));
    manager.submit(job).map_err(|refused| refused.to_string())
}

/// Whether a request is a worker's word, taken by the Manager, that it goes to this status. Those who leave sign off.
pub(crate) fn says(seen: &Seen, status: WorkerStatus) -> bool {
    let word = seen.json().and_then(|body| body.get("status")).and_then(Value::as_str);
    let said = if matches!(status, WorkerStatus::Offline | WorkerStatus::Restart) {
        seen.endpoint == Endpoint::SignOff
    } else {
        seen.endpoint == Endpoint::StateChanged && word == Some(status.as_str())
    };
    said && seen.status().is_some_and(|code| code < 300)
}
