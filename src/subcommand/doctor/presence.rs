// SPDX-License-Identifier: GPL-3.0-or-later

//! What `[presence]` says tells whether somebody is at this machine: whether it can tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

use super::CheckContext;
use super::finding::{Finding, run_check};
use super::subject::Subject;
use crate::chain::chain;
use crate::dbus::{BusError, SYSTEM_BUS};
use crate::home::user_name;
use crate::pause::PresenceSource;
use crate::presence::{input, session, terminal};

const NAME: &str = "presence";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let sources = &context.config.presence.sources;
    if sources.is_empty() {
        return vec![Finding::ok(
            NAME,
            "nothing in [presence] tells whether somebody is at this machine: only `flamenco-worker pause` counts",
        )];
    }
    let mut found = Vec::new();
    for source in sources {
        found.push(match source {
            PresenceSource::Input => looked(&context.subject, input).await,
            PresenceSource::Terminal => looked(&context.subject, terminal).await,
            PresenceSource::Session => session(&context.subject).await,
        });
    }
    found
}

async fn looked(subject: &Subject, look: fn(&Subject) -> Finding) -> Finding {
    let subject = subject.clone();
    let looked = run_check(NAME, "/dev", move || look(&subject)).await;
    looked.unwrap_or_else(|hangs| hangs)
}

fn input(subject: &Subject) -> Finding {
    let seen = input::survey(&subject.sees(input::FOLDER), &BTreeMap::new());
    let user = user_name(geteuid());
    if let Some((name, error)) = seen.denied.first() {
        return Finding::warn(
            NAME,
            format!(
                "{} of {} input devices cannot be read by {user} ({name}: {error})",
                seen.denied.len(),
                seen.denied.len() + seen.names().len()
            ),
            format!(
                "usermod -aG input {user}, or SupplementaryGroups=input in the unit, then start the worker anew; its tasks can \
                 then read the keyboard, too: where strangers send tasks, take \"input\" out of [presence]"
            ),
        );
    }
    let names = seen.names();
    if names.is_empty() {
        return Finding::warn(
            NAME,
            "there is no input device that people use",
            "plug in a keyboard or a mouse, which is then noticed, or take \"input\" out of [presence]; a container sees none",
        );
    }
    if subject.is_worker() && opened(subject) == 0 {
        return Finding::warn(
            NAME,
            format!(
                "{user} can read {} input devices, and {subject} has none open",
                names.len()
            ),
            "start it anew if its configuration or its groups have changed; else its unit keeps it from them \
             (DeviceAllow=char-input r)",
        );
    }
    Finding::ok(
        NAME,
        format!("input devices can be read by {user}: {}", names.join(", ")),
    )
}

/// How many input devices a worker has open.
fn opened(worker: &Subject) -> usize {
    let all = fs::read_dir(Path::new("/proc").join(worker.pid().to_string()).join("fd"));
    let links = all
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|one| fs::read_link(one.path()).ok());
    links.filter(|link| link.starts_with(input::FOLDER)).count()
}

fn terminal(subject: &Subject) -> Finding {
    match terminal::count(&subject.sees(terminal::FOLDER)) {
        Ok(count) => Finding::ok(NAME, format!("{count} terminals and consoles tell when they are used")),
        Err(error) => Finding::warn(
            NAME,
            format!("terminals cannot be looked at: /dev/pts: {error}"),
            "take \"terminal\" out of [presence], or give the container the /dev/pts of its host",
        ),
    }
}

async fn session(subject: &Subject) -> Finding {
    let address = subject.variable_or_own("DBUS_SYSTEM_BUS_ADDRESS");
    let address = address.and_then(|address| address.into_string().ok());
    let seat = session::look_once(&address.unwrap_or_else(|| SYSTEM_BUS.to_owned())).await;
    judged(seat.map(|seat| seat.to_string()))
}

fn judged(seat: Result<String, BusError>) -> Finding {
    let error = match seat {
        Ok(seat) => return Finding::ok(NAME, format!("logind answers: {seat}")),
        Err(error) => error,
    };
    let advice = match &error {
        BusError::Answer { name, .. } if name.ends_with(".UnknownObject") => {
            "logind has no seat0, as on a machine without a screen: take \"session\" out of [presence]"
        }
        BusError::Answer { .. } => "systemd-logind, or elogind, has to run; else take \"session\" out of [presence]",
        BusError::Address(_)
        | BusError::Connection(_)
        | BusError::Refused(_)
        | BusError::Silence
        | BusError::Malformed(_) => {
            "the worker asks the D-Bus of the system, /run/dbus/system_bus_socket: does dbus run? A container needs that socket; \
             else take \"session\" out of [presence]"
        }
    };
    Finding::warn(
        NAME,
        format!("the desktop's session cannot be asked: {}", chain(&error)),
        advice,
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn m12_a_session_that_cannot_be_asked_is_a_warning_with_what_to_do() {
        let found = judged(Ok("nobody is logged in at seat0".into()));
        assert_eq!(found.severity, Severity::Ok);
        let answer = |name: &str| BusError::Answer {
            name: format!("org.freedesktop.DBus.Error.{name}"),
            text: "words".into(),
        };
        for (error, advice) in [
            (answer("UnknownObject"), "no seat0"),
            (answer("ServiceUnknown"), "elogind"),
            (BusError::Silence, "does dbus run?"),
        ] {
            let found = judged(Err(error));
            assert_eq!(found.severity, Severity::Warn);
            assert!(found.advice.as_ref().unwrap().contains(advice), "{found:?}");
        }
    }
}
