// SPDX-License-Identifier: GPL-3.0-or-later

//! What a start does with the home before there is a worker.
//!
//! ```text
//! mounted? ─► room? ─► lock ─► credentials ─► claim ─► spool
//! ```
//!
//! `-flush` opens a home that is there, and makes none.
//!
//! Everything that touches the home runs on a thread beside the event loop: its disk may hang, and signals must be obeyed
//! all the same.

use std::convert::Infallible;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::disk_wait::DiskWait;
use super::unusable;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::home::{self, Credentials, GoUpdates, Home, HomeError};
use crate::node;
use crate::spool::{Contents, Limits, Spool};
use crate::systemd::{Heartbeat, Systemd};

/// The pause between two looks whether the file system of the home is mounted.
const MOUNT_PAUSE: Duration = Duration::from_secs(1);

/// A home that this process has locked, and what is in it.
pub(super) struct OpenedHome {
    pub(super) home: Home,
    /// `None` before the first registration.
    pub(super) known: Option<Credentials>,
    /// What the spool holds.
    pub(super) contents: Contents,
}

/// Opens the home, and meanwhile shows systemd that this process lives.
///
/// # Errors
/// How the process is to end. Why is logged.
pub(super) async fn open(
    config: &Config,
    environment: &Environment,
    systemd: &Systemd,
) -> Result<OpenedHome, Departure> {
    tokio::select! {
        opened = open_home(config, environment, systemd) => opened,
        never = signs_of_life(systemd) => match never {},
    }
}

/// Waits until the home is mounted, and while the disk has no room for what belongs there.
async fn open_home(config: &Config, environment: &Environment, systemd: &Systemd) -> Result<OpenedHome, Departure> {
    let folder = home::locate(config, environment).map_err(unusable)?;
    let disk_wait = DiskWait {
        systemd,
        pause: config.timings.idle_min,
    };
    wait_for_mount(&folder, config, &disk_wait).await;
    let opened = lock_and_read(folder, config, &disk_wait).await?;
    warn_of_go_updates(opened.home.dir()).await;
    Ok(opened)
}

/// Opens a home for what waits in it. `None` where no worker of ours has been; nothing is made there then.
///
/// # Errors
/// How the process is to end. Why is logged.
pub(super) async fn open_existing(folder: PathBuf, config: &Config) -> Result<Option<OpenedHome>, Departure> {
    let disk_wait = DiskWait {
        systemd: &Systemd::default(),
        pause: config.timings.idle_min,
    };
    wait_for_mount(&folder, config, &disk_wait).await;
    warn_of_go_updates(&folder).await;
    let looked_at = folder.clone();
    let found = run_blocking(move || (home::spool_of(&looked_at).is_dir(), home::is_another_users(&looked_at)));
    match found.await {
        (false, _) => Ok(None),
        (true, Some(owner)) => Err(not_roots(&folder, &owner)),
        (true, None) => lock_and_read(folder, config, &disk_wait).await.map(Some),
    }
}

fn not_roots(folder: &Path, owner: &str) -> Departure {
    error!(
        home = %folder.display(),
        "the home belongs to {owner}, and what root writes there its worker could not read: do this as {owner}, with \
         `setpriv --reuid={owner} --regid={owner} --init-groups`, or `sudo -u {owner}`"
    );
    Departure::BadConfiguration
}

/// What follows when the home is where it is to be.
async fn lock_and_read(folder: PathBuf, config: &Config, disk_wait: &DiskWait<'_>) -> Result<OpenedHome, Departure> {
    let home = disk_wait
        .retry_while_full(async || Home::open(folder.clone(), config.timings.lock_timeout).await)
        .await
        .map_err(no_home)?;
    // They are read this early because a broken file is for the operator to repair, and a wait for the disk may follow.
    let known = home.credentials().await.map_err(unusable)?;
    if let Some(known) = &known {
        home.claim(&known.id).map_err(no_home)?;
        warn_of_copy(&home).await;
    }
    debug!(home = %home.dir().display(), "home is ours");
    let spool = home.spool_dir();
    let contents = disk_wait
        .retry_while_full(async || Spool::read(&spool, limits(config), &config.timings).await)
        .await
        .map_err(unusable)?;
    Ok(OpenedHome { home, known, contents })
}

async fn signs_of_life(systemd: &Systemd) -> Infallible {
    let mut heartbeat = Heartbeat::new(systemd.clone());
    loop {
        heartbeat.due().await;
        heartbeat.send();
    }
}

/// Waits until the file system of the home is mounted. Before that an empty folder is in its place, and a worker that
/// starts in it registers a second time.
async fn wait_for_mount(folder: &Path, config: &Config, disk_wait: &DiskWait<'_>) {
    let mut announced = false;
    loop {
        let (home, needed) = (folder.to_owned(), config.node.mounted.clone());
        let find_missing = move || node::not_mounted_yet(&home, &needed, home::has_credentials(&home));
        let Some(missing) = run_blocking(find_missing).await else {
            return;
        };
        if !mem::replace(&mut announced, true) {
            let why = format!(
                "nothing is mounted at {} yet, where the home is to be: waiting for it",
                missing.display()
            );
            warn!(home = %folder.display(), "{why}");
            disk_wait.announce(&why);
        }
        sleep(MOUNT_PAUSE).await;
    }
}

pub(super) fn no_home(error: HomeError) -> Departure {
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

/// Warns of credentials that were copied with a node: two workers then take each other's tasks.
async fn warn_of_copy(home: &Home) {
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

/// Warns of what the Go worker was to tell the Manager, and did not.
async fn warn_of_go_updates(home: &Path) {
    let dir = home.to_owned();
    if let Some(left) = run_blocking(move || GoUpdates::of(&dir)).await {
        warn!(
            file = %left.file.display(),
            updates = %left.count,
            "Flamenco's own worker left updates of tasks that the Manager does not have: {}",
            left.advice()
        );
    }
}

pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        task_log_bytes: config.spool.task_log_limit,
        history_tasks: config.spool.history_tasks,
        ..Limits::default()
    }
}
