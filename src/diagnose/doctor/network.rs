// SPDX-License-Identifier: GPL-3.0-or-later

//! Is the Manager there, is it one, and does it know this worker? One step after the other: name, connection, TLS,
//! answer; with an answer the clock, the credentials and the push.
//!
//! Whether credentials are accepted is asked with `may-i-run` for a task that cannot be: the one authenticated call
//! that the Manager answers without noting that it has seen the worker.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::Case;
use super::finding::{Finding, look};
use crate::app::parts::{manager_url, reach};
use crate::home::Credentials;
use crate::manager::push::{LineError, knock};
use crate::manager::{Greeting, HttpManager, KNOWN, Manager, ManagerError, Row, Verdict, chain, is_known};
use crate::timings::Timings;

/// How long each of the four steps may take, so that all of it ends within ten seconds.
const STEP: Duration = Duration::from_secs(2);

/// How far two clocks may be apart before logs cannot be laid side by side.
const CLOCKS: f64 = 5.0;

/// A task that no Manager has.
const NO_TASK: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn check(case: &Case) -> Vec<Finding> {
    let url = match manager_url(&case.config) {
        Ok(url) => url,
        Err(none) => {
            return vec![Finding::fail(
                "manager.address",
                "no Manager is configured",
                none.advice,
            )];
        }
    };
    let mut found = Vec::new();
    match introduced(case, url, &mut found).await {
        Ok(manager) => {
            let (credentials, push) = tokio::join!(credentials(case, &manager), push(case, &manager));
            found.extend(credentials.into_iter().chain(push));
        }
        Err(finding) => found.push(finding),
    }
    found
}

/// A Manager that has said who it is.
///
/// # Errors
/// The step that cannot be taken.
async fn introduced(case: &Case, url: &Url, found: &mut Vec<Finding>) -> Result<HttpManager, Finding> {
    let addresses = addresses(url).await?;
    let address = connection(url, &addresses).await?;
    found.push(Finding::ok("manager.address", format!("{url} is at {address}")));
    let (of, config) = (url.clone(), case.config.clone());
    let reach = look("manager.tls", "a file for TLS", move || reach(&of, &config))
        .await?
        .map_err(|error| {
            Finding::fail(
                "manager.tls",
                chain(&error),
                "repair it: a worker does not start with it (exit code 78)",
            )
        })?;
    let timings = Timings {
        connect: STEP,
        ask: STEP,
        ..case.config.timings.clone()
    };
    let manager = HttpManager::new(url, reach, &timings)
        .map_err(|error| Finding::fail("manager.answer", chain(&error), "is the table [headers] right?"))?;
    let before = Timestamp::now();
    let greeting = manager.greet().await.map_err(|error| refused(url, &error))?;
    let after = Timestamp::now();
    if url.scheme() == "https" {
        found.push(Finding::ok("manager.tls", "the certificate shown there is trusted"));
    }
    found.push(known(url, &greeting)?);
    found.extend(greeting.date.map(|theirs| clock(theirs, before, after)));
    Ok(manager)
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Finding> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let why = match timeout(STEP, lookup_host((bare, port))).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {STEP:?}"),
    };
    Err(Finding::fail(
        "manager.address",
        format!("the name {host} of the Manager cannot be resolved: {why}"),
        format!("is it written right in {url}? `getent hosts {host}` must know it: look at DNS or /etc/hosts"),
    ))
}

async fn connection(url: &Url, addresses: &[SocketAddr]) -> Result<SocketAddr, Finding> {
    let connected = timeout(STEP, TcpStream::connect(addresses)).await;
    let (why, advice) = match connected {
        Ok(Ok(stream)) => return Ok(stream.peer_addr().unwrap_or(addresses[0])),
        Ok(Err(error)) => (
            error.to_string(),
            "does the Manager run there, and on this port? Its log names the URLs it can be reached by",
        ),
        Err(_) => (
            format!("no answer within {STEP:?}"),
            "a firewall drops what is sent there, or that host is off",
        ),
    };
    let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Err(Finding::fail(
        "manager.connection",
        format!("{url} cannot be connected to at {}: {why}", tried.join(", ")),
        advice,
    ))
}

fn refused(url: &Url, error: &ManagerError) -> Finding {
    let seen = chain(error);
    let (name, advice) = match error {
        ManagerError::Untrusted(_) => (
            "manager.tls",
            "until this is repaired the worker starts, and tries again every few minutes",
        ),
        ManagerError::Unreachable(_) if url.scheme() == "https" => {
            ("manager.tls", "is it https that is spoken there, and not http?")
        }
        ManagerError::Unreachable(_) => ("manager.answer", "is it http that is spoken there, and not https?"),
        ManagerError::TimedOut(_) => (
            "manager.answer",
            "it takes connections and says nothing: is the Manager overloaded, or is this another service?",
        ),
        ManagerError::Redirected { .. }
        | ManagerError::Between {
            code: 401 | 403 | 407, ..
        } => ("manager.answer", "the worker waits until this is repaired"),
        ManagerError::Between { .. } | ManagerError::NotTheManager(_) => (
            "manager.answer",
            "another web server is there: the URL must be the one the Manager's own page has in a browser, without \
             what its pages add",
        ),
        ManagerError::Status { .. } => ("manager.answer", "look at the log of the Manager"),
    };
    Finding::fail(name, seen, advice)
}

fn known(url: &Url, greeting: &Greeting) -> Result<Finding, Finding> {
    let (name, version) = (&greeting.version.name, &greeting.version.version);
    if version.is_empty() {
        let stranger = ManagerError::NotTheManager("it does not say which version it has".into());
        return Err(refused(url, &stranger));
    }
    let seen = format!("the Manager {name:?} has version {version}");
    Ok(match is_known(version) {
        true => Finding::ok("manager.answer", seen),
        false => Finding::warn(
            "manager.answer",
            seen,
            format!("this worker is made for version {KNOWN}, and works with this one as well as it can"),
        ),
    })
}

/// Theirs is in whole seconds, cut off.
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

async fn credentials(case: &Case, manager: &HttpManager) -> Option<Finding> {
    const NAME: &str = "manager.credentials";
    let home = case.home.clone()?;
    let place = home.display().to_string();
    let read = look(NAME, &place, move || read_credentials(&home)).await;
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
        Ok(Verdict::Denied) => denied(&own.id, &manager.row().await),
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

fn denied(id: &str, row: &Result<Row, ManagerError>) -> Finding {
    let seen = |why: &str| format!("the Manager does not accept this worker ({id}): {why}");
    match row {
        Ok(Row::Deleted) => Finding::warn(
            "manager.credentials",
            seen("it was deleted there"),
            "nothing needs to be done: it registers anew, as another worker, at its next start",
        ),
        Ok(Row::Known) | Err(_) => Finding::fail(
            "manager.credentials",
            seen("the secret is another one, or the Manager cannot read its database"),
            "look at the log of the Manager; if the secret is lost, delete this worker in the Manager's page and the \
             file of its credentials in the home, and it registers anew",
        ),
    }
}

async fn push(case: &Case, manager: &HttpManager) -> Option<Finding> {
    const NAME: &str = "manager.push";
    if !case.config.push {
        return Some(Finding::ok(NAME, "turned off: the worker asks and does not listen"));
    }
    Some(match timeout(STEP, knock(manager, STEP)).await {
        Ok(Ok(())) => Finding::ok(
            NAME,
            "the Manager can be listened to: what is clicked there is done at once",
        ),
        Ok(Err(error)) => silent(&error),
        Err(_) => silent(&LineError::TimedOut(STEP)),
    })
}

fn silent(error: &LineError) -> Finding {
    Finding::warn(
        "manager.push",
        format!("the Manager cannot be listened to: {}", chain(error)),
        "all works without it, some seconds later; have the proxy pass websockets on (the header Upgrade, below \
         /socket.io/), or set push = false",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict as Is;
    use super::*;
    use crate::protocol::ManagerVersion;

    #[test]
    fn clocks_may_be_a_little_apart() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let verdict = |second| clock(Timestamp::from_second(second).unwrap(), now, now);
        assert_eq!(verdict(1_800_000_004).verdict, Is::Ok);
        assert_eq!(verdict(1_799_999_995).verdict, Is::Ok);
        assert_eq!(verdict(1_800_000_005).verdict, Is::Warn);
        assert!(verdict(1_800_003_600).seen.contains("3600 s behind"));
        assert!(verdict(1_799_996_400).seen.contains("3600 s ahead of"));
    }

    #[test]
    fn a_manager_of_another_time_is_warned_of_and_a_stranger_is_none() {
        let url = Url::parse("http://m/").unwrap();
        let verdict = |version: &str| {
            let greeting = Greeting {
                version: ManagerVersion {
                    name: "m".into(),
                    version: version.into(),
                },
                date: None,
            };
            known(&url, &greeting).unwrap_or_else(|stranger| stranger).verdict
        };
        assert_eq!(
            [verdict("3.9-beta1"), verdict("4.0"), verdict("")],
            [Is::Ok, Is::Warn, Is::Fail]
        );
    }

    #[test]
    fn a_denial_is_hard_only_while_the_worker_is_still_in_the_managers_list() {
        assert_eq!(denied("id", &Ok(Row::Deleted)).verdict, Is::Warn);
        assert_eq!(denied("id", &Ok(Row::Known)).verdict, Is::Fail);
        assert_eq!(denied("id", &Err(ManagerError::said(500, "db"))).verdict, Is::Fail);
    }

    #[test]
    fn a_broken_connection_points_at_the_scheme() {
        let at = |url: &str, error| refused(&Url::parse(url).unwrap(), &error);
        let slow = || ManagerError::TimedOut(STEP);
        assert_eq!(at("https://m/", slow()).name, "manager.answer");
        let untrusted = ManagerError::Untrusted(rustls::CertificateError::Expired);
        let finding = at("https://m/", untrusted);
        assert_eq!((finding.name, finding.verdict), ("manager.tls", Is::Fail));
        assert!(finding.seen.contains("it has expired"));
        assert_eq!(silent(&LineError::Refused(426)).verdict, Is::Warn);
    }
}
