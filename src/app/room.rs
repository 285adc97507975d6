// SPDX-License-Identifier: GPL-3.0-or-later

//! A start on a full disk: a trouble that passes, and none that a person has to answer with a start by hand.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::chain::chain;
use crate::systemd::Systemd;

/// How a start that has to wait is told, and how often it tries.
pub(super) struct Patience<'a> {
    pub(super) systemd: &'a Systemd,
    pub(super) pause: Duration,
}

impl Patience<'_> {
    /// Tries until there is room for it. Meanwhile we are up, as for a Manager that is away.
    ///
    /// # Errors
    /// What is not for want of room.
    pub(super) async fn until_there_is_room<T, E: Error + 'static>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut said = false;
        loop {
            let error = match attempt().await {
                Err(error) if is_for_want_of_room(&error) => error,
                done => {
                    if said {
                        info!("there is room again");
                    }
                    return done;
                }
            };
            if !said {
                warn!(
                    error = chain(&error),
                    "no room on the disk: waiting until there is some"
                );
                self.tell("waiting for room on the disk");
                said = true;
            }
            sleep(self.pause).await;
        }
    }

    /// We are up, and this is what we wait for.
    pub(super) fn tell(&self, what: &str) {
        self.systemd.ready();
        self.systemd.status(what);
    }
}

/// Whether a full disk, one without inodes, or a quota is at the bottom of an error.
fn is_for_want_of_room(error: &(dyn Error + 'static)) -> bool {
    let full = |error: &(dyn Error + 'static)| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    };
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
        let patience = Patience {
            systemd: &Systemd::default(),
            pause: Duration::from_secs(5),
        };
        let done = patience
            .until_there_is_room(async || {
                tries.set(tries.get() + 1);
                if tries.get() < 4 { Err(full()) } else { Ok(tries.get()) }
            })
            .await;
        assert_eq!(done.unwrap(), 4);
        let denied = patience
            .until_there_is_room(async || Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)))
            .await;
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
