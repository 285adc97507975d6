// SPDX-License-Identifier: GPL-3.0-or-later

//! What can go wrong between the worker and the Manager.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use crate::clock;

/// Why a call has no answer that means anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerError {
    /// There is no connection, or it broke.
    #[error("cannot reach the Manager: {}", obstacle(.0))]
    Unreachable(reqwest::Error),
    /// It is not known yet where the Manager is.
    #[error("no Manager has been found yet")]
    NotFound,
    /// The certificate of the other side is refused. An operator has to act.
    #[error("cannot trust the Manager's certificate: {}", advice(.0))]
    Untrusted(CertificateError),
    /// There was no answer within this time.
    #[error("the Manager did not answer within {0:?}")]
    TimedOut(Duration),
    /// The Manager does not know these credentials, or cannot read its database: it answers 403 to both.
    #[error("the Manager answered 403: the Manager does not accept this worker's credentials")]
    Denied,
    /// The Manager answered with a status that is no answer to this call.
    #[error("the Manager answered {code}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The Manager's text, or the start of whatever came.
        message: String,
        /// From `Retry-After`, in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// The answer is not the Manager's but of something in between, such as a proxy that wants credentials.
    #[error("something in front of the Manager answered {code} ({text}){}", credentials(*.code))]
    Intermediary {
        /// The HTTP status.
        code: u16,
        /// The start of what came.
        text: String,
        /// From `Retry-After`, in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// The answer was a redirect, which the client does not follow.
    #[error("the answer was {code}, a redirect to {to}{}", better(.manager.as_deref()))]
    Redirected {
        /// The HTTP status.
        code: u16,
        /// The target, without what follows the `?`, which may be secret.
        to: String,
        /// The URL of the Manager with which this redirect would not be needed, if there is such a URL.
        manager: Option<String>,
    },
    /// The status is right, but the body is not the Manager's: a proxy's page, or half an answer.
    #[error("the answer is not the Manager's: {0}")]
    NotTheManager(String),
}

impl ManagerError {
    /// An answer with a status that is no answer to the call, and without `Retry-After`.
    pub(crate) fn from_status(code: u16, message: impl Into<String>) -> Self {
        Self::Status {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// How long the other side asked to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::Intermediary { retry_after, .. } => *retry_after,
            Self::Unreachable(_)
            | Self::NotFound
            | Self::Untrusted(_)
            | Self::TimedOut(_)
            | Self::Denied
            | Self::Redirected { .. }
            | Self::NotTheManager(_) => None,
        }
    }

    /// Whether the error stays until an operator changes something, so that frequent retries are of no use.
    pub(crate) fn needs_operator(&self) -> bool {
        match self {
            Self::Untrusted(_) | Self::Redirected { .. } => true,
            Self::Intermediary { code, .. } => matches!(code, 401 | 403 | 407),
            Self::Unreachable(_)
            | Self::NotFound
            | Self::TimedOut(_)
            | Self::Denied
            | Self::Status { .. }
            | Self::NotTheManager(_) => false,
        }
    }
}

impl From<reqwest::Error> for ManagerError {
    /// Converts an error of the connection. A problem with a certificate is at the end of a long chain of causes.
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

/// The innermost cause, to which the libraries above have nothing to add.
fn obstacle(error: &reqwest::Error) -> String {
    match causes(error).find_map(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => "https is not spoken there".to_owned(),
        Some(other) => format!("TLS failed: {other}"),
        None => causes(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The error and all its causes.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error| inner(*error))
}

/// The cause of an error. An I/O error wraps an error that is not among its causes; that one is returned.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// What is wrong and what to do, for the problems that happen in practice.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum belongs to another crate and grows"
)]
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
