// SPDX-License-Identifier: GPL-3.0-or-later

//! Small files that survive a power cut: whole, old or new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path`: written beside it with mode 0600, synced, renamed over it, and the directory synced.
/// After an error the old file is as it was. Only one process may do this in a directory: ours has its lock.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = Path::new(&name);
    // A leftover of a power cut may have any mode, or be half a file.
    remove_if_there(beside)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(beside, path)) {
        // The first error is the one to tell.
        drop(fs::remove_file(beside));
        return Err(error);
    }
    sync_directory_of(path)
}

/// Makes a rename or a new name last.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn b10_what_a_power_cut_left_beside_is_not_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::write(dir.path().join("file.new"), "ha").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!dir.path().join("file.new").exists());
    }

    #[test]
    fn b10_a_failed_replacement_leaves_the_old_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        // A directory with something in it cannot be renamed over.
        let path = dir.path().join("file");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("in it"), "").unwrap();
        assert!(replace(&path, b"new").is_err());
        assert!(path.join("in it").exists());
        assert!(!dir.path().join("file.new").exists());
    }
}
