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
    pub(crate) fn start(contender: &Contender) -> Result<Self, String> {
        Self::with(contender, &[])
    }

    /// With tasks that wait for it already, each a job of its own.
    pub(crate) fn with(contender: &Contender, tasks: &[&CommandSpec]) -> Result<Self, String> {
        let manager = StandIn::start(Options::default()).map_err(|error| error.to_string())?;
        for task in tasks {
            submit(&manager, task)?;
        }
        let worker = Worker::start(contender, &manager.url(), "bench")?;
        Ok(Self { worker, manager })
    }

    pub(crate) fn awake(contender: &Contender) -> Result<Self, String> {
        let node = Self::start(contender)?;
        node.wait("the worker to be awake", |farm| {
            farm.workers()
                .find(|worker| worker.status == WorkerStatus::Awake)
                .map(|_| ())
        })?;
        Ok(node)
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
