// SPDX-License-Identifier: GPL-3.0-or-later

//! Removes whatever is at a path, never what a link there points to.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Removes a file, a link or a folder with all that is in it; nothing there is success. Blocks.
///
/// # Errors
/// Of the first entry that cannot be removed. A folder of ours without permissions is no hindrance.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match remove_plainly(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_folders(path);
            remove_plainly(path)
        }
        removed => removed,
    }
}

fn remove_plainly(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Gives every folder below `path` back to its owner; those that cannot be are met again by the removal.
fn open_folders(path: &Path) {
    let mut todo = vec![PathBuf::from(path)];
    while let Some(folder) = todo.pop() {
        if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        let _met_again = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        todo.extend(
            fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path()),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_removed_and_their_targets_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, gone) = (folder.path().join("kept"), folder.path().join("gone"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("precious"), "x").unwrap();
        fs::create_dir_all(gone.join("a/b")).unwrap();
        symlink(&kept, gone.join("a/link")).unwrap();
        symlink(&kept, folder.path().join("link")).unwrap();
        remove(&gone).unwrap();
        remove(&folder.path().join("link")).unwrap();
        remove(&folder.path().join("never")).unwrap();
        assert!(kept.join("precious").exists() && !gone.exists() && !folder.path().join("link").exists());
    }

    #[test]
    fn folders_without_permissions_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        fs::create_dir_all(gone.join("a/b")).unwrap();
        fs::write(gone.join("a/b/c"), "x").unwrap();
        for closed in ["a/b", "a"] {
            fs::set_permissions(gone.join(closed), Permissions::from_mode(0o000)).unwrap();
        }
        // As root nothing is closed, so the first step is tried by itself too.
        open_folders(&gone);
        let mode = fs::metadata(gone.join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        remove(&gone).unwrap();
        assert!(!gone.exists());
    }
}
