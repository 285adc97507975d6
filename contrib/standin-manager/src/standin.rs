// SPDX-License-Identifier: GPL-3.0-or-later
//! The stand-in as a test holds it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::{
    farm::{Event, Farm, Job, Refused, Task, Uploaded, When, Worker},
    faults::Fault,
    options::Options,
    push::{Killed, Parted, PushClient, PushCounts},
    seen::Seen,
    shared::{Shared, Snapshot},
    spec::JobSpec,
    wire::server::Server,
    words::{JobStatus, TaskStatus, WorkerStatus},
};

/// The reason given for what a test does to a job or task.
const REASON: &str = "asked for by a test";

/// A Manager that runs until it is dropped. All its methods may be called from any thread, though not from within
/// [`StandIn::wait_for`]'s closure.
pub struct StandIn {
    shared: Arc<Shared>,
    options: Options,
    address: SocketAddr,
    storage: PathBuf,
    server: Mutex<Option<Server>>,
    _temporary: Option<TempDir>,
}

impl StandIn {
    /// Listens from here on.
    ///
    /// # Errors
    /// The port is taken, or a temporary directory cannot be made.
    pub fn start(options: Options) -> io::Result<Self> {
        let (storage, temporary) = match &options.storage {
            Some(chosen) => (std::path::absolute(chosen)?, None),
            None => {
                let made = tempfile::Builder::new().prefix("standin-").tempdir()?;
                (made.path().to_owned(), Some(made))
            }
        };
        let shared = Arc::new(Shared::new(Farm::new(options.clone(), storage.clone())));
        let wanted = SocketAddr::new(options.address, options.port);
        let (server, address) = Server::start(&shared, wanted, &options)?;
        Ok(Self {
            shared,
            options,
            address,
            storage,
            server: Mutex::new(Some(server)),
            _temporary: temporary,
        })
    }

    /// With a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where logs and pictures are.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// The Manager goes down: no listener, every connection closed. What it knows stays. Clients of the Socket.IO are told
    /// before, so with any it takes twice [`PushOptions::farewell`](crate::PushOptions::farewell).
    pub fn stop(&self) {
        if let Some(server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.stop();
        }
    }

    /// The Manager comes back on the same port, knowing what it knew. Does nothing if it is up.
    ///
    /// # Errors
    /// Somebody else took the port.
    pub fn start_again(&self) -> io::Result<()> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.look(|inner| inner.push.down) {
            drop(server.take());
        }
        if server.is_none() {
            *server = Some(Server::start(&self.shared, self.address, &self.options)?.0);
        }
        Ok(())
    }

    // Jobs and tasks.

    /// Returns the job's id.
    ///
    /// # Errors
    /// A task depends on one that does not come before it.
    pub fn submit(&self, job: JobSpec) -> Result<String, Refused> {
        self.shared.change(|inner| {
            let at = inner.farm.submit(job, json!({}), json!({}))?;
            Ok(inner.farm.jobs[at].id.clone())
        })
    }

    #[must_use]
    pub fn job(&self, id: &str) -> Option<Job> {
        self.look(|snapshot| snapshot.job(id).cloned())
    }

    /// In the order they were handed in.
    #[must_use]
    pub fn tasks(&self, job: &str) -> Vec<Task> {
        self.look(|snapshot| snapshot.tasks(job).cloned().collect())
    }

    #[must_use]
    pub fn task(&self, id: &str) -> Option<Task> {
        self.look(|snapshot| snapshot.task(id).cloned())
    }

    /// Exactly what is in the log file, the Manager's own lines included.
    #[must_use]
    pub fn task_log(&self, id: &str) -> String {
        self.look(|snapshot| snapshot.log(id))
    }

    /// All pictures sent for this task, in order.
    #[must_use]
    pub fn last_rendered(&self, task: &str) -> Vec<Uploaded> {
        self.look(|snapshot| snapshot.pictures(task).cloned().collect())
    }

    /// # Errors
    /// No such job; so for the next three.
    pub fn cancel_job(&self, id: &str) -> Result<(), Refused> {
        self.shared
            .change(|inner| inner.farm.change_job(id, JobStatus::CancelRequested, REASON))
    }

    #[expect(clippy::missing_errors_doc, reason = "said at `cancel_job`")]
    pub fn requeue_job(&self, id: &str) -> Result<(), Refused> {
        self.shared
            .change(|inner| inner.farm.change_job(id, JobStatus::Requeueing, REASON))
    }

    #[expect(clippy::missing_errors_doc, reason = "said at `cancel_job`")]
    pub fn pause_job(&self, id: &str) -> Result<(), Refused> {
        self.shared
            .change(|inner| inner.farm.change_job(id, JobStatus::PauseRequested, REASON))
    }

    #[expect(clippy::missing_errors_doc, reason = "said at `cancel_job`")]
    pub fn delete_job(&self, id: &str) -> Result<(), Refused> {
        self.shared.change(|inner| inner.farm.delete_job(id))
    }

    /// As a person does it on the page.
    ///
    /// # Errors
    /// No such task.
    pub fn set_task_status(&self, id: &str, status: TaskStatus) -> Result<(), Refused> {
        self.shared.change(|inner| inner.farm.change_task(id, status, REASON))
    }

    /// Gives a task to another worker behind the first one's back, its status unchanged. No Manager does this in one step; it
    /// stands for a time-out and the other's fetch.
    ///
    /// # Errors
    /// No such task or worker.
    pub fn reassign(&self, task: &str, worker: &str) -> Result<(), Refused> {
        self.shared.change(|inner| {
            let (task, worker) = (inner.farm.known_task(task)?, inner.farm.known_worker(worker)?);
            inner.farm.assign(task, worker);
            Ok(())
        })
    }

    // Workers.

    /// All that are not deleted, in order of registration.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        self.look(|snapshot| snapshot.workers().cloned().collect())
    }

    #[must_use]
    pub fn worker(&self, id: &str) -> Option<Worker> {
        self.look(|snapshot| snapshot.worker(id).cloned())
    }

    /// The Worker Actions menu.
    ///
    /// # Errors
    /// 404 for no such worker, 412 for a restart that it does not know how to do.
    pub fn ask(&self, worker: &str, status: WorkerStatus, when: When) -> Result<(), Refused> {
        self.shared.change(|inner| inner.farm.ask(worker, status, when))
    }

    /// Writes the status into the row, as a time-out would with `Error`; requests and tasks stay as they are.
    ///
    /// # Errors
    /// No such worker.
    pub fn set_worker_status(&self, worker: &str, status: WorkerStatus) -> Result<(), Refused> {
        self.shared.change(|inner| {
            let at = inner.farm.known_worker(worker)?;
            inner.farm.workers[at].status = status;
            Ok(())
        })
    }

    /// # Errors
    /// No such worker.
    pub fn delete_worker(&self, worker: &str) -> Result<(), Refused> {
        self.shared.change(|inner| inner.farm.delete_worker(worker))
    }

    /// One round of the time-out check, now.
    pub fn check_timeouts(&self) {
        self.shared.change(|inner| inner.farm.check_timeouts());
    }

    // Requests, faults, waiting.

    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.look(|snapshot| snapshot.requests().to_vec())
    }

    pub fn clear_requests(&self) {
        self.shared.change(|inner| inner.requests.clear());
    }

    pub fn inject(&self, fault: Fault) {
        self.shared.change(|inner| inner.faults.inject(fault));
    }

    /// Requests that hang already go on hanging.
    pub fn clear_faults(&self) {
        self.shared.change(|inner| inner.faults.clear());
    }

    // The Socket.IO.

    /// Who is connected, in order of their coming.
    #[must_use]
    pub fn push_clients(&self) -> Vec<PushClient> {
        self.look(|snapshot| snapshot.push_clients().collect())
    }

    #[must_use]
    pub fn push_counts(&self) -> PushCounts {
        self.shared.look(|inner| inner.push.counts)
    }

    /// The packet that ended the Manager's process, if one ever did: no worker may send such a thing.
    #[must_use]
    pub fn killed(&self) -> Option<Killed> {
        self.look(|snapshot| snapshot.killed().cloned())
    }

    /// The clients of the Socket.IO that ended their connection themselves, in order.
    #[must_use]
    pub fn parted(&self) -> Vec<Parted> {
        self.look(|snapshot| snapshot.parted().to_vec())
    }

    /// Whether nothing is broadcast any more ([`PushOptions::wedges`](crate::PushOptions::wedges)): no worker may bring this
    /// about.
    #[must_use]
    pub fn wedged(&self) -> bool {
        self.shared.look(|inner| inner.push.wedged)
    }

    /// Ends every connection of the Socket.IO now, without a close frame. HTTP goes on, and they may come back.
    pub fn cut_push(&self) {
        self.shared.change(|inner| inner.push.cut());
    }

    /// Sends this text, as it stands, so many times to everyone who is connected, as fast as each reads. It comes after what
    /// waits already, needs none of the 500 places, and is in no count.
    pub fn push_raw(&self, text: &str, times: u64) {
        self.shared.change(|inner| inner.push.send_raw(text, times));
    }

    /// From here on this share of events, 0 to 1, is lost, drawn for each event and client.
    pub fn lose_events(&self, share: f64) {
        self.shared.change(|inner| inner.push.lost_share = share);
    }

    /// Everything that changes from here on, of workers, jobs and tasks.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.look_at_farm(Farm::listen)
    }

    /// Time since the start, on the clock of [`Seen`].
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.since_start()
    }

    /// Blocks until `fact` finds something; it is called again after every change, never on a timer.
    ///
    /// # Errors
    /// After `deadline`: what was waited for, and a dump of workers, jobs, tasks and the last 30 requests.
    pub fn wait_for<T>(
        &self,
        deadline: Duration,
        what: &str,
        fact: impl FnMut(&Snapshot<'_>) -> Option<T>,
    ) -> Result<T, String> {
        self.shared.wait_for(deadline, what, fact)
    }

    /// The dump that [`StandIn::wait_for`] gives up with.
    #[must_use]
    pub fn dump(&self) -> String {
        self.look(|snapshot| snapshot.to_string())
    }

    /// Several facts of one instant.
    pub fn look<T>(&self, at: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        self.shared.look(|inner| at(&Snapshot::of(inner)))
    }

    fn look_at_farm<T>(&self, at: impl FnOnce(&Farm) -> T) -> T {
        self.shared.look(|inner| at(&inner.farm))
    }
}
