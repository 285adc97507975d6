// SPDX-License-Identifier: GPL-3.0-or-later

//! Slow work on the disk, done beside the sender: makes an outcome safe that the Manager has not taken within a second, and
//! prunes the history.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::disk;
use super::shared::{Shared, SharedFolder};
use super::task_folder::TaskFolder;
use crate::blocking::run_blocking;
use crate::chain::chain;

/// So many folders that went to the history within this time are pruned together: looking at all of it costs
/// about as much as a short task.
const PRUNE_PAUSE: Duration = Duration::from_secs(10);

/// Syncs outcomes that have waited for `outcome_sync`. A commit between two tasks would cost more than both
/// requests of a short one, so one that is accepted at once never sees any.
pub(super) async fn sync_outcomes(shared: &Shared) -> Infallible {
    let mut reports = shared.pending.subscribe();
    loop {
        let next = earliest(shared);
        let due = async {
            match &next {
                Some((at, _)) => sleep_until(*at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            _other = reports.changed() => continue,
        }
        if let Some((_, folder)) = next {
            sync(&folder).await;
        }
    }
}

/// The outcome that is to be synced first, and when.
fn earliest(shared: &Shared) -> Option<(Instant, SharedFolder)> {
    let (since, folder) = shared.least(TaskFolder::unsynced_since)?;
    Some((since + shared.context.timings.outcome_sync, folder))
}

async fn sync(folder: &SharedFolder) {
    let (path, begun) = {
        let folder = folder.borrow();
        (folder.path.clone(), folder.begun)
    };
    let synced = path.clone();
    let done = run_blocking(move || disk::sync_folder(&synced)).await;
    // What failed is not tried again. Another run of the task may have begun and ended meanwhile.
    if folder.borrow().begun == begun {
        folder.borrow_mut().mark_synced();
    }
    match done {
        Ok(()) => debug!(path = %path.display(), "an outcome waits, safe against a power cut"),
        // Delivered meanwhile, the folder has moved away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(
            path = %path.display(),
            error = chain(&error),
            "an outcome waits and cannot be synced to the disk"
        ),
    }
}

/// Prunes the history at the start and after what went there.
pub(super) async fn prune_history(shared: &Shared) -> Infallible {
    loop {
        run_blocking(shared.pruning()).await;
        shared.to_prune.notified().await;
        sleep(PRUNE_PAUSE).await;
    }
}
