// SPDX-License-Identifier: GPL-3.0-or-later

//! A start on a full disk waits for room. The trouble passes, and then the worker must not need a start by hand.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::chain::chain;
use crate::files::is_full;
use crate::systemd::Systemd;

/// How a start waits for the disk.
pub(super) struct DiskWait<'a> {
    /// Gets the reason of the wait as our status.
    pub(super) systemd: &'a Systemd,
    /// Between two attempts.
    pub(super) pause: Duration,
}

impl DiskWait<'_> {
    /// Repeats an attempt until there is room for it. Meanwhile systemd counts this process as started, as it does while the
    /// Manager is away.
    ///
    /// # Errors
    /// Those of the attempt that do not come from a full disk.
    pub(super) async fn retry_while_full<T, E: Error + 'static>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut announced = false;
        loop {
            let error = match attempt().await {
                Err(error) if is_disk_full(&error) => error,
                done => {
                    if announced {
                        info!("there is room again");
                    }
                    return done;
                }
            };
            if !announced {
                warn!(
                    error = chain(&error),
                    "no room on the disk: waiting until there is some"
                );
                self.announce("waiting for room on the disk");
                announced = true;
            }
            sleep(self.pause).await;
        }
    }

    /// Tells systemd that this process has started, and what it waits for.
    pub(super) fn announce(&self, what: &str) {
        self.systemd.ready();
        self.systemd.status(what);
    }
}

/// Whether a full disk, one without inodes, or a quota is at the bottom of an error.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let full = |error: &(dyn Error + 'static)| error.downcast_ref::<io::Error>().is_some_and(is_full);
    successors(Some(error), |error| (**error).source()).any(full)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::spool::SpoolError;

    fn full() -> SpoolError {
        SpoolError::Folder {
            path: "/x".into(),
            source: io::ErrorKind::StorageFull.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn i20_a_full_disk_is_waited_for_and_nothing_else_is() {
        let tries = Cell::new(0);
        let disk_wait = DiskWait {
            systemd: &Systemd::default(),
            pause: Duration::from_secs(5),
        };
        let done = disk_wait
            .retry_while_full(async || {
                tries.set(tries.get() + 1);
                if tries.get() < 4 { Err(full()) } else { Ok(tries.get()) }
            })
            .await;
        assert_eq!(done.unwrap(), 4);
        let denied = disk_wait
            .retry_while_full(async || Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)))
            .await;
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
