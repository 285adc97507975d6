// SPDX-License-Identifier: GPL-3.0-or-later

//! The few ways in which the spool touches the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statvfs::statvfs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;
use crate::protocol::AssignedTask;

/// End of the name of a file or folder that is not finished; whatever bears it at a start is removed.
pub(super) const UNFINISHED: &str = ".new";

/// What was assigned is some KB, and at most the largest task with when it began. The other records are shorter.
const LARGEST_RECORD: u64 = AssignedTask::LONGEST_WRITTEN as u64 + (1 << 10);

/// Makes a folder for this user only, with those above it. It may be there already.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file to be read and written; other users of the machine cannot.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    files::open_with(path, &mut options)
}

/// Puts `value` in the place of a file: after it, also after a crash, there is the old one or the new one.
/// After a power cut that holds only once the file was synced, or on a file system that orders a rename
/// behind the data (ext4 and btrfs do, for a rename onto an existing file).
pub(super) fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    put(path, &serde_json::to_vec(value)?)
}

/// The same of what is text already.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let mut file = new_file(Path::new(&unfinished))?;
    let written = file.write_all(bytes);
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        // On a full disk it would be in the way of the next try.
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    Ok(())
}

/// Makes a file for this user only, or empties the one that is there. A task could have put anything in its place: what
/// is no file goes.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    match files::open_with(path, &mut options) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            fs::remove_file(path)?;
            files::open_with(path, &mut options)
        }
        opened => opened,
    }
}

/// Whether the disk has no room, or none for us.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes that we may still write to the file system of `folder`; `None` where it does not tell.
pub(super) fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Reads what [`replace`] wrote; `None` when there is no such file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match files::read(path, LARGEST_RECORD) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a folder and the files in it safe against a power cut. Slow: not for the event loop.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files::open(&entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_replaced_can_be_read_again_and_only_by_us() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        make_folder(&folder).unwrap();
        let path = folder.join("x.json");
        assert_eq!(read::<String>(&path).unwrap(), None);
        for word in ["one", "two"] {
            replace(&path, &word).unwrap();
            assert_eq!(read::<String>(&path).unwrap().as_deref(), Some(word));
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no unfinished file stays");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        sync_folder(&folder).unwrap();
    }
}
