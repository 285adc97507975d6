// SPDX-License-Identifier: GPL-3.0-or-later

//! The temporary directory of a task: a killed Blender leaves its session behind, and nobody else would
//! remove it. Named `flamenco-MARK-TASK`, so that the next start finds what a killed worker left.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::command::{HandBack, Scratch};
use crate::trees::remove;

/// Longest part of a name that comes from elsewhere, in bytes; a UUID has 36.
const NAME_KEPT: usize = 64;

/// The directory, there until it is removed.
#[derive(Debug)]
pub(super) struct TaskDir(PathBuf);

impl TaskDir {
    /// A new one, empty and for its owner alone.
    pub(super) async fn make(scratch: &Scratch, task: &str) -> Result<Self, HandBack> {
        let path = scratch.folder.join(format!("{}{}", prefix(scratch), plain(task)));
        let made = {
            let path = path.clone();
            off_the_loop(move || {
                // The same task may have been here before.
                remove(&path)?;
                DirBuilder::new().mode(0o700).create(&path)
            })
        };
        match made.await {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(HandBack::CannotStart(format!(
                "no temporary directory {}: {error}",
                path.display()
            ))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it and all that is in it.
    pub(super) async fn remove(self) {
        let path = self.0.clone();
        if let Err(error) = off_the_loop(move || Ok(remove(&path)?)).await {
            warn!(path = %self.0.display(), "cannot remove the task's temporary directory: {error}");
        }
    }
}

/// Removes the temporary directories that a predecessor of the same mark left. For the start, when
/// nothing of it runs any more. What cannot be removed is said in the daemon's log.
pub async fn clean_leftovers(scratch: &Scratch) {
    let scratch = scratch.clone();
    let cleaned = off_the_loop(move || {
        let prefix = prefix(&scratch);
        for entry in fs::read_dir(&scratch.folder)?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(&prefix) {
                continue;
            }
            let path = entry.path();
            match remove(&path) {
                Ok(()) => info!(path = %path.display(), "removed a temporary directory of a task that was cut off"),
                Err(error) => warn!(path = %path.display(), "cannot remove a temporary directory: {error}"),
            }
        }
        Ok(())
    });
    if let Err(error) = cleaned.await {
        warn!("cannot look for temporary directories: {error}");
    }
}

fn prefix(scratch: &Scratch) -> String {
    // No `-` in the mark: one mark must not be the beginning of another.
    format!("flamenco-{}-", plain(&scratch.mark).replace('-', "_"))
}

/// What may be in a name: the Manager's word is not trusted with a `/`.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    text.chars().take(NAME_KEPT).map(plain).collect()
}

async fn off_the_loop(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
