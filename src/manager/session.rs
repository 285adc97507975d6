// SPDX-License-Identifier: GPL-3.0-or-later

//! Who we are to the Manager: register once, sign on, sign off.
//!
//! ```text
//! credentials? ─no─► register (a new row at the Manager, each time) ─► saved before anything else
//!      └─yes─► sign on ─► GoTo(state)      the signed-on mark lies in the home until a sign-off was accepted
//! ```
//!
//! Identity is kept through every error. Only a denial that stands, confirmed by the Manager's own word that
//! the row is gone, leads to a new registration.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::diagnosis::{Diagnosis, of_another_version};
use super::{Acknowledgement, Manager, ManagerError, Row, Welcome};
use crate::chain::chain;
use crate::home::{Credentials, CredentialsError, Home};
use crate::protocol::{Registration, SignOn, WorkerStatus};
use crate::timings::Timings;

/// How many denials in a row count as more than a hiccup; the Manager also answers 403 when it cannot
/// read its database.
const DENIALS: u32 = 3;

/// The Managers whose worker API was measured.
pub const KNOWN: &str = "3.x";

/// What the Manager is told about this worker.
#[derive(Debug, Clone)]
pub struct Introduction {
    pub name: String,
    pub task_types: Vec<String>,
    pub software_version: String,
    pub can_restart: bool,
}

/// Our standing with the Manager.
#[derive(Debug)]
pub struct Session<'a, M> {
    manager: &'a M,
    home: &'a Home,
    introduction: Introduction,
    denials: Denials,
    timings: Timings,
    registering: Cell<bool>,
    /// What the Manager said it is, at the last sign-on.
    version: Option<String>,
}

#[derive(Debug, Default)]
struct Denials {
    count: u32,
    since: Option<Instant>,
}

/// What a denial means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be a hiccup, or a proxy: go on, ask again.
    Unclear,
    /// The Manager says that this worker is deleted.
    Deleted,
}

/// Why signing on cannot go on: something here, not at the Manager.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("cannot keep this worker's identity")]
    Credentials(#[from] CredentialsError),
}

impl<'a, M: Manager> Session<'a, M> {
    pub fn new(manager: &'a M, home: &'a Home, introduction: Introduction, timings: &Timings) -> Self {
        Self {
            manager,
            home,
            introduction,
            denials: Denials::default(),
            timings: timings.clone(),
            registering: Cell::new(false),
            version: None,
        }
    }

    /// Whether an answer is on its way that must not be lost: a registration made twice stays at the Manager for ever.
    pub fn registering(&self) -> bool {
        self.registering.get()
    }

    /// Makes sure that we have credentials, registering for as long as it takes.
    ///
    /// # Errors
    /// When credentials can be neither read nor kept.
    pub async fn identify(&self) -> Result<(), SessionError> {
        if let Some(own) = self.home.credentials().await? {
            self.manager.identify(&own);
            return Ok(());
        }
        self.register().await
    }

    async fn register(&self) -> Result<(), SessionError> {
        let secret = Credentials::new_secret()?;
        let registration = Registration {
            name: self.introduction.name.clone(),
            secret: secret.clone(),
            platform: "linux".into(),
            supported_task_types: self.introduction.task_types.clone(),
        };
        self.with_room(async || self.home.has_room_for_credentials().await)
            .await?;
        let mut backoff = self.backoff();
        let registered = loop {
            self.registering.set(true);
            let answer = self.manager.register(&registration).await;
            self.registering.set(false);
            match answer {
                Ok(registered) => break registered,
                Err(error) => sleep(backoff.failed("register at the Manager", &error)).await,
            }
        };
        backoff.succeeded("registration");
        let own = Credentials {
            id: registered.uuid.into(),
            secret,
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
    ///
    /// # Errors
    /// As [`identify`](Self::identify), and when the signed-on mark cannot be written.
    pub async fn sign_on(&mut self) -> Result<WorkerStatus, SessionError> {
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
        let mut backoff = self.backoff();
        loop {
            match self.manager.sign_on(&words).await {
                Ok(Welcome::GoTo(status)) => {
                    self.accepted();
                    backoff.succeeded("signing on");
                    info!(status = status.as_str(), "manager accepted sign-on");
                    self.tell_version().await;
                    return Ok(status);
                }
                Ok(Welcome::Denied) => match self.denied().await {
                    Standing::Deleted => self.identify().await?,
                    Standing::Unclear => sleep(backoff.failed("sign on", &denial())).await,
                },
                Err(error) => sleep(backoff.failed("sign on", &error)).await,
            }
        }
    }

    /// Says which Manager this is when it is another than the last time, and whether that one is known here. No
    /// version keeps us from working: what is asked and answered decides that by itself.
    async fn tell_version(&mut self) {
        let greeting = match self.manager.greet().await {
            Ok(greeting) => greeting,
            Err(error) => return debug!(error = chain(&error), "cannot ask for the Manager's version"),
        };
        let found = &greeting.version;
        if self.version.as_ref() == Some(&found.version) {
            return;
        }
        match of_another_version(&greeting) {
            None => info!(name = found.name, version = found.version, "the Manager"),
            Some(Diagnosis { seen, advice, .. }) => warn!("{seen}; {advice}"),
        }
        self.version = Some(found.version.clone());
    }

    /// Signs off once; accepted or no longer known, nothing is left to repair.
    ///
    /// # Errors
    /// When the Manager did not answer as it should; then the next start makes up for it.
    pub async fn sign_off(&self) -> Result<(), ManagerError> {
        if self.home.rests() {
            // Or the Manager would wish us asleep the next time.
            self.manager.state_changed(&WorkerStatus::Awake).await?;
        }
        match self.manager.sign_off().await? {
            Acknowledgement::Accepted => info!("signed off"),
            Acknowledgement::Denied => debug!("signing off was denied: the Manager does not know this worker"),
        }
        if let Err(error) = self.home.forget_signed_on() {
            warn!(
                error = chain(&error),
                "cannot remove the signed-on mark; the next start will sign off once more"
            );
        }
        Ok(())
    }

    /// Some call was answered as it should be.
    pub fn accepted(&mut self) {
        self.denials = Denials::default();
    }

    /// Some call was denied: is it for good? Three times over [`Timings::reregister_after`], and the row is gone.
    pub async fn denied(&mut self) -> Standing {
        self.denials.count += 1;
        let since = *self.denials.since.get_or_insert_with(Instant::now);
        if self.denials.count < DENIALS || since.elapsed() < self.timings.reregister_after {
            return Standing::Unclear;
        }
        match self.manager.row().await {
            Ok(Row::Deleted) => self.step_aside().await,
            Ok(Row::Known) => Standing::Unclear,
            Err(error) => {
                debug!(error = chain(&error), "cannot ask whether this worker was deleted");
                Standing::Unclear
            }
        }
    }

    /// The old credentials stay beside, for whoever looks for them; the next call of
    /// [`identify`](Self::identify) registers anew.
    async fn step_aside(&mut self) -> Standing {
        match self.home.set_aside_credentials().await {
            Ok(aside) => {
                warn!(
                    ?aside,
                    "the Manager has deleted this worker: registering as a new one, the old credentials are kept"
                );
                self.accepted();
                if let Err(error) = self.home.forget_signed_on() {
                    warn!(error = chain(&error), "cannot remove the signed-on mark");
                }
                Standing::Deleted
            }
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "deleted at the Manager, but the old credentials cannot be set aside"
                );
                Standing::Unclear
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.timings.backoff_min, self.timings.backoff_max)
    }

    /// How long the denial of a call is waited out before the next try.
    pub fn denial_pause(&self) -> Duration {
        self.timings.reregister_after / DENIALS
    }
}

/// Whether the worker API of this Manager was measured.
pub fn is_known(version: &str) -> bool {
    version.split('.').next() == KNOWN.split('.').next()
}

/// A denial in the words of an error, for the log.
pub fn denial() -> ManagerError {
    ManagerError::said(403, "the Manager does not accept this worker's credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_a_managers_version_is_known_by_its_first_number() {
        for known in ["3.9-beta1", "3.4", "3"] {
            assert!(is_known(known), "{known}");
        }
        for other in ["4.0", "30.1", "2.9", ""] {
            assert!(!is_known(other), "{other}");
        }
    }
}
