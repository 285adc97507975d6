// SPDX-License-Identifier: GPL-3.0-or-later

//! Is the Manager there, is it one, and does it know this worker? [`probe`] takes one step after the other. Where there is
//! an answer, the clock, the credentials and the push are checked as well.
//!
//! Whether credentials are accepted is asked with `may-i-run` for a task that cannot be: the one authenticated call
//! that the Manager answers without noting that it has seen the worker.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::CheckContext;
use super::finding::{Finding, run_check};
use crate::chain::chain;
use crate::discovery::{Search, SearchOutcome, SearchReport};
use crate::home::Credentials;
use crate::manager::push::{PushError, test_connection};
use crate::manager::{
    Diagnosis, HttpManager, Manager, ManagerError, ProbeStep, Verdict, describe_manager, probe, version_problem,
};
use crate::manager_url::ManagerUrl;
use crate::setup::{connection_options, how_to_name_a_manager};

/// How long each of the four steps may take, so that all of it ends within ten seconds.
const STEP: Duration = Duration::from_secs(2);

/// How long a Manager is searched for, where none is configured: two questions and all answers to them.
const SEARCH: Duration = Duration::from_secs(3);

/// One that was found by then may still be doubted, as another one may be slow to answer; in so much more time it is not.
const DOUBTS: Duration = Duration::from_secs(4);

/// How many seconds two clocks may differ before logs cannot be laid side by side.
const CLOCKS: f64 = 5.0;

/// A task that no Manager has.
const NO_TASK: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let mut found = Vec::new();
    let url = match &context.config.manager {
        Some(url) => url.clone(),
        None => match search(context).await {
            Ok(url) => url,
            Err(finding) => return vec![finding],
        },
    };
    if context.config.manager.is_none() {
        let seen = format!("no Manager is configured, and a search finds {url}");
        found.push(Finding::ok("manager.search", seen));
    }
    match connect(context, &url, &mut found).await {
        Ok(manager) => {
            let (credentials, push) = tokio::join!(credentials(context, &manager), push(context, &manager));
            found.extend(credentials.into_iter().chain(push));
        }
        Err(finding) => found.push(finding),
    }
    found
}

/// Searches as a worker would that starts now.
///
/// # Errors
/// The finding that there is none, or more than one.
async fn search(context: &CheckContext) -> Result<ManagerUrl, Finding> {
    let mut search = Search::new();
    let mut verdict = timeout(SEARCH, search.next()).await;
    if verdict.is_err() && search.has_found_one() {
        verdict = timeout(DOUBTS, search.next()).await;
    }
    let SearchReport { networks, answers } = search.report();
    let seen = match &verdict {
        Ok(SearchOutcome::Found(manager)) => return Ok(manager.url.clone()),
        Ok(several @ SearchOutcome::Several(_)) => format!("a search finds several: {}", several.describe()),
        Err(_) if answers.is_empty() => format!("nobody answers a search (on {})", networks.join(", ")),
        Err(_) => format!("a search finds no Manager, but {}", answers.join("; ")),
    };
    let seen = format!("no Manager is configured, and {seen}");
    let advice = format!(
        "a worker searches until there is one: {}",
        how_to_name_a_manager(&context.config)
    );
    Err(Finding::fail("manager.search", seen, advice))
}

/// Connects to the Manager until it has said what it is, and adds the findings on the way.
///
/// # Errors
/// The finding of the step that failed.
async fn connect(context: &CheckContext, url: &ManagerUrl, found: &mut Vec<Finding>) -> Result<HttpManager, Finding> {
    let (of, config) = (url.clone(), context.config.clone());
    let options = run_check("manager.tls", "a file for TLS", move || {
        connection_options(&of, config.manager.as_ref(), &config)
    })
    .await?
    .map_err(|error| {
        Finding::fail(
            "manager.tls",
            chain(&error),
            "repair it: a worker does not start with it (exit code 78)",
        )
    })?;
    let met = probe(url, options, STEP).await.map_err(stopped)?;
    found.push(Finding::ok("manager.address", format!("{url} is at {}", met.address)));
    if url.url().scheme() == "https" {
        found.push(Finding::ok("manager.tls", "the certificate shown there is trusted"));
    }
    found.push(match version_problem(&met.info) {
        None => Finding::ok("manager.answer", describe_manager(&met.info)),
        Some(Diagnosis { seen, advice, .. }) => Finding::warn("manager.answer", seen, advice),
    });
    let (before, after) = met.asked;
    found.extend(met.info.date.map(|theirs| clock(theirs, before, after)));
    Ok(met.manager)
}

fn stopped(diagnosis: Diagnosis) -> Finding {
    let name = match diagnosis.step {
        ProbeStep::Address => "manager.address",
        ProbeStep::Connection => "manager.connection",
        ProbeStep::Tls => "manager.tls",
        ProbeStep::Answer => "manager.answer",
    };
    Finding::fail(name, diagnosis.seen, diagnosis.advice)
}

/// Compares the clocks. The Manager's answer has whole seconds, cut off.
fn clock(theirs: Timestamp, before: Timestamp, after: Timestamp) -> Finding {
    let ours = f64::midpoint(seconds(before), seconds(after));
    let ahead = seconds(theirs) + 0.5 - ours;
    if ahead.abs() <= CLOCKS {
        return Finding::ok("manager.clock", "the clocks of this node and of the Manager agree");
    }
    let by = ahead.abs();
    let way = if ahead > 0.0 { "behind" } else { "ahead of" };
    Finding::warn(
        "manager.clock",
        format!("the clock of this node is {by:.0} s {way} the Manager's"),
        "have both set by the network (`timedatectl set-ntp true`, or chrony): times in logs mean nothing until then, \
         and certificates may seem not to be valid",
    )
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

async fn credentials(context: &CheckContext, manager: &HttpManager) -> Option<Finding> {
    const NAME: &str = "manager.credentials";
    let home = context.home.clone()?;
    let place = home.display().to_string();
    let read = run_check(NAME, &place, move || read_credentials(&home)).await;
    let own = match read.and_then(|read| read) {
        Ok(Some(own)) => own,
        Ok(None) => {
            let seen = "this worker is not registered yet; its first start does that";
            return Some(Finding::ok(NAME, seen));
        }
        Err(finding) => return Some(finding),
    };
    manager.identify(&own);
    Some(match manager.may_i_run(NO_TASK).await {
        Ok(Verdict::Continue | Verdict::Stop(_)) => {
            Finding::ok(NAME, format!("the Manager accepts this worker ({})", own.id))
        }
        Err(ManagerError::Denied) => denied(&own.id, &manager.is_registered().await),
        Err(error) => Finding::warn(
            NAME,
            format!("whether this worker is accepted cannot be told: {}", chain(&error)),
            "look at the log of the Manager, and ask again",
        ),
    })
}

fn read_credentials(home: &Path) -> Result<Option<Credentials>, Finding> {
    Credentials::of(home).map_err(|error| {
        Finding::fail(
            "manager.credentials",
            chain(&error),
            "a worker does not start like this (exit code 78); ask as its own user, root or that user can read it",
        )
    })
}

fn denied(id: &str, registered: &Result<bool, ManagerError>) -> Finding {
    let seen = |why: &str| format!("the Manager does not accept this worker ({id}): {why}");
    match registered {
        Ok(false) => Finding::warn(
            "manager.credentials",
            seen("it was deleted there"),
            "nothing needs to be done: it registers anew, as another worker, at its next start",
        ),
        Ok(true) | Err(_) => Finding::fail(
            "manager.credentials",
            seen("the secret is another one, or the Manager cannot read its database"),
            "look at the log of the Manager; if the secret is lost, delete this worker in the Manager's page and the \
             file of its credentials in the home, and it registers anew",
        ),
    }
}

async fn push(context: &CheckContext, manager: &HttpManager) -> Option<Finding> {
    const NAME: &str = "manager.push";
    if !context.config.push {
        return Some(Finding::ok(NAME, "turned off: the worker asks and does not listen"));
    }
    Some(
        match timeout(STEP, test_connection(manager, &context.config.timings, STEP)).await {
            Ok(Ok(())) => Finding::ok(
                NAME,
                "the Manager can be listened to: what is clicked there is done at once",
            ),
            Ok(Err(error)) => silent(&error),
            Err(_) => silent(&PushError::TimedOut(STEP)),
        },
    )
}

fn silent(error: &PushError) -> Finding {
    Finding::warn(
        "manager.push",
        format!("the Manager cannot be listened to: {}", chain(error)),
        "all works without it, some seconds later; have the proxy pass websockets on (the header Upgrade, below \
         /socket.io/), or set push = false",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn clocks_may_be_a_little_apart() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let severity = |second| clock(Timestamp::from_second(second).unwrap(), now, now);
        assert_eq!(severity(1_800_000_004).severity, Severity::Ok);
        assert_eq!(severity(1_799_999_995).severity, Severity::Ok);
        assert_eq!(severity(1_800_000_005).severity, Severity::Warn);
        assert!(severity(1_800_003_600).seen.contains("3600 s behind"));
        assert!(severity(1_799_996_400).seen.contains("3600 s ahead of"));
    }

    #[test]
    fn a_denial_is_hard_only_while_the_worker_is_still_in_the_managers_list() {
        assert_eq!(denied("id", &Ok(false)).severity, Severity::Warn);
        assert_eq!(denied("id", &Ok(true)).severity, Severity::Fail);
        assert_eq!(
            denied("id", &Err(ManagerError::from_status(500, "db"))).severity,
            Severity::Fail
        );
    }

    #[test]
    fn a_manager_that_cannot_be_listened_to_is_a_warning() {
        assert_eq!(silent(&PushError::Refused(426)).severity, Severity::Warn);
    }
}
