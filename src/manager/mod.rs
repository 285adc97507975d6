// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager as seen from here.
//!
//! ```text
//! worker ── sign on, state, fetch, may-i-run ──┬──► trait Manager ──► http ──► the network
//! spool, report ── task updates, pictures ─────┘         (fakes in tests)
//! ```
//!
//! Each operation answers with a type that has every real answer; whatever else comes back, from the network, a proxy or
//! a Manager in trouble, is a [`ManagerError`], and never the Manager's decision.

mod backoff;
mod broadcast_tracker;
mod client;
mod contact_monitor;
mod dial;
mod error;
mod http;
mod probe;
pub mod push;
mod reply;
mod tls;

use crate::home::Credentials;
use crate::protocol::{
    AssignedTask, Id, ManagerVersion, MayKeepRunning, Registered, Registration, SignOn, TaskUpdate, WorkerStatus,
};

pub use backoff::Backoff;
pub use client::{ClientError, ConnectionOptions};
pub use error::ManagerError;
pub use http::HttpManager;
pub use probe::{Diagnosis, ProbeStep, ReachedManager, describe_manager, probe, version_problem};
pub use tls::{ClientIdentity, TlsError, TlsFiles, tls_config};

/// What the Manager says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerInfo {
    pub version: ManagerVersion,
    /// What its clock said as it answered, in whole seconds, if it told.
    pub date: Option<jiff::Timestamp>,
}

/// Answer to a request for work.
#[derive(Debug, Clone, PartialEq)]
pub enum Assignment {
    Task(Box<AssignedTask>),
    /// A task that nothing here can read; why.
    Unreadable {
        task: Id,
        why: String,
    },
    Nothing,
    /// A change of state is asked, in either flavour.
    GoTo(WorkerStatus),
    /// The Manager does not have us as awake, and says so.
    NotAwake(String),
    /// 400: it finds fault with how we came, such as too many sign-ons without a sign-off. In its words.
    Refused(String),
}

/// Answer to "may I go on with this task".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    Stop(MayKeepRunning),
}

/// Answer to a task update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Accepted,
    /// The Manager's own 409: another worker has the task.
    NotOurs,
    /// The Manager's own 404: the task is gone.
    Gone,
    /// 413: too large for something on the way.
    TooLarge,
    /// The Manager's 400: this piece will never be taken.
    Refused(String),
}

/// Answer to a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureAnswer {
    Taken,
    /// Queue full, too large or unknown task: drop it, the next one is newer.
    NotWanted,
}

/// One picture, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `image/jpeg` or `image/png`; the Manager takes no other.
    pub mime: &'static str,
    pub bytes: Vec<u8>,
}

/// Every operation of the worker API. Each waits at most the time its kind has in
/// [`Timings`](crate::timings::Timings) and can be dropped at any point.
///
/// # Errors
/// Every operation fails with the [`ManagerError`] that says what came instead of an answer to it. One that needs
/// credentials fails with [`ManagerError::Denied`] where the Manager does not know them, or cannot read its database.
#[expect(async_fn_in_trait, reason = "one thread; nothing here needs to be Send")]
pub trait Manager {
    /// Uses these credentials from now on.
    fn identify(&self, credentials: &Credentials);

    /// Whether, since this was last asked, the Manager had not heard of us for longer than
    /// [`Timings::contact_gap`](crate::timings::Timings::contact_gap): it may have given us up.
    fn was_out_of_contact(&self) -> bool;

    /// Asks for the Manager's version; needs no credentials.
    ///
    /// # Errors
    /// As all of this trait.
    async fn info(&self) -> Result<ManagerInfo, ManagerError>;

    /// Makes a *new* worker at the Manager, each time; needs no credentials.
    ///
    /// # Errors
    /// As all of this trait.
    async fn register(&self, registration: &Registration) -> Result<Registered, ManagerError>;

    /// Signs on; answers with the state to go to.
    ///
    /// # Errors
    /// As all of this trait.
    async fn sign_on(&self, sign_on: &SignOn) -> Result<WorkerStatus, ManagerError>;

    /// Signs off: the Manager requeues whatever it thinks we run.
    ///
    /// # Errors
    /// As all of this trait.
    async fn sign_off(&self) -> Result<(), ManagerError>;

    /// Asks which state is requested, if any. The answer hides whether that is for now or for after the task.
    ///
    /// # Errors
    /// As all of this trait.
    async fn requested_status(&self) -> Result<Option<WorkerStatus>, ManagerError>;

    /// Tells the Manager which state we are in.
    ///
    /// # Errors
    /// As all of this trait.
    async fn state_changed(&self, status: &WorkerStatus) -> Result<(), ManagerError>;

    /// Asks for a task. Idempotent: a task that is ours and active is handed out again.
    ///
    /// # Errors
    /// As all of this trait.
    async fn fetch(&self) -> Result<Assignment, ManagerError>;

    /// Asks whether a task may go on.
    ///
    /// # Errors
    /// As all of this trait.
    async fn may_i_run(&self, task: &str) -> Result<Verdict, ManagerError>;

    /// Delivers a part of a task's report: log, activity, steps or outcome.
    ///
    /// # Errors
    /// As all of this trait.
    async fn update(&self, task: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError>;

    /// Sends a picture for the "last rendered" view.
    ///
    /// # Errors
    /// As all of this trait.
    async fn output_produced(&self, task: &str, picture: Picture) -> Result<PictureAnswer, ManagerError>;

    /// Whether the Manager still has this worker, or it was deleted in its page. Needs no credentials: a deletion is told
    /// from a Manager in trouble by it.
    ///
    /// # Errors
    /// As all of this trait.
    async fn is_registered(&self) -> Result<bool, ManagerError>;
}
