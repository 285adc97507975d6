// SPDX-License-Identifier: GPL-3.0-or-later

//! Which machine the credentials were made on: an image that was made of a node after its registration gives every
//! copy the same identity, and the copies take each other's tasks.
//!
//! `machine` holds the machine's id (machine-id(5)), which copies are told to make anew. It is no proof: a machine
//! that was set up again with its old home looks the same. So it is logged, and changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use super::open::Home;
use crate::blocking::run_blocking;
use crate::files;

const NAME: &str = "machine";
const MACHINE_ID: &str = "/etc/machine-id";
/// Of both files.
const LARGEST: u64 = 4096;

impl Home {
    /// Whether the credentials were made on another machine; then the path of the file that says so. Credentials
    /// without such a file (the Go worker's) are taken to be of this one from now on.
    ///
    /// # Errors
    /// Whatever the file system says. A worker can go on without this.
    pub(crate) async fn of_another_machine(&self) -> io::Result<Option<PathBuf>> {
        let path = self.machine_file();
        run_blocking(move || {
            let Some(here) = machine_id() else { return Ok(None) };
            match files::read_to_string(&path, LARGEST) {
                Ok(there) => Ok((there.trim() != here).then_some(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => note(&path).map(|()| None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(super) fn machine_file(&self) -> PathBuf {
        self.dir.join(NAME)
    }
}

/// Remembers this machine, for credentials that are made here.
pub(super) fn note(path: &Path) -> io::Result<()> {
    match machine_id() {
        Some(here) => files::replace_durably(path, format!("{here}\n").as_bytes()),
        None => Ok(()),
    }
}

/// What tells this machine from others: its id, its name. A copy may keep one of them.
pub(crate) fn this_machine() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    format!("{} {}", machine_id().unwrap_or_default(), name.to_string_lossy())
}

/// `None` where there is none, as in many containers, or not yet (`uninitialized`, in a first boot).
fn machine_id() -> Option<String> {
    let text = files::read_to_string(MACHINE_ID.as_ref(), LARGEST).ok()?;
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}
