// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor saw, and what to do about it.

use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long one look may take: a healthy disk needs a thousandth of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long all looks together may take.
const ALL: Duration = Duration::from_secs(10);

/// How bad it is; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// Works, but not as well as it could, or not in every case.
    Warn,
    /// No worker can work like this, or no task of some kind.
    Fail,
}

/// One answer. Names are the same in every release: monitoring reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) seen: String,
    /// What to do; there unless all is well.
    pub(super) advice: Option<String>,
}

impl Verdict {
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
            verdict: Verdict::Ok,
            seen: seen.into(),
            advice: None,
        }
    }

    pub(super) fn warn(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            seen: seen.into(),
            advice: Some(advice.into()),
        }
    }

    pub(super) fn fail(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(name, seen, advice)
        }
    }
}

/// Looks in a thread of its own, which is left alone when it does not come back: a file system whose server is gone
/// may hold it for hours. `place` is what hangs then.
///
/// # Errors
/// A finding that says so.
pub(super) async fn look<T: Send + 'static>(
    name: &'static str,
    place: &str,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Finding> {
    match timeout(PATIENCE, spawn_blocking(look)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Finding::fail(
            name,
            format!("the look at {place} broke off: {error}"),
            "this is a mistake in flamenco-worker; please report it",
        )),
        Err(_) => Err(Finding::fail(
            name,
            format!("{place} does not answer within {} s", PATIENCE.as_secs()),
            "a network file system whose server is gone, most likely: look at the mounts of this node and the server",
        )),
    }
}

/// The same for who finds several things.
pub(super) async fn look_all(
    name: &'static str,
    place: &str,
    findings: impl FnOnce() -> Vec<Finding> + Send + 'static,
) -> Vec<Finding> {
    look(name, place, findings).await.unwrap_or_else(|hangs| vec![hangs])
}

/// All of an area, or that it took too long: several looks one after the other may have.
pub(super) async fn in_time(name: &'static str, findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(ALL, findings).await.unwrap_or_else(|_| {
        let seen = format!("not all could be looked at within {} s", ALL.as_secs());
        vec![Finding::fail(
            name,
            seen,
            "is this node overloaded, or a network file system slow?",
        )]
    })
}
