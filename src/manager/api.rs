// SPDX-License-Identifier: GPL-3.0-or-later

//! The operations of the worker API, and their answers.

use jiff::Timestamp;

use super::ManagerError;
use crate::home::Credentials;
use crate::protocol::{
    AssignedTask, Id, ManagerVersion, MayKeepRunning, Registered, Registration, SignOn, TaskUpdate, WorkerStatus,
};

/// What the Manager says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagerInfo {
    /// Its name and version.
    pub version: ManagerVersion,
    /// The time on its clock when it answered, in whole seconds, if the answer has it.
    pub date: Option<Timestamp>,
}

/// The answer to a request for a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Assignment {
    /// A task to run.
    Task(Box<AssignedTask>),
    /// A task that this worker cannot parse.
    Unreadable {
        /// The task's id.
        task: Id,
        /// What is wrong with it.
        why: String,
    },
    /// The Manager has no task for this worker now.
    Nothing,
    /// The worker is to change its status, whether at once or after the task.
    GoTo(WorkerStatus),
    /// To the Manager this worker is not awake. The text is the Manager's.
    NotAwake(String),
    /// 400: the Manager objects to this worker, for example to too many sign-ons without a sign-off. The text is the
    /// Manager's.
    Refused(String),
}

/// The answer to the question whether a task may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The task may go on.
    Continue,
    /// The task must stop, for the reason that is given.
    Stop(MayKeepRunning),
}

/// The answer to a task update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The Manager has the update.
    Accepted,
    /// The Manager's own 409: another worker has the task, or this one was deleted.
    NotOurs,
    /// The Manager's own 404: the task no longer exists.
    Gone,
    /// 413: the update is too large for the Manager or for something on the way.
    TooLarge,
    /// The Manager's 400: it will never accept this update. The text is the Manager's.
    Refused(String),
}

/// The answer to a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureAnswer {
    /// The Manager has the picture.
    Taken,
    /// The Manager has others to see to first.
    Busy,
    /// The picture is too large, or the task is unknown.
    NotWanted,
}

/// A picture that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// `image/jpeg` or `image/png`; the Manager accepts no other type.
    pub mime: &'static str,
    /// The content of the file.
    pub bytes: Vec<u8>,
}

/// Every operation of the worker API. Each takes at most the time that its kind has in
/// [`Timings`](crate::timings::Timings) and can be dropped at any point.
///
/// # Errors
/// Every operation fails with the [`ManagerError`] that tells what came instead of an answer. An operation that needs
/// credentials fails with [`ManagerError::Denied`] if the Manager does not know them, or cannot read its database.
pub(crate) trait Manager {
    /// Sets the credentials for all later operations.
    fn identify(&self, credentials: &Credentials);

    /// Goes over to where the Manager will be from now on, if that was said.
    fn move_on(&self) {}

    /// Whether, since the last call of this, the Manager had not heard of this worker for longer than
    /// [`Timings::contact_gap`](crate::timings::Timings::contact_gap), so that it may have put the worker in `error`.
    fn was_out_of_contact(&self) -> bool;

    /// Asks for the Manager's name and version. It needs no credentials.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn info(&self) -> Result<ManagerInfo, ManagerError>;

    /// Registers a *new* worker at the Manager, each time. It needs no credentials.
    ///
    /// # Errors
    /// Fails if the Manager did not register the worker, or without its answer; then there may be a new worker.
    async fn register(&self, registration: &Registration) -> Result<Registered, ManagerError>;

    /// Signs on, and returns the status that the worker is to have.
    ///
    /// # Errors
    /// Fails if the Manager does not accept the sign-on, or without its answer.
    async fn sign_on(&self, sign_on: &SignOn) -> Result<WorkerStatus, ManagerError>;

    /// Signs off. The Manager requeues the task that it believes to be running here.
    ///
    /// # Errors
    /// Fails if the Manager does not accept the sign-off, or without its answer.
    async fn sign_off(&self) -> Result<(), ManagerError>;

    /// Asks which status is requested, if any. The answer does not tell whether the request is for now or for after the
    /// task.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn requested_status(&self) -> Result<Option<WorkerStatus>, ManagerError>;

    /// Tells the Manager the worker's status.
    ///
    /// # Errors
    /// Fails if the Manager does not accept the status, or without its answer.
    async fn state_changed(&self, status: &WorkerStatus) -> Result<(), ManagerError>;

    /// Asks for a task. It is idempotent: an active task of this worker is assigned again.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn fetch(&self) -> Result<Assignment, ManagerError>;

    /// Asks whether a task may go on.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn may_i_run(&self, task: &str) -> Result<Verdict, ManagerError>;

    /// Delivers a part of a task's report: log, activity, steps or final status.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's; then the update may have been delivered.
    async fn update(&self, task: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError>;

    /// Sends a picture for the "last rendered" view.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn output_produced(&self, task: &str, picture: Picture) -> Result<PictureAnswer, ManagerError>;

    /// Asks whether the Manager still has this worker; it may have been deleted in the Manager's page. It needs no
    /// credentials, so that it tells a deletion from a Manager that cannot read its database.
    ///
    /// # Errors
    /// Fails without an answer of the Manager's.
    async fn is_registered(&self) -> Result<bool, ManagerError>;
}
