// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker to which no Manager was named searches for one, for as long as it takes: it may be up before its Manager. It is
//! said once, and what it waits for is in the status line. What was found is kept for this run only, as in the Go worker: the
//! next one searches again, so that a Manager that has moved is found by a restart.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::chain::chain;
use crate::config::Config;
use crate::discovery::{FoundManager, Search, SearchOutcome, SearchReport};
use crate::manager::{ConnectionOptions, HttpManager};
use crate::setup::how_to_name_a_manager;

/// A search that has not found anything within this time says once what it has seen: three questions were asked by then, and
/// with one Manager found another one is not waited for any more.
const SAID_AFTER: Duration = Duration::from_secs(7);

/// Returns once it is known where the Manager is: configured or found. One that is named later comes with a reload, which ends
/// this.
pub(super) async fn find_manager(manager: &HttpManager, config: &Config) {
    if manager.place().is_some() {
        return;
    }
    info!("no Manager is configured: searching the networks of this machine for one");
    manager.set_search_state("a Manager to answer on the networks of this machine");
    search(manager, config).await;
}

async fn search(manager: &HttpManager, config: &Config) {
    let mut search = Search::new();
    let mut told = None;
    if let Some(verdict) = first_verdict(&mut search).await
        && use_it(verdict, manager, config, &mut told)
    {
        return;
    }
    if told.is_none() {
        let SearchReport { networks, answers } = search.report();
        warn!(
            networks = networks.join(", "),
            answers = answers.join("; "),
            "no Manager has answered so far: the search goes on"
        );
    }
    loop {
        let verdict = search.next().await;
        if use_it(verdict, manager, config, &mut told) {
            return;
        }
    }
}

async fn first_verdict(search: &mut Search) -> Option<SearchOutcome> {
    tokio::select! {
        verdict = search.next() => Some(verdict),
        () = sleep(SAID_AFTER) => None,
    }
}

/// Whether that ends the search. What was `told` is not told again.
fn use_it(verdict: SearchOutcome, manager: &HttpManager, config: &Config, told: &mut Option<SearchOutcome>) -> bool {
    let what = verdict.describe();
    match &verdict {
        SearchOutcome::Found(FoundManager { url, .. }) => {
            info!(name = config.worker_name, "found the Manager {what}");
            let set = manager.set_place(url.clone(), ConnectionOptions::default());
            set.inspect_err(|error| error!(error = chain(error), "cannot use it: the search goes on"))
                .is_ok()
        }
        SearchOutcome::Several(_) => {
            manager.set_search_state(format!("one Manager only, and not {what}: name it"));
            if told.as_ref() != Some(&verdict) {
                let advice = how_to_name_a_manager(config);
                warn!(
                    "several Managers answer, and which is meant cannot be told: {what}; {advice}. The search goes on"
                );
                *told = Some(verdict);
            }
            false
        }
    }
}
