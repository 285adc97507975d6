// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the program of this process is, which its successors are started from.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The program that is started as a guard and to read pictures: this one, also after its file was replaced.
pub(crate) const OURSELVES: &str = "/proc/self/exe";

/// Where the program of this process is, as far as that is the one that was started: by the name that it was started by, so
/// that a link that leads elsewhere by now is followed.
pub(crate) fn own_path() -> PathBuf {
    let own = present(env::current_exe().unwrap_or_default());
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let running = identity(Path::new(OURSELVES));
    let named = env::args_os().next().and_then(|name| find(&name));
    named
        .filter(|path| running.is_some() && identity(path) == running)
        .unwrap_or(own)
}

/// Without what the kernel says behind the name of a file that was replaced.
fn present(own: PathBuf) -> PathBuf {
    let replaced = own.as_os_str().as_bytes().strip_suffix(b" (deleted)");
    match replaced {
        Some(path) if !own.exists() => PathBuf::from(OsStr::from_bytes(path)),
        Some(_) | None => own,
    }
}

fn find(name: &OsStr) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.components().count() > 1 {
        return std::path::absolute(path).ok();
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_looked_for_in_its_old_place() {
        assert_eq!(present("/none/worker (deleted)".into()), Path::new("/none/worker"));
        assert_eq!(present("/none/worker".into()), Path::new("/none/worker"));
    }
}
