// SPDX-License-Identifier: GPL-3.0-or-later
//! The state under its one lock, and waiting for it to change. Tests' threads and the server's thread meet only here.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    farm::{Event, Farm, Job, Task, Uploaded, Worker},
    faults::Faults,
    push::{Killed, Parted, Push, PushClient, PushCounts},
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
    pub(crate) push: Push,
    /// In order of their numbers.
    pub(crate) requests: Vec<Seen>,
    pub(crate) next_request: u64,
    pub(crate) next_connection: u64,
}

impl Shared {
    pub(crate) fn new(farm: Farm) -> Self {
        let inner = Inner {
            push: Push::new(&farm.options.push),
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

    /// Changes something, tells the clients of the Socket.IO, and wakes everybody who waits.
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Inner) -> T) -> T {
        let made = {
            let mut inner = self.lock();
            let made = how(&mut inner);
            inner.tell();
            made
        };
        self.changed.notify_all();
        made
    }

    /// Notes what became of a request, unless that is known already.
    pub(crate) fn finish(&self, number: u64, outcome: Outcome) {
        let now = self.since_start();
        self.change(|inner| {
            if let Some(seen) = inner.request(number)
                && seen.outcome == Outcome::Pending
            {
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

impl Inner {
    pub(crate) fn note(&mut self, request: Seen) {
        let kept = self.farm.options.requests_kept.max(1);
        if self.requests.len() >= kept {
            self.requests.drain(..kept.div_ceil(4));
        }
        self.requests.push(request);
    }

    /// A request that was neither forgotten nor cleared.
    pub(crate) fn request(&mut self, number: u64) -> Option<&mut Seen> {
        let at = self.requests.binary_search_by_key(&number, |seen| seen.number);
        at.ok().map(|at| &mut self.requests[at])
    }

    /// Whether what was just done has something to broadcast, which never comes to an end.
    pub(crate) fn hangs(&self) -> bool {
        self.push.wedged && self.farm.has_announced()
    }

    fn tell(&mut self) {
        let events = self.farm.announced();
        for event in &events {
            self.push.tell(event);
        }
        if events.iter().any(Event::changes_status) {
            self.push.recheck(&self.farm);
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

    /// Who is connected to the Socket.IO, in order of their coming.
    pub fn push_clients(&self) -> impl Iterator<Item = PushClient> {
        self.inner.push.clients()
    }

    #[must_use]
    pub fn push_counts(&self) -> PushCounts {
        self.inner.push.counts
    }

    /// The clients of the Socket.IO that ended their connection themselves, in order.
    #[must_use]
    pub fn parted(&self) -> &[Parted] {
        &self.inner.push.parted
    }

    /// Whether nothing is broadcast any more ([`PushOptions::wedges`](crate::PushOptions::wedges)).
    #[must_use]
    pub fn wedged(&self) -> bool {
        self.inner.push.wedged
    }

    /// The packet that ended the Manager's process: the last one, and it stays known when the Manager was started again.
    #[must_use]
    pub fn killed(&self) -> Option<&Killed> {
        self.inner.push.killed.as_ref()
    }

    /// Since the start, or since they were cleared; the oldest go when there are too many ([`Options::requests_kept`]).
    ///
    /// [`Options::requests_kept`]: crate::Options::requests_kept
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
