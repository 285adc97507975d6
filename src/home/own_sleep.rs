// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether this worker sleeps by itself, and not because the Manager asked for it: the file `resting` is there from before
//! the Manager is told until the worker is awake.
//!
//! The Manager takes the state of a worker that signs off for what is wished of it the next time. A worker that
//! sleeps because it handed a task back would so stay asleep until a person wakes it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use super::open::Home;
use crate::files;

const NAME: &str = "resting";

impl Home {
    /// Whether the last sleep was by itself, and is not over; `false` where that cannot be told.
    pub(crate) fn sleeps_by_itself(&self) -> bool {
        let path = self.dir.join(NAME);
        self.files.run(move || path.try_exists()).unwrap_or(false)
    }

    /// Remembers that this worker sleeps by itself. The file is empty, so that it can be made on a full disk, too. It is not
    /// synced: after a power cut there is at most a worker that sleeps.
    ///
    /// # Errors
    /// Whatever the file system says. A worker can go on without the mark.
    pub(crate) fn remember_own_sleep(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            files::open_with(&path, &mut options).map(drop)
        })
    }

    /// Forgets it, when the worker is awake.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn forget_own_sleep(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || files::remove_if_there(&path))
    }
}
