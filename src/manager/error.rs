// SPDX-License-Identifier: GPL-3.0-or-later

//! What can go wrong between us and the Manager.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use crate::clock;

/// A call that brought no answer of the Manager's that means anything.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// No connection, or it broke.
    #[error("cannot reach the Manager: {}", obstacle(.0))]
    Unreachable(reqwest::Error),
    /// The other side's certificate is refused. Somebody has to do something.
    #[error("cannot trust the Manager's certificate: {}", advice(.0))]
    Untrusted(CertificateError),
    #[error("the Manager did not answer within {0:?}")]
    TimedOut(Duration),
    /// The Manager does not know these credentials, or cannot read its database: it answers 403 to both.
    #[error("the Manager answered 403: the Manager does not accept this worker's credentials")]
    Denied,
    /// A status that is no answer to this call.
    #[error("the Manager answered {code}: {message}")]
    Status {
        code: u16,
        /// The Manager's words, or the start of whatever came.
        message: String,
        /// From `Retry-After`, in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// Not the Manager's words: something between, such as a proxy that wants to know who we are.
    #[error("something in front of the Manager answered {code} ({says}){}", credentials(*.code))]
    Between {
        code: u16,
        /// The start of what came.
        says: String,
        retry_after: Option<Duration>,
    },
    /// Never followed: see [`HttpManager`](super::HttpManager).
    #[error("the answer was {code}, a redirect to {to}{}", better(.manager.as_deref()))]
    Redirected {
        code: u16,
        /// Without what follows the `?`, which may be secret.
        to: String,
        /// What the URL of the Manager would have to be for this redirect not to be needed, if there is such a URL.
        manager: Option<String>,
    },
    /// The right status with a body that is not the Manager's: a proxy's page, or half an answer.
    #[error("the answer is not the Manager's: {0}")]
    NotTheManager(String),
}

impl ManagerError {
    /// An answer that is none to the call, without a word on when to come back.
    pub fn said(code: u16, message: impl Into<String>) -> Self {
        Self::Status {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Whether the same call may well succeed later. Only a request that is wrong in itself never does.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Untrusted(_)
            | Self::TimedOut(_)
            | Self::Denied
            | Self::Between { .. }
            | Self::Redirected { .. }
            | Self::NotTheManager(_) => true,
            Self::Status { code, .. } => *code != 400,
        }
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::Between { retry_after, .. } => *retry_after,
            Self::Unreachable(_)
            | Self::Untrusted(_)
            | Self::TimedOut(_)
            | Self::Denied
            | Self::Redirected { .. }
            | Self::NotTheManager(_) => None,
        }
    }

    /// Whether this stays as it is until a person changes something, so that asking often is of no use.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Untrusted(_) | Self::Redirected { .. } => true,
            Self::Between { code, .. } => matches!(code, 401 | 403 | 407),
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Denied | Self::Status { .. } | Self::NotTheManager(_) => {
                false
            }
        }
    }
}

impl From<reqwest::Error> for ManagerError {
    /// An error of the connection. What is wrong with a certificate is at the end of a long chain.
    fn from(error: reqwest::Error) -> Self {
        match certificate_error(&error) {
            Some(problem) => Self::Untrusted(problem),
            None => Self::Unreachable(error.without_url()),
        }
    }
}

fn certificate_error(error: &reqwest::Error) -> Option<CertificateError> {
    match causes(error).find_map(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(problem)) => Some(problem.clone()),
        Some(_) | None => None,
    }
}

/// What stood in the way, in the words of who met it: the libraries above have nothing to add.
fn obstacle(error: &reqwest::Error) -> String {
    match causes(error).find_map(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => "https is not spoken there".to_owned(),
        Some(other) => format!("TLS failed: {other}"),
        None => causes(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The error, its cause, the cause of that.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error| inner(*error))
}

/// The cause; of an I/O error what it wraps, which is not among its causes.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// What is wrong and what to do, for those that happen.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's, and it grows")]
fn advice(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let today = today();
            format!("it has expired; renew it there, or set the clock of this host, which shows {today}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let today = today();
            format!("it is not valid yet; is the clock of this host right? It shows {today}")
        }
        CertificateError::UnknownIssuer => {
            "its authority is unknown here; name the file with the authority's certificate as `ca_file` in the table \
             [tls]"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the one in the URL of the Manager".to_owned()
        }
        other => other.to_string(),
    }
}

fn today() -> String {
    clock::now().strftime("%Y-%m-%d").to_string()
}

fn credentials(code: u16) -> &'static str {
    match code {
        401 | 403 | 407 => "; if it wants credentials, give them in the table [headers]",
        _ => "",
    }
}

fn better(manager: Option<&str>) -> String {
    match manager {
        Some(url) => format!("; redirects are not followed: set manager = {url:?}"),
        None => "; it is not the Manager's: a proxy that asks for a login is given credentials in the table [headers]"
            .to_owned(),
    }
}
