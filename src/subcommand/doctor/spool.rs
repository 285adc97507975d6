// SPDX-License-Identifier: GPL-3.0-or-later

//! What the spool holds that is not as it should be.

use super::CheckContext;
use super::finding::{Finding, run_checks};
use crate::home::{GoUpdates, spool_of};
use crate::spool::{ReportState, SpoolListing, list};

const NAME: &str = "spool";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let Some(home) = &context.home else {
        return vec![];
    };
    let spool = spool_of(home);
    let place = format!("the spool {}", spool.display());
    let works = context.subject.is_worker();
    let home = home.clone();
    run_checks(NAME, &place, move || {
        let own = match list(&spool) {
            Ok(found) => holds(&found, works),
            Err(error) => Finding::fail(
                NAME,
                format!("{} cannot be read: {error}", spool.display()),
                "give the home and all in it to the user of the worker",
            ),
        };
        let of_go_worker = GoUpdates::of(&home).map(|left| {
            Finding::warn(
                NAME,
                format!(
                    "{} updates that Flamenco's own worker did not deliver are in {}",
                    left.count,
                    left.file.display()
                ),
                left.advice(),
            )
        });
        std::iter::once(own).chain(of_go_worker).collect()
    })
    .await
}

fn holds(found: &SpoolListing, works: bool) -> Finding {
    let count = |state: &ReportState| found.tasks.iter().filter(|kept| kept.report == *state).count();
    let waiting = found
        .tasks
        .iter()
        .filter(|kept| kept.report == ReportState::Waiting && !(works && kept.end.is_none()))
        .count();
    let damaged = count(&ReportState::Damaged) + found.unreadable.len();
    let aside = count(&ReportState::SetAside);
    if damaged + aside > 0 {
        return Finding::warn(
            NAME,
            format!("{damaged} damaged and {aside} set aside, {waiting} wait for the Manager"),
            "`flamenco-worker history` names them: their results may be missing at the Manager. Look at the disk, and \
             delete what is no longer needed",
        );
    }
    match (waiting, works) {
        (0, _) => Finding::ok(NAME, "nothing waits for the Manager"),
        (_, true) => Finding::ok(
            NAME,
            format!("{waiting} tasks wait for the Manager; the worker sends them"),
        ),
        (_, false) => Finding::warn(
            NAME,
            format!("{waiting} tasks wait for the Manager, and no worker sends them"),
            "start the worker, which sends them before it takes a new task; or `flamenco-worker -flush`",
        ),
    }
}
