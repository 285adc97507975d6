// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager as seen from here.
//!
//! ```text
//! session ── register, sign on, sign off ──┐
//! worker ─── state, fetch, may-i-run ──────┼──► trait Manager ──► http ──► the network
//! spool ──── task updates, pictures ───────┘         (fakes in tests)
//! ```
//!
//! Each operation answers with an enum of every real answer; whatever else comes back, from the
//! network, a proxy or a Manager in trouble, is a [`ManagerError`], and never the Manager's decision.

mod backoff;
mod broadcasts;
mod contact;
mod diagnosis;
mod dial;
mod error;
mod http;
pub mod push;
mod reach;
mod reply;
mod session;
mod trust;

use crate::home::Credentials;
use crate::protocol::{
    AssignedTask, Id, ManagerVersion, MayKeepRunning, Registered, Registration, SignOn, TaskUpdate, WorkerStatus,
};

pub use backoff::Backoff;
pub use diagnosis::{Diagnosis, Met, Step, examine, of_another_version, said_who};
pub use error::ManagerError;
pub use http::HttpManager;
pub use reach::{HttpError, Reach};
pub use session::{Introduction, KNOWN, Session, SessionError, Standing, denial, is_known};
pub use trust::{Identity, Trust, TrustError, tls};

/// Who the Manager says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub version: ManagerVersion,
    /// What its clock said as it answered, in whole seconds, if it told.
    pub date: Option<jiff::Timestamp>,
}

/// Answer to a sign-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcome {
    /// Signed on; this is the state to go to.
    GoTo(WorkerStatus),
    /// 403: the Manager does not know these credentials (or could not read its database).
    Denied,
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
    /// 403, as [`Welcome::Denied`].
    Denied,
}

/// Answer to a look at what state is asked for. It hides whether that is for now or for after the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    GoTo(WorkerStatus),
    Nothing,
    /// 403, as [`Welcome::Denied`].
    Denied,
}

/// Answer to "may I go on with this task".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    Stop(MayKeepRunning),
    /// 403, as [`Welcome::Denied`].
    Denied,
}

/// Answer to a change of state, or a sign-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    Accepted,
    /// 403, as [`Welcome::Denied`].
    Denied,
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

/// Answer to the question whether the Manager still has a row for this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Known,
    /// The Manager's own 404: deleted in its page.
    Deleted,
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
#[expect(async_fn_in_trait, reason = "one thread; nothing here needs to be Send")]
pub trait Manager {
    /// Who we are from now on.
    fn identify(&self, credentials: &Credentials);
    /// Whether, since this was last asked, the Manager had not heard of us for longer than
    /// [`Timings::contact_gap`](crate::timings::Timings::contact_gap): it may have given us up.
    fn was_out_of_contact(&self) -> bool;
    /// Asked without credentials.
    async fn greet(&self) -> Result<Greeting, ManagerError>;
    /// Makes a *new* worker at the Manager, each time.
    async fn register(&self, registration: &Registration) -> Result<Registered, ManagerError>;
    async fn sign_on(&self, sign_on: &SignOn) -> Result<Welcome, ManagerError>;
    /// Requeues whatever the Manager thinks we run.
    async fn sign_off(&self) -> Result<Acknowledgement, ManagerError>;
    async fn wish(&self) -> Result<Wish, ManagerError>;
    async fn state_changed(&self, status: &WorkerStatus) -> Result<Acknowledgement, ManagerError>;
    /// Idempotent: a task that is ours and active is handed out again.
    async fn fetch(&self) -> Result<Assignment, ManagerError>;
    async fn may_i_run(&self, task: &str) -> Result<Verdict, ManagerError>;
    async fn update(&self, task: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError>;
    async fn output_produced(&self, task: &str, picture: Picture) -> Result<PictureAnswer, ManagerError>;
    /// Asked without credentials; tells a deletion from a Manager in trouble.
    async fn row(&self) -> Result<Row, ManagerError>;
}
