// SPDX-License-Identifier: GPL-3.0-or-later

//! What a check saw and what to do about it, and the limits of time within which it must say so.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::blocking::run_blocking_within;

/// How long one check may take: a healthy disk needs a thousandth of it.
pub(super) const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// How long all checks of one area together may take.
const AREA_LIMIT: Duration = Duration::from_secs(10);

/// How bad a finding is. The order is from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// All is well.
    Ok,
    /// It works, but not as well as it could, or not in every context.
    Warn,
    /// No worker can work like this, or no task of some kind can.
    Fail,
}

/// The answer of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// It is the same in every release, because monitoring reads it.
    pub(super) name: &'static str,
    #[serde(rename = "verdict")]
    pub(super) severity: Severity,
    /// What was seen, in words.
    pub(super) seen: String,
    /// What to do; there is some unless all is well.
    pub(super) advice: Option<String>,
}

impl Severity {
    /// The word that lines begin with.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl Finding {
    pub(super) fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Ok,
            seen: seen.into(),
            advice: None,
        }
    }

    pub(super) fn warn(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Warn,
            seen: seen.into(),
            advice: Some(advice.into()),
        }
    }

    pub(super) fn fail(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fail,
            ..Self::warn(name, seen, advice)
        }
    }
}

/// Runs a check in a thread of its own, which is left alone when it does not come back: a file system whose server is gone
/// may hold it for hours. `place` is what the finding then names.
///
/// # Errors
/// A finding that says that the check did not come back.
pub(super) async fn run_check<T: Send + 'static>(
    name: &'static str,
    place: &str,
    check: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Finding> {
    let found = run_blocking_within(sleep(CHECK_LIMIT), check).await;
    found.ok_or_else(|| {
        Finding::fail(
            name,
            format!("{place} does not answer within {} s", CHECK_LIMIT.as_secs()),
            "a network file system whose server is gone, most likely: look at the mounts of this node and the server",
        )
    })
}

/// Runs a check that has several findings, see [`run_check`].
pub(super) async fn run_checks(
    name: &'static str,
    place: &str,
    findings: impl FnOnce() -> Vec<Finding> + Send + 'static,
) -> Vec<Finding> {
    run_check(name, place, findings)
        .await
        .unwrap_or_else(|hangs| vec![hangs])
}

/// All findings of an area, or the one that its checks took too long: they may run one after the other.
pub(super) async fn within_limit(name: &'static str, findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(AREA_LIMIT, findings).await.unwrap_or_else(|_| {
        let seen = format!("not all could be looked at within {} s", AREA_LIMIT.as_secs());
        vec![Finding::fail(
            name,
            seen,
            "is this node overloaded, or a network file system slow?",
        )]
    })
}
