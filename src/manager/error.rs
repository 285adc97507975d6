// SPDX-License-Identifier: GPL-3.0-or-later

//! What can go wrong between us and the Manager.

use std::time::Duration;

/// A call that brought no answer of the Manager's that means anything.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// No connection, or it broke; the chain says where.
    #[error("cannot reach the Manager")]
    Unreachable(#[source] reqwest::Error),
    #[error("the Manager did not answer within {0:?}")]
    TimedOut(Duration),
    /// A status that is no answer to this call.
    #[error("the Manager answered {code}: {message}")]
    Status {
        code: u16,
        /// The Manager's words, or the start of whatever came.
        message: String,
        /// From `Retry-After`, in seconds or as a date.
        retry_after: Option<Duration>,
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
            Self::Unreachable(_) | Self::TimedOut(_) | Self::NotTheManager(_) => true,
            Self::Status { code, .. } => *code != 400,
        }
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::TimedOut(_) | Self::NotTheManager(_) => None,
        }
    }
}
