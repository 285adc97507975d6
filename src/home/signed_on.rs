// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether the last run signed off: the file `signed-on` is there from before a sign-on until after a sign-off.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use super::open::Home;
use crate::blocking::run_blocking_within;
use crate::{clock, files};

const NAME: &str = "signed-on";

/// A disk that does not answer keeps the worker from its work for no longer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Home {
    /// Whether a run signed on and did not sign off: the Manager may still think it has a task. Where this
    /// cannot be told it is taken to be so; to sign off once more costs one request.
    pub(crate) fn signed_on(&self) -> bool {
        let path = self.dir.join(NAME);
        self.files.run(move || path.try_exists()).unwrap_or(true)
    }

    /// Remembers a sign-on that is about to be made. The mark is on the disk when this returns: it is there for the case of a
    /// power cut. Costs a few milliseconds once per start.
    ///
    /// # Errors
    /// Whatever the file system says. A worker can go on without the mark.
    pub(crate) async fn remember_signed_on(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        let text = format!(
            "pid: {}\nboot: {}\ntime: {}\n",
            nix::unistd::getpid(),
            clock::boot_id(),
            clock::timestamp().strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        let write = move || files::replace_durably(&path, text.as_bytes());
        run_blocking_within(sleep(PATIENCE), write)
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Forgets it after a sign-off. Not synced: should a power cut bring it back, the next start signs off once more.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn forget_signed_on(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || files::remove_if_there(&path))
    }
}
