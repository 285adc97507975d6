// SPDX-License-Identifier: GPL-3.0-or-later

//! Replaces a file as a whole: after a crash there is the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// End of the name of a file or folder that is not finished; one that is found at a start is a leftover.
pub(crate) const UNFINISHED: &str = ".new";

/// Puts `bytes` in the place of a file. Other users of the machine cannot read it (mode 0600). After a crash of this
/// process there is the old file or the new one. After a power cut that holds only once the file was synced, or on a
/// file system that orders a rename behind the data (ext4 and btrfs do, for a rename onto an existing file). Only one
/// process may replace a file at a time.
///
/// # Errors
/// Whatever the file system says; the old file is then as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_and_rename(path, bytes, |_| Ok(()))
}

/// Replaces a file as [`replace`] does. The new file is on the disk when this returns, which takes some milliseconds.
///
/// # Errors
/// Whatever the file system says; the old file is then as it was, unless only the folder could not be synced.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_and_rename(path, bytes, File::sync_all)?;
    sync_directory_of(path)
}

fn write_and_rename(path: &Path, bytes: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = Path::new(&unfinished);
    let mut file = create_anew(unfinished)?;
    let written = file.write_all(bytes).and_then(|()| finish(&file));
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(unfinished, path)) {
        // On a full disk it would be in the way of the next try. The first error is the one to tell.
        fs::remove_file(unfinished).ok();
        return Err(error);
    }
    Ok(())
}

/// Makes a new file for this user only (mode 0600). What had its name goes before: a leftover of a power cut may have any
/// mode, and a task could have put anything there.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn create_anew(path: &Path) -> io::Result<File> {
    remove_if_there(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a rename or a new name last: syncs the folder in which `path` is.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file that may be gone already.
///
/// # Errors
/// Whatever the file system says but that there is no such file.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    type Replace = fn(&Path, &[u8]) -> io::Result<()>;

    const WAYS: [Replace; 2] = [replace, replace_durably];

    #[test]
    fn b10_what_a_power_cut_left_beside_is_not_in_the_way() {
        for replace in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            fs::write(&path, "old").unwrap();
            fs::write(dir.path().join("file.new"), "ha").unwrap();
            replace(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!dir.path().join("file.new").exists());
        }
    }

    #[test]
    fn b10_a_failed_replacement_leaves_the_old_and_nothing_beside() {
        for replace in WAYS {
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
}
