// SPDX-License-Identifier: GPL-3.0-or-later

//! The few ways in which the spool touches the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;
use crate::protocol::AssignedTask;

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

/// Puts `value` in the place of a file, as [`files::replace`] does.
pub(super) fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    files::replace(path, &serde_json::to_vec(value)?)
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
