// SPDX-License-Identifier: GPL-3.0-or-later

//! `-find-manager`: prints the URL of the one Manager on the networks of this machine, for scripts: nothing else is written
//! to standard output. Configuration and home are not looked at.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use super::{failed, say, written};
use crate::departure::Departure;
use crate::discovery::{Search, SearchOutcome, SearchReport};

/// How long is searched. Four questions are asked within it (at some 0, 1, 3 and 7 s), so that three may be lost, and a Manager
/// that others ask at the same time is waited for. The Go worker gives up after a minute; a person has long doubted by then.
const LIMIT: Duration = Duration::from_secs(10);

/// Searches and prints.
///
/// # Errors
/// How the process is to end. Why is said on stderr.
pub(crate) fn find_manager() -> Result<(), Departure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let mut search = Search::new();
    let verdict = runtime.block_on(async { timeout(LIMIT, search.next()).await });
    let report = search.report();
    // A name that is looked up by a thread is not waited for.
    drop(search);
    runtime.shutdown_background();
    match verdict {
        Ok(SearchOutcome::Found(manager)) => written(writeln!(io::stdout(), "{}", manager.url)),
        Ok(several @ SearchOutcome::Several(_)) => {
            let what = several.describe();
            say(&format!(
                "several Managers answer, and which is meant cannot be told: {what}"
            ));
            tell(&report);
            Err(Departure::NoManager)
        }
        Err(_) => {
            say(&format!("no Manager was found within {LIMIT:?}"));
            tell(&report);
            Err(Departure::NoManager)
        }
    }
}

fn tell(report: &SearchReport) {
    let SearchReport { networks, answers } = report;
    match networks.is_empty() {
        true => say(&"no network is up here"),
        false => say(&format!("searched on {}", networks.join(", "))),
    }
    if answers.is_empty() {
        say(&"nobody answered: does a Manager run on one of these networks, with autodiscoverable: true?");
    }
    for answer in answers {
        say(&format!("answer: {answer}"));
    }
}
