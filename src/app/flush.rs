// SPDX-License-Identifier: GPL-3.0-or-later

//! `-flush`: delivers what waits in the home, and ends. A start that stops before the Manager hears of a worker.
//!
//! ```text
//! home (locked) ─► what a killed worker left is ended and settled ─► sender, until nothing waits        0
//!      └ a worker's: 75                                               └ nothing gets through, a signal: 1
//! ```
//!
//! What a killed worker left comes first, as in any start: the end of its program may decide its task, and with the report
//! gone to the history nobody would look for it. The mark of a run that did not sign off stays for the next start.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::build::launcher;
use super::find_manager::find_manager;
use super::manager_place::manager;
use super::open_home::{OpenedHome, open_existing};
use super::process::Process;
use super::relay::leave_before_worker;
use super::services::end_predecessors;
use super::{failure, unusable};
use crate::config::Config;
use crate::departure::Departure;
use crate::home::{self, SearchError};
use crate::manager::Manager as _;
use crate::signals::{Early, Signals};
use crate::spool::Spool;

/// Delivers what waits in the home of this configuration, or of the only worker that is here.
///
/// # Errors
/// How the process is to end where not all is delivered. Why is logged, and what is left.
pub(super) async fn flush(running: &Process<'_>, early: Early) -> Result<Departure, Departure> {
    let mut signals = Signals::new(early, None).map_err(failure("take over the signals"))?;
    let folder = home::search(&running.config, running.environment).map_err(|error| match error {
        SearchError::Nowhere(nowhere) => unusable(nowhere),
        several @ SearchError::Several(_) => failure("tell which home is meant")(several),
    })?;
    // Orders to sleep or wake are for a worker.
    let (nobody, _) = unbounded_channel();
    let opened = tokio::select! {
        opened = open(&folder, &running.config) => opened?,
        () = leave_before_worker(&mut signals, &nobody) => return Err(Departure::Failure),
    };
    let Some(OpenedHome { home, known, contents }) = opened else {
        return Ok(nothing_waits(&folder));
    };
    // A worker that starts now waits for us, instead of giving up.
    home.note_leaving();
    let (spool, sender) = Spool::of(contents);
    if spool.pending().tasks == 0 {
        return Ok(nothing_waits(&folder));
    }
    let Some(known) = known else {
        error!(
            credentials = %home.credentials_file().display(),
            "there are no credentials, and without them the Manager takes nothing: restore the file from a backup"
        );
        return Err(left(&spool));
    };
    let manager = manager(&running.config)?;
    manager.identify(&known);
    let (launcher, reaper) = launcher(&running.config, &home).map_err(failure("look after what was left running"))?;
    let deliver = async {
        tokio::join!(
            end_predecessors((&running.config, running.environment), &launcher, &home, &spool),
            find_manager(&manager, &running.config)
        );
        tokio::select! {
            never = sender.run(&manager) => match never {},
            () = spool.drained() => {}
        }
    };
    tokio::select! {
        () = deliver => {
            info!(home = %folder.display(), "all that waited is delivered");
            Ok(Departure::ShutDown)
        }
        () = nothing_gets_through(&spool, running.config.timings.flush_patience) => Err(left(&spool)),
        () = leave_before_worker(&mut signals, &nobody) => Err(left(&spool)),
        never = reaper.run() => match never {},
    }
}

/// Opens the home, if it answers.
async fn open(folder: &Path, config: &Config) -> Result<Option<OpenedHome>, Departure> {
    let patience = config.timings.flush_patience;
    match timeout(patience, open_existing(folder.to_owned(), config)).await {
        Ok(Err(Departure::HomeInUse)) => {
            info!("the worker that uses a home delivers what waits there: -flush is for a home without one");
            Err(Departure::HomeInUse)
        }
        Ok(opened) => opened,
        Err(_) => {
            error!(home = %folder.display(), "the home cannot be used, and was waited for {}s", patience.as_secs());
            Err(Departure::Failure)
        }
    }
}

/// Returns when so long nothing was delivered.
async fn nothing_gets_through(spool: &Spool, patience: Duration) {
    let waiting = || (spool.pending(), spool.unsent_log());
    let mut before = waiting();
    loop {
        sleep(patience).await;
        let now = waiting();
        if now == before {
            return;
        }
        before = now;
    }
}

fn nothing_waits(folder: &Path) -> Departure {
    info!(home = %folder.display(), "nothing waits for the Manager");
    Departure::ShutDown
}

fn left(spool: &Spool) -> Departure {
    let pending = spool.pending();
    error!(
        tasks = pending.tasks,
        outcomes = pending.outcomes,
        bytes_of_log = spool.unsent_log(),
        "not all was delivered: what is left stays in the home, for the next -flush or the next start"
    );
    Departure::Failure
}
