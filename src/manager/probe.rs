// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds out why no Manager answers at the configured URL, and puts it into words for the worker's log and for `doctor`.
//!
//! ```text
//! name ─► connection ─► TLS ─► "which version are you?" ─► ReachedManager
//!   └─────────┴──────────┴────────────┴─► Diagnosis: what was seen, and what to do
//!                                              └─ does a Manager answer at a URL that was perhaps meant?
//! ```
//!
//! None of these calls is authenticated, and the headers of the configuration, which may be secret, are sent to the
//! configured URL only.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use url::Host;

use super::client::ClientError;
use super::dial::{connect, lookup};
use super::suggestion::suggestion;
use super::{ConnectionOptions, HttpManager, Manager, ManagerError, ManagerInfo};
use crate::chain::chain;
use crate::clock;
use crate::manager_url::ManagerUrl;
use crate::timings::Timings;

/// The Managers whose worker API was measured.
const KNOWN: &str = "3.x";

/// The port at which the Manager listens unless it is configured otherwise.
pub(super) const PORT: u16 = 8080;

/// The step of a probe that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeStep {
    /// Resolving the name.
    Address,
    /// Connecting with TCP.
    Connection,
    /// Agreeing on TLS.
    Tls,
    /// Asking for the version.
    Answer,
}

/// What is wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// The step that failed.
    pub step: ProbeStep,
    /// What was observed.
    pub seen: String,
    /// What the operator can do.
    pub advice: String,
}

/// Why a URL has no version to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VersionError {
    /// Nothing is known of its host.
    #[error("the name of its host cannot be resolved")]
    Name(#[source] io::Error),
    /// It could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The call has no answer that means anything.
    #[error(transparent)]
    Call(#[from] ManagerError),
}

/// A Manager that has answered.
#[derive(Debug)]
pub(crate) struct ReachedManager {
    /// The address that answered.
    pub address: SocketAddr,
    /// The Manager, with short time limits.
    pub manager: HttpManager,
    /// What it says about itself.
    pub info: ManagerInfo,
    /// When it was asked, and when the answer was here.
    pub asked: (Timestamp, Timestamp),
}

/// Tries to reach the Manager step by step, each step within `patience`. It changes nothing at the Manager.
///
/// # Errors
/// Returns what is wrong with the step that failed.
pub(crate) async fn probe(
    url: &ManagerUrl,
    options: ConnectionOptions,
    patience: Duration,
) -> Result<ReachedManager, Diagnosis> {
    let found = match addresses(url, patience).await {
        Ok(addresses) => reach(url, &addresses, options, patience).await,
        Err(unknown) => Err(unknown),
    };
    match found {
        Ok(met) => Ok(met),
        Err(diagnosis) => Err(match suggestion(url, diagnosis.step, patience).await {
            Some(advice) => Diagnosis { advice, ..diagnosis },
            None => diagnosis,
        }),
    }
}

/// Asks for the version once, with nothing of the configuration, which may be secret. The name of a host is looked up first,
/// for as long as it takes: a lookup that is given up goes on in its thread, and the next one would be in another.
///
/// # Errors
/// Why no Manager answers at this URL within `patience`.
pub(crate) async fn ask_version(url: ManagerUrl, patience: Duration) -> Result<ManagerInfo, VersionError> {
    let manager = impatient_manager(&url, ConnectionOptions::default(), patience)?;
    if let Some(Host::Domain(_)) = url.url().host() {
        lookup(&url).await.map_err(VersionError::Name)?;
    }
    Ok(manager.info().await.and_then(not_a_stranger)?)
}

/// What is wrong with a Manager whose worker API was never tested; `None` if it was.
pub(crate) fn version_problem(info: &ManagerInfo) -> Option<Diagnosis> {
    let version = &info.version.version;
    (!is_known(version)).then(|| Diagnosis {
        step: ProbeStep::Answer,
        seen: describe_manager(info),
        advice: format!(
            "this worker is made for version {KNOWN}, and works with this one as well as it can: is there a newer \
             flamenco-worker?"
        ),
    })
}

/// The name and the version that a Manager states.
pub(crate) fn describe_manager(info: &ManagerInfo) -> String {
    let version = &info.version;
    format!("the Manager {:?} has version {}", version.name, version.version)
}

/// Whether the worker API of this Manager was measured.
fn is_known(version: &str) -> bool {
    version.split('.').next() == KNOWN.split('.').next()
}

async fn reach(
    url: &ManagerUrl,
    addresses: &[SocketAddr],
    options: ConnectionOptions,
    patience: Duration,
) -> Result<ReachedManager, Diagnosis> {
    let address = connect_to_one(url, addresses, patience).await?;
    let manager = impatient_manager(url, options, patience).map_err(|error| Diagnosis {
        step: ProbeStep::Answer,
        seen: format!("no connection can be prepared: {}", chain(&error)),
        advice: "is the table [headers] right?".to_owned(),
    })?;
    let before = clock::timestamp();
    let info = manager.info().await.and_then(not_a_stranger);
    let info = info.map_err(|error| refused(url, &error))?;
    Ok(ReachedManager {
        address,
        manager,
        info,
        asked: (before, clock::timestamp()),
    })
}

/// A Manager whose calls take no longer than `patience`.
///
/// # Errors
/// Fails if the HTTP client cannot be made.
pub(super) fn impatient_manager(
    url: &ManagerUrl,
    options: ConnectionOptions,
    patience: Duration,
) -> Result<HttpManager, ClientError> {
    let timings = Timings {
        connect: patience,
        question_timeout: patience,
        ..Timings::default()
    };
    HttpManager::new(url.clone(), options, &timings)
}

pub(super) fn not_a_stranger(info: ManagerInfo) -> Result<ManagerInfo, ManagerError> {
    match info.version.version.is_empty() {
        true => Err(ManagerError::NotTheManager(
            "it does not say which version it has".into(),
        )),
        false => Ok(info),
    }
}

async fn addresses(url: &ManagerUrl, patience: Duration) -> Result<Vec<SocketAddr>, Diagnosis> {
    let why = match timeout(patience, lookup(url)).await {
        Ok(Ok(addresses)) => return Ok(addresses),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {patience:?}"),
    };
    let host = url.url().host_str().unwrap_or_default();
    if url.zone().is_some() {
        return Err(Diagnosis {
            step: ProbeStep::Address,
            seen: format!("{url} cannot be reached: {why}"),
            advice: "what follows the `%` is the name of an interface here, as `ip address` shows it".to_owned(),
        });
    }
    Err(Diagnosis {
        step: ProbeStep::Address,
        seen: format!("the name {host} of the Manager cannot be resolved: {why}"),
        advice: format!("is it written right in {url}? `getent hosts {host}` must know it: look at DNS or /etc/hosts"),
    })
}

async fn connect_to_one(
    url: &ManagerUrl,
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<SocketAddr, Diagnosis> {
    let connected = timeout(patience, connect(addresses)).await;
    let (why, advice) = match connected {
        Ok(Ok(stream)) => return Ok(stream.peer_addr().unwrap_or(addresses[0])),
        Ok(Err(error)) => (error.to_string(), nobody_there(url)),
        Err(_) => (
            format!("no answer within {patience:?}"),
            "a firewall drops what is sent there, or that host is off".to_owned(),
        ),
    };
    let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Err(Diagnosis {
        step: ProbeStep::Connection,
        seen: format!("{url} cannot be connected to at {}: {why}", tried.join(", ")),
        advice,
    })
}

fn nobody_there(url: &ManagerUrl) -> String {
    const LOG: &str = "does the Manager run there, and on this port? Its log names the URLs it can be reached by";
    let url = url.url();
    match (url.port(), url.port_or_known_default()) {
        (None, Some(usual)) => format!(
            "the URL has no port, so {usual} was tried, that of {}; Flamenco's is {PORT} unless it is told otherwise: {LOG}",
            url.scheme()
        ),
        (Some(_), _) | (None, None) => LOG.to_owned(),
    }
}

fn refused(url: &ManagerUrl, error: &ManagerError) -> Diagnosis {
    let (step, advice) = match error {
        ManagerError::Untrusted(_) => (
            ProbeStep::Tls,
            "until this is repaired the worker starts, and tries again every few minutes".to_owned(),
        ),
        ManagerError::Unreachable(_) if url.url().scheme() == "https" => (
            ProbeStep::Tls,
            "is it https that is spoken there, and not http?".to_owned(),
        ),
        ManagerError::Unreachable(_) => (
            ProbeStep::Answer,
            "is it http that is spoken there, and not https?".to_owned(),
        ),
        ManagerError::TimedOut(_) => (
            ProbeStep::Answer,
            "it takes connections and says nothing: is the Manager overloaded, or is this another service?".to_owned(),
        ),
        ManagerError::Redirected { .. }
        | ManagerError::Intermediary {
            code: 401 | 403 | 407, ..
        } => (ProbeStep::Answer, "the worker waits until this is repaired".to_owned()),
        ManagerError::Intermediary { .. } | ManagerError::NotTheManager(_) => (
            ProbeStep::Answer,
            "another web server is there: the URL must be the one the Manager's own page has in a browser, without \
             what its pages add"
                .to_owned(),
        ),
        ManagerError::Status { code: 404, .. } => (
            ProbeStep::Answer,
            format!("if it is a Manager, it has another version: this worker is made for version {KNOWN}"),
        ),
        ManagerError::Denied | ManagerError::NotFound | ManagerError::Status { .. } => {
            (ProbeStep::Answer, "look at the log of the Manager".to_owned())
        }
    };
    Diagnosis {
        step,
        seen: format!("{url}: {}", chain(error)),
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ManagerVersion;

    #[test]
    fn a_broken_connection_points_at_the_scheme_and_a_certificate_at_tls() {
        let at = |url: &str, error| refused(&ManagerUrl::parse(url).unwrap(), &error);
        let slow = ManagerError::TimedOut(Duration::from_secs(2));
        assert_eq!(at("https://m/", slow).step, ProbeStep::Answer);
        let untrusted = ManagerError::Untrusted(rustls::CertificateError::Expired);
        let diagnosis = at("https://m/", untrusted);
        assert_eq!(diagnosis.step, ProbeStep::Tls);
        assert!(diagnosis.seen.contains("it has expired"));
        let elsewhere = at(
            "http://m/",
            ManagerError::from_status(404, "no matching operation was found"),
        );
        assert!(elsewhere.advice.contains(KNOWN));
    }

    #[test]
    fn a_manager_of_another_time_is_told() {
        let told = |version: &str| {
            version_problem(&ManagerInfo {
                version: ManagerVersion {
                    name: "m".into(),
                    version: version.into(),
                },
                date: None,
            })
        };
        assert_eq!(told("3.9-beta1"), None);
        assert!(told("4.0").is_some_and(|told| told.seen.contains("4.0") && told.advice.contains(KNOWN)));
    }

    #[test]
    fn a_port_that_was_not_given_is_named() {
        let advice = |url: &str| nobody_there(&ManagerUrl::parse(url).unwrap());
        assert!(advice("http://m/").contains("no port, so 80 was tried, that of http"));
        assert!(!advice("http://m:81/").contains("no port"));
    }

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
