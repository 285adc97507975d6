// SPDX-License-Identifier: GPL-3.0-or-later

//! Who this worker is to the Manager: registered once, then signed on and off with the same credentials.
//!
//! ```text
//! credentials? ─no─► register (a new worker at the Manager, each time) ─► saved before anything else
//!      └─yes─► sign on ─► the state to go to     the signed-on mark lies in the home until a sign-off was accepted
//! ```
//!
//! The credentials are kept through every error. Only a denial that stands, confirmed by the Manager's own word that this
//! worker was deleted, leads to a new registration. `-register` does without that word, once: the Go worker takes that flag
//! and does nothing with it, but registers anew at any denial, so that its users know no worker that stays out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::State;
use super::changing_call::ChangingCall;
use crate::chain::chain;
use crate::home::{Credentials, CredentialsError, Home};
use crate::manager::{Backoff, Diagnosis, Manager, ManagerError, version_problem};
use crate::protocol::{Registered, Registration, SignOn, WorkerStatus};
use crate::timings::Timings;

/// How many denials in a row count as more than a hiccup; the Manager also answers 403 when it cannot
/// read its database.
const DENIALS: u32 = 3;

/// What the Manager is told about this worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// As the Manager's page shows it.
    pub name: String,
    /// The types of tasks to be given.
    pub task_types: Vec<String>,
    /// The version of this program.
    pub software_version: String,
    /// Whether *Restart* is offered.
    pub can_restart: bool,
}

/// What is asked of the Manager, in the log's words for its failure and for its success after that.
#[derive(Debug)]
pub(super) struct Operation {
    /// As in "cannot sign on".
    pub(super) what: &'static str,
    /// As in "signing on: works again".
    pub(super) doing: &'static str,
}

impl Operation {
    const fn new(what: &'static str, doing: &'static str) -> Self {
        Self { what, doing }
    }
}

pub(super) const REGISTER: Operation = Operation::new("register at the Manager", "registration");
pub(super) const SIGN_ON: Operation = Operation::new("sign on", "signing on");
pub(super) const SIGN_OFF: Operation = Operation::new("sign off", "signing off");
pub(super) const TELL_STATE: Operation = Operation::new("tell the Manager our state", "telling the Manager our state");
pub(super) const ASK_STATUS: Operation =
    Operation::new("ask the Manager what it wishes", "asking the Manager what it wishes");
pub(super) const FETCH: Operation = Operation::new("fetch a task", "fetching tasks");
pub(super) const MAY_I_RUN: Operation =
    Operation::new("ask whether the task may go on", "asking whether the task may go on");

/// What to do about a call that was not answered as it should be.
#[derive(Debug)]
pub(super) enum Retry {
    After(Duration),
    RegisterAnew,
}

/// The Manager has deleted this worker: it must register anew.
#[derive(Debug)]
pub(super) struct Deleted;

/// Why this worker cannot go on: something here, not at the Manager.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep this worker's identity")]
pub(super) struct IdentityError(#[from] CredentialsError);

/// What this worker is to the Manager.
#[derive(Debug)]
pub(super) struct Session<'a, M> {
    pub(super) manager: &'a M,
    home: &'a Home,
    introduction: Introduction,
    /// What the Manager may be about to believe of this worker.
    pub(super) changing: ChangingCall,
    denials: Denials,
    /// Whether a denial that stands is enough. Each registration stays in the Manager's list, so that it is once.
    register: bool,
    timings: Timings,
    /// What the Manager said it is, at the last sign-on.
    version: Option<String>,
}

/// The denials in a row.
#[derive(Debug, Default)]
struct Denials {
    count: u32,
    since: Option<Instant>,
    /// It was said what a person can do.
    told: bool,
}

impl From<Deleted> for State {
    fn from(Deleted: Deleted) -> Self {
        Self::Starting
    }
}

impl<'a, M: Manager> Session<'a, M> {
    pub(super) fn new(manager: &'a M, home: &'a Home, introduction: Introduction, timings: &Timings) -> Self {
        Self {
            manager,
            home,
            introduction,
            changing: ChangingCall::new(timings.changing_call),
            denials: Denials::default(),
            register: false,
            timings: timings.clone(),
            version: None,
        }
    }

    /// The same, which does not insist on its credentials where they are refused.
    pub(super) fn registering_anew(self, register: bool) -> Self {
        Self { register, ..self }
    }

    /// As who the Manager knows us, once we have signed on.
    pub(super) fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// Makes a call until it is answered as it should be.
    pub(super) async fn insist<T>(
        &mut self,
        operation: &Operation,
        ask: impl AsyncFn(&Self) -> Result<T, ManagerError>,
    ) -> Result<T, Deleted> {
        let mut backoff = self.backoff();
        loop {
            let answer = ask(self).await;
            match self.settle(answer, operation, &mut backoff).await {
                Ok(value) => return Ok(value),
                Err(Retry::After(pause)) => sleep(pause).await,
                Err(Retry::RegisterAnew) => return Err(Deleted),
            }
        }
    }

    /// Decides what an answer means: a value, or a call to be made again after a pause, or a worker that is known no more.
    pub(super) async fn settle<T>(
        &mut self,
        answer: Result<T, ManagerError>,
        Operation { what, doing }: &Operation,
        backoff: &mut Backoff,
    ) -> Result<T, Retry> {
        match answer {
            Ok(value) => {
                self.denials = Denials::default();
                backoff.succeeded(doing);
                Ok(value)
            }
            Err(error @ ManagerError::Denied) => {
                if self.is_deleted().await {
                    return Err(Retry::RegisterAnew);
                }
                let pause = backoff.failed(what, &error);
                // The first may be a hiccup. Those after it are spread over the time that tells a deletion from one.
                let spread = match self.denials.count {
                    1 => Duration::ZERO,
                    _ => self.timings.reregister_after / DENIALS,
                };
                Err(Retry::After(pause + spread))
            }
            Err(error) => Err(Retry::After(backoff.failed(what, &error))),
        }
    }

    /// Says who we are from now on, if that is known: else what the Manager is to be told to register us.
    pub(super) async fn needs_registration(&self) -> Result<Option<Registration>, IdentityError> {
        if let Some(own) = self.home.credentials().await? {
            self.manager.identify(&own);
            return Ok(None);
        }
        let registration = Registration {
            name: self.introduction.name.clone(),
            secret: Credentials::new_secret()?,
            platform: "linux".into(),
            supported_task_types: self.introduction.task_types.clone(),
        };
        self.with_room(async || self.home.has_room_for_credentials().await)
            .await?;
        Ok(Some(registration))
    }

    /// Keeps the credentials that the Manager has accepted, and uses them from now on.
    pub(super) async fn keep(&self, registered: Registered, registration: &Registration) -> Result<(), IdentityError> {
        let own = Credentials {
            id: registered.uuid.into(),
            secret: registration.secret.clone(),
        };
        self.with_room(async || self.home.save_credentials(&own).await).await?;
        if let Err(error) = self.home.claim(&own.id) {
            warn!("{error}");
        }
        info!(id = own.id, name = self.introduction.name, "registered at the Manager");
        self.manager.identify(&own);
        Ok(())
    }

    /// Tries again for as long as the disk is full.
    async fn with_room(&self, attempt: impl AsyncFn() -> Result<(), CredentialsError>) -> Result<(), CredentialsError> {
        let mut said = false;
        loop {
            match attempt().await {
                Err(error) if error.is_full() => {
                    if !std::mem::replace(&mut said, true) {
                        warn!(
                            error = chain(&error),
                            "no room for this worker's identity: waiting until there is some"
                        );
                    }
                    sleep(self.timings.idle_min).await;
                }
                done => return done,
            }
        }
    }

    /// Signs on, for as long as it takes, and says which state the Manager wants.
    pub(super) async fn sign_on(&mut self) -> Result<WorkerStatus, Deleted> {
        let words = SignOn {
            name: self.introduction.name.clone(),
            supported_task_types: self.introduction.task_types.clone(),
            software_version: self.introduction.software_version.clone(),
            can_restart: self.introduction.can_restart,
        };
        if let Err(error) = self.home.remember_signed_on().await {
            warn!(
                error = chain(&error),
                "cannot note on disk that this worker signs on; a crash would not be made up for"
            );
        }
        let status = self
            .insist(&SIGN_ON, async |session| {
                session.changing.make(session.manager.sign_on(&words)).await
            })
            .await?;
        info!(status = status.as_str(), "manager accepted sign-on");
        self.tell_version().await;
        Ok(status)
    }

    /// Says which Manager this is when it is another than the last time, and whether that one is known here. No
    /// version keeps us from working: what is asked and answered decides that by itself.
    async fn tell_version(&mut self) {
        let info = match self.manager.info().await {
            Ok(info) => info,
            Err(error) => return debug!(error = chain(&error), "cannot ask for the Manager's version"),
        };
        let found = &info.version;
        if self.version.as_ref() == Some(&found.version) {
            return;
        }
        match version_problem(&info) {
            None => info!(name = found.name, version = found.version, "the Manager"),
            Some(Diagnosis { seen, advice, .. }) => warn!("{seen}; {advice}"),
        }
        self.version = Some(found.version.clone());
    }

    /// Signs off once; accepted or no longer known, nothing is left to repair.
    ///
    /// # Errors
    /// When the Manager did not answer as it should; then the next start makes up for it.
    pub(super) async fn sign_off(&self) -> Result<(), ManagerError> {
        match self.leave_the_farm().await {
            Ok(()) => info!("signed off"),
            Err(ManagerError::Denied) => debug!("signing off was denied: the Manager does not know this worker"),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.home.forget_signed_on() {
            warn!(
                error = chain(&error),
                "cannot remove the signed-on mark; the next start will sign off once more"
            );
        }
        Ok(())
    }

    async fn leave_the_farm(&self) -> Result<(), ManagerError> {
        if self.home.sleeps_by_itself() {
            // Or the Manager would wish us asleep the next time.
            match self.manager.state_changed(&WorkerStatus::Awake).await {
                Ok(()) | Err(ManagerError::Denied) => {}
                Err(error) => return Err(error),
            }
        }
        self.manager.sign_off().await
    }

    /// Whether a denial is for good: it is the third, they go over [`Timings::reregister_after`], and the Manager says that
    /// this worker was deleted. The old credentials are set aside then, for whoever looks for them.
    async fn is_deleted(&mut self) -> bool {
        self.denials.count += 1;
        let since = *self.denials.since.get_or_insert_with(Instant::now);
        if self.denials.count < DENIALS || since.elapsed() < self.timings.reregister_after {
            return false;
        }
        match self.manager.is_registered().await {
            Ok(false) => self.set_credentials_aside("the Manager has deleted this worker").await,
            Ok(true) if self.register => {
                self.register = false;
                self.set_credentials_aside("the Manager refuses the credentials of this worker")
                    .await
            }
            Ok(true) => {
                if !std::mem::replace(&mut self.denials.told, true) {
                    warn!(
                        credentials = %self.home.credentials_file().display(),
                        "the Manager knows this worker and refuses its credentials: restore the file, or start once with \
                         -register to register as a new worker"
                    );
                }
                false
            }
            Err(error) => {
                debug!(error = chain(&error), "cannot ask whether this worker was deleted");
                false
            }
        }
    }

    async fn set_credentials_aside(&mut self, why: &str) -> bool {
        match self.home.set_aside_credentials().await {
            Ok(aside) => {
                warn!(?aside, "{why}: registering as a new one, the old credentials are kept");
                self.denials = Denials::default();
                if let Err(error) = self.home.forget_signed_on() {
                    warn!(error = chain(&error), "cannot remove the signed-on mark");
                }
                true
            }
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "{why}, but the old credentials cannot be set aside"
                );
                false
            }
        }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.timings.backoff_min, self.timings.backoff_max)
    }
}
