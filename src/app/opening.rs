// SPDX-License-Identifier: GPL-3.0-or-later

//! What a start does before there is a worker: the home is found, mounted, locked, claimed and read.
//!
//! ```text
//! mounted? ─► room? ─► lock ─► credentials ─► claim ─► spool
//! ```
//!
//! All that touches the home is done beside the event loop: it may stand still, and a signal is obeyed all the same.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::room::Patience;
use super::unusable;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::home::{self, Credentials, Home, HomeError};
use crate::node;
use crate::spool::{Contents, Limits, Spool};
use crate::systemd::{Beat, Systemd};

/// How often it is looked whether the file system of the home is mounted now.
const MOUNT_PAUSE: Duration = Duration::from_secs(1);

/// A home that is ours, and what is in it.
pub(super) struct Opened {
    pub(super) home: Home,
    pub(super) known: Option<Credentials>,
    pub(super) contents: Contents,
}

/// Opens the home, with signs of life meanwhile.
pub(super) async fn open(config: &Config, environment: &Environment, systemd: &Systemd) -> Result<Opened, Departure> {
    tokio::select! {
        opened = open_home(config, environment, systemd) => opened,
        never = signs_of_life(systemd) => match never {},
    }
}

/// Waits until the home is mounted, and while the disk has no room for what belongs there.
async fn open_home(config: &Config, environment: &Environment, systemd: &Systemd) -> Result<Opened, Departure> {
    let folder = home::locate(config, environment).map_err(unusable)?;
    let patience = Patience {
        systemd,
        pause: config.timings.idle_min,
    };
    mounted(&folder, config, &patience).await;
    let home = patience
        .until_there_is_room(async || Home::open(folder.clone(), config.timings.lock_timeout).await)
        .await
        .map_err(no_home)?;
    // Looked at here already: a broken file is for the operator, and better said now than after a wait.
    let known = home.credentials().await.map_err(unusable)?;
    if let Some(known) = &known {
        home.claim(&known.id).map_err(no_home)?;
        tell_a_copy(&home).await;
    }
    debug!(home = %home.dir().display(), "home is ours");
    let spool = home.spool_dir();
    let contents = patience
        .until_there_is_room(async || Spool::read(&spool, limits(config), &config.timings).await)
        .await
        .map_err(unusable)?;
    Ok(Opened { home, known, contents })
}

async fn signs_of_life(systemd: &Systemd) -> Infallible {
    let mut beat = Beat::new(systemd.clone());
    loop {
        beat.due().await;
        beat.tell();
    }
}

/// Waits until the file system of the home is there: before that an empty folder is in its place, and a worker that
/// begins in it registers a second time.
async fn mounted(folder: &Path, config: &Config, patience: &Patience<'_>) {
    let mut said = false;
    loop {
        let (home, needed) = (folder.to_owned(), config.node.mounted.clone());
        let look = move || node::not_mounted_yet(&home, &needed, home::has_credentials(&home));
        let Some(missing) = run_blocking(look).await else {
            return;
        };
        if !std::mem::replace(&mut said, true) {
            let why = format!(
                "nothing is mounted at {} yet, where the home is to be: waiting for it",
                missing.display()
            );
            warn!(home = %folder.display(), "{why}");
            patience.tell(&why);
        }
        sleep(MOUNT_PAUSE).await;
    }
}

fn no_home(error: HomeError) -> Departure {
    match error {
        HomeError::InUse { .. } | HomeError::Copied { .. } => {
            error!("{}", chain(&error));
            Departure::HomeInUse
        }
        HomeError::NoPlace
        | HomeError::Create { .. }
        | HomeError::NotADirectory(_)
        | HomeError::NotWritable { .. }
        | HomeError::Thread(_)
        | HomeError::NoLocks { .. } => unusable(error),
    }
}

/// A node that was copied with its credentials works, but not alone.
async fn tell_a_copy(home: &Home) {
    match home.of_another_machine().await {
        Ok(None) => {}
        Ok(Some(file)) => warn!(
            credentials = %home.credentials_file().display(),
            machine = %file.display(),
            "this worker's identity was made on another machine. If that one still uses it, both are one worker to the \
             Manager and take each other's tasks: stop this one, delete the file of its credentials, start it again, \
             and it registers as a worker of its own. If not, delete the file of the machine"
        ),
        Err(error) => debug!(
            error = chain(&error),
            "cannot tell on which machine the credentials were made"
        ),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        task_log_bytes: config.spool.task_log_limit,
        history_tasks: config.spool.history_tasks,
        ..Limits::default()
    }
}
