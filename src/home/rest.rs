// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether this worker sleeps of its own accord: `resting` is there from before the Manager is told until it is awake.
//!
//! The Manager takes the state of a worker that signs off for what is wished of it the next time. A worker that
//! sleeps because it handed a task back would so stay asleep until somebody wakes it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use super::Home;
use crate::files;

const NAME: &str = "resting";

impl Home {
    pub fn rests(&self) -> bool {
        let path = self.dir.join(NAME);
        self.files.run(move || path.try_exists()).unwrap_or(false)
    }

    /// Empty, so that it can be made on a full disk, too. Not synced: after a power cut there is at most a sleeper.
    ///
    /// # Errors
    /// Whatever the file system says. A worker can go on without the mark.
    pub fn remember_rest(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            files::open_with(&path, &mut options).map(drop)
        })
    }

    /// # Errors
    /// Whatever the file system says.
    pub fn forget_rest(&self) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || files::remove_if_there(&path))
    }
}
