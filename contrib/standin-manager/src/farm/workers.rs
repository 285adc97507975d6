// SPDX-License-Identifier: GPL-3.0-or-later
//! Worker rows: who registered, what they say they are, what is asked of them, and when they are given up on.

use jiff::Timestamp;

use super::{Event, Farm, Refused, RequestedAction, When, Worker, new_id};
use crate::words::{TaskStatus, WorkerStatus};

/// bcrypt takes no more.
const LONGEST_SECRET: usize = 72;

/// Body of register-worker.
pub(crate) struct Registration {
    pub(crate) secret: String,
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) task_types: Vec<String>,
    pub(crate) address: String,
}

/// Body of sign-on.
pub(crate) struct SignOn {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) task_types: Vec<String>,
    pub(crate) can_restart: bool,
    pub(crate) address: String,
}

impl Farm {
    /// A new row every time: names are not unique and nothing is replaced.
    pub(crate) fn register(&mut self, wish: Registration) -> Result<usize, Refused> {
        if wish.secret.len() > LONGEST_SECRET {
            return Err(Refused::new(400, "error hashing password"));
        }
        self.workers.push(Worker {
            id: new_id(),
            name: wish.name,
            platform: wish.platform,
            address: wish.address,
            version: String::new(),
            task_types: in_one_column(&wish.task_types),
            can_restart: false,
            status: WorkerStatus::Unset,
            requested: None,
            last_seen: None,
            updated: None,
            deleted: false,
            unclean_sign_ons: 0,
            secret: wish.secret,
        });
        Ok(self.workers.len() - 1)
    }

    /// Returns the status to go to. Requeues nothing and clears no request.
    pub(crate) fn sign_on(&mut self, at: usize, wish: SignOn) -> WorkerStatus {
        let worker = &mut self.workers[at];
        let previous = worker.status;
        worker.status = WorkerStatus::Starting;
        if !matches!(previous, WorkerStatus::Offline | WorkerStatus::Restart) {
            worker.unclean_sign_ons += 1;
        }
        worker.name = wish.name;
        worker.version = wish.version;
        worker.can_restart = wish.can_restart;
        worker.address = wish.address;
        let tidy: Vec<String> = wish.task_types.iter().map(|kind| kind.trim().to_lowercase()).collect();
        worker.task_types = in_one_column(&tidy);
        let next = worker.requested.map_or(WorkerStatus::Awake, |asked| asked.status);
        self.announce_worker(at, (previous != WorkerStatus::Unset).then_some(previous));
        self.seen(at);
        next
    }

    /// Remembers `awake` and `asleep` for the next sign-on.
    pub(crate) fn sign_off(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let previous = worker.status;
        worker.status = WorkerStatus::Offline;
        worker.unclean_sign_ons = 0;
        let leaving = |asked: &RequestedAction| matches!(asked.status, WorkerStatus::Offline | WorkerStatus::Restart);
        if worker.requested.as_ref().is_some_and(leaving) {
            worker.requested = None;
        }
        if worker.requested.is_none() && matches!(previous, WorkerStatus::Awake | WorkerStatus::Asleep) {
            worker.requested = Some(RequestedAction {
                status: previous,
                when: When::Now,
            });
        }
        self.return_tasks(at, "worker signed off");
        self.announce_worker(at, Some(previous));
        self.seen(at);
    }

    /// `GET state`: what is asked of this worker, lazily or not.
    pub(crate) fn asked_of(&mut self, at: usize) -> Option<WorkerStatus> {
        self.seen(at);
        self.workers[at].requested.map(|asked| asked.status)
    }

    pub(crate) fn state_changed(&mut self, at: usize, status: WorkerStatus) {
        let worker = &mut self.workers[at];
        let previous = worker.status;
        worker.status = status;
        if worker.requested.is_some_and(|asked| asked.status == status) {
            worker.requested = None;
        }
        let identifier = worker.identifier();
        if previous == WorkerStatus::Awake && status != WorkerStatus::Awake {
            self.return_tasks(at, &format!("worker {identifier} changed status to '{status}'"));
        }
        self.announce_worker(at, Some(previous));
        self.seen(at);
    }

    /// The Worker Actions menu. Asking for the present status takes a pending request back.
    pub(crate) fn ask(&mut self, id: &str, status: WorkerStatus, when: When) -> Result<(), Refused> {
        let at = self.known_worker(id)?;
        let worker = &mut self.workers[at];
        if status == WorkerStatus::Restart && !worker.can_restart {
            return Err(Refused::new(
                412,
                format!("worker \"{id}\" does not know how to restart"),
            ));
        }
        worker.requested = (worker.status != status).then_some(RequestedAction { status, when });
        self.announce_worker(at, None);
        self.workers[at].updated = Some(Timestamp::now());
        Ok(())
    }

    /// Its tasks are requeued; afterwards all its calls are refused.
    pub(crate) fn delete_worker(&mut self, id: &str) -> Result<(), Refused> {
        let at = self.known_worker(id)?;
        self.return_tasks(at, "worker is being deleted");
        self.workers[at].deleted = true;
        self.announce(Event::Worker {
            worker: Box::new(self.workers[at].clone()),
            previous: None,
            deleted: true,
        });
        Ok(())
    }

    pub(crate) fn known_worker(&self, id: &str) -> Result<usize, Refused> {
        self.worker(id)
            .ok_or_else(|| Refused::new(404, format!("worker \"{id}\" not found")))
    }

    pub(crate) fn seen(&mut self, at: usize) {
        let now = Some(Timestamp::now());
        (self.workers[at].last_seen, self.workers[at].updated) = (now, now);
    }

    /// One round of the time-out check: tasks first, then workers.
    pub(crate) fn check_timeouts(&mut self) {
        let now = Timestamp::now();
        let older = |moment: Option<Timestamp>, limit| moment.is_some_and(|then| now.duration_since(then) >= limit);
        let task_limit = jiff::SignedDuration::try_from(self.options.task_timeout).unwrap_or(jiff::SignedDuration::MAX);
        for at in 0..self.tasks.len() {
            if self.tasks[at].status == TaskStatus::Active && older(self.tasks[at].touched, task_limit) {
                self.time_out_task(at);
            }
        }
        let worker_limit =
            jiff::SignedDuration::try_from(self.options.worker_timeout).unwrap_or(jiff::SignedDuration::MAX);
        for at in 0..self.workers.len() {
            let worker = &self.workers[at];
            let exempt = worker.deleted || matches!(worker.status, WorkerStatus::Error | WorkerStatus::Offline);
            if !exempt && older(worker.last_seen, worker_limit) {
                self.time_out_worker(at);
            }
        }
    }

    fn time_out_worker(&mut self, at: usize) {
        let previous = self.workers[at].status;
        self.workers[at].status = WorkerStatus::Error;
        self.workers[at].requested = None;
        self.return_tasks(at, "worker timed out");
        let mut told = Box::new(self.workers[at].clone());
        // This event alone is put together by hand there, and lacks these.
        (told.last_seen, told.can_restart) = (None, false);
        self.announce(Event::Worker {
            worker: told,
            previous: Some(previous),
            deleted: false,
        });
        self.workers[at].updated = Some(Timestamp::now());
    }

    /// A hard failure. The real one composes an activity too, and never stores it.
    fn time_out_task(&mut self, at: usize) {
        let task = &self.tasks[at];
        let owner = self
            .workers
            .iter()
            .find(|worker| Some(&worker.id) == task.worker.as_ref());
        let owner = owner.map_or_else(|| "-unassigned-".to_owned(), Worker::identifier);
        let since = task
            .touched
            .map_or_else(String::new, |then| then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        self.set_task_status(at, TaskStatus::Failed);
        self.log_stamped(
            at,
            &format!("Task timed out. It was assigned to worker {owner}, but untouched since {since}"),
        );
    }
}

/// The list is stored as one text with commas: a type with a comma becomes two, no types become one empty type.
fn in_one_column(kinds: &[String]) -> Vec<String> {
    kinds.join(",").split(',').map(str::to_owned).collect()
}
