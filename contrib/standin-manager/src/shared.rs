// SPDX-License-Identifier: GPL-3.0-or-later
//! The state under its one lock, and waiting for it to change. Tests' threads and the server's thread meet only here.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    farm::{Farm, Job, Task, Uploaded, Worker},
    faults::Faults,
    seen::{Outcome, Seen},
};

/// Requests shown when waiting was in vain.
const REQUESTS_DUMPED: usize = 30;

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    started: Instant,
}

pub(crate) struct Inner {
    pub(crate) farm: Farm,
    pub(crate) faults: Faults,
    pub(crate) requests: Vec<Seen>,
    pub(crate) next_request: u64,
    pub(crate) next_connection: u64,
}

impl Shared {
    pub(crate) fn new(farm: Farm) -> Self {
        let inner = Inner {
            farm,
            faults: Faults::default(),
            requests: Vec::new(),
            next_request: 0,
            next_connection: 0,
        };
        Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            started: Instant::now(),
        }
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// A panic elsewhere leaves the state readable: the test that panicked is the one to report it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&Inner) -> T) -> T {
        at(&self.lock())
    }

    /// Changes something, and wakes everybody who waits.
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Inner) -> T) -> T {
        let made = how(&mut self.lock());
        self.changed.notify_all();
        made
    }

    /// Notes what became of a request, unless that is known already.
    pub(crate) fn finish(&self, number: u64, outcome: Outcome) {
        let now = self.since_start();
        self.change(|inner| {
            let open = |seen: &&mut Seen| seen.number == number && seen.outcome == Outcome::Pending;
            if let Some(seen) = inner.requests.iter_mut().rev().find(open) {
                (seen.outcome, seen.finished) = (outcome, Some(now));
            }
        });
    }

    pub(crate) fn wait_for<T>(
        &self,
        deadline: Duration,
        what: &str,
        mut fact: impl FnMut(&Snapshot<'_>) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + deadline;
        let mut inner = self.lock();
        loop {
            if let Some(found) = fact(&Snapshot::of(&inner)) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let dump = Snapshot::of(&inner).to_string();
                return Err(format!("waited {deadline:?} in vain for {what}\n{dump}"));
            }
            inner = self
                .changed
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// The state at one instant, under the lock: whoever holds one must not call the stand-in itself.
pub struct Snapshot<'a> {
    inner: &'a Inner,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn of(inner: &'a Inner) -> Self {
        Self { inner }
    }

    /// All workers that are not deleted.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.inner.farm.workers.iter().filter(|worker| !worker.deleted)
    }

    #[must_use]
    pub fn worker(&self, id: &str) -> Option<&Worker> {
        self.workers().find(|worker| worker.id == id)
    }

    #[must_use]
    pub fn worker_named(&self, name: &str) -> Option<&Worker> {
        self.workers().find(|worker| worker.name == name)
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.inner.farm.jobs.iter()
    }

    #[must_use]
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs().find(|job| job.id == id)
    }

    /// In the order they were handed in.
    pub fn tasks<'s>(&'s self, job: &'s str) -> impl Iterator<Item = &'s Task> {
        self.inner.farm.tasks.iter().filter(move |task| task.job == job)
    }

    #[must_use]
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.inner.farm.tasks.iter().find(|task| task.id == id)
    }

    /// The task's log file, read now.
    #[must_use]
    pub fn log(&self, task: &str) -> String {
        self.inner.farm.task_log(task)
    }

    pub fn pictures<'s>(&'s self, task: &'s str) -> impl Iterator<Item = &'s Uploaded> {
        self.inner
            .farm
            .pictures
            .iter()
            .filter(move |picture| picture.task == task)
    }

    /// Since the start, or since they were cleared.
    #[must_use]
    pub fn requests(&self) -> &[Seen] {
        &self.inner.requests
    }
}

impl std::fmt::Display for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Worker {
            id,
            name,
            status,
            requested,
            last_seen,
            deleted,
            ..
        } in &self.inner.farm.workers
        {
            let gone = if *deleted { " (deleted)" } else { "" };
            let seen = last_seen.map_or_else(|| "never".to_owned(), |then| then.to_string());
            writeln!(
                f,
                "worker {id} {name:?} {status}{gone}, asked {requested:?}, seen {seen}"
            )?;
        }
        for job in &self.inner.farm.jobs {
            writeln!(f, "job {} {:?} {}: {}", job.id, job.name, job.status, job.activity)?;
            for task in self.tasks(&job.id) {
                let Task {
                    id,
                    name,
                    status,
                    activity,
                    steps_completed,
                    steps_total,
                    worker,
                    ..
                } = task;
                let owner = worker.as_deref().unwrap_or("-");
                writeln!(
                    f,
                    "  task {id} {name:?} {status} {steps_completed}/{steps_total} of {owner}: {activity}"
                )?;
            }
        }
        let shown = self.requests().len().saturating_sub(REQUESTS_DUMPED);
        self.requests()[shown..]
            .iter()
            .try_for_each(|seen| writeln!(f, "{seen}"))
    }
}
