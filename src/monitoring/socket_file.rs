// SPDX-License-Identifier: GPL-3.0-or-later

//! The file of a socket, from its making to its removal.
//!
//! A worker that was killed leaves one behind, which nobody listens on: it is taken over. One that somebody listens on, and
//! anything else in its place, is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{SocketListener, Thread, connect_within};

/// For the worker's user and its group: what is told is no secret, and none of everybody's business.
const MODE: u32 = 0o660;

/// Who listens takes a connection at once, or has a full queue.
const LISTENER: Duration = Duration::from_secs(1);

/// A socket of ours. The file goes with this.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file: somebody may have put another one in its place since.
    identity: (u64, u64),
}

/// Makes a socket that is listened on. Blocks.
///
/// # Errors
/// When there is another file, somebody listens on it, or the folder is not there or not ours to write.
pub(super) fn make(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_deserted(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    listener.set_nonblocking(true)?;
    let file = fs::symlink_metadata(path)?;
    let socket = SocketFile {
        path: path.to_owned(),
        identity: (file.dev(), file.ino()),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok((listener, socket))
}

/// Removes a socket that nobody listens on.
fn remove_deserted(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
    }
    match connect_within(path, LISTENER)? {
        SocketListener::Nobody => fs::remove_file(path),
        SocketListener::Connected(_) | SocketListener::Busy => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
    }
}

impl SocketFile {
    fn remove(path: &Path, identity: (u64, u64)) {
        let ours = fs::symlink_metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == identity);
        if ours {
            fs::remove_file(path).ok();
        }
    }
}

impl Drop for SocketFile {
    /// In a thread of its own, which is waited for, shortly: the file system may hang. The runtime, where it ends, drops what it
    /// has not begun.
    fn drop(&mut self) {
        let (path, identity) = (std::mem::take(&mut self.path), self.identity);
        let remove = move || {
            Self::remove(&path, identity);
            Ok(())
        };
        // It can stay: the next one takes it over.
        Thread::start().and_then(|thread| thread.run(remove)).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    fn kind(path: &Path) -> io::ErrorKind {
        make(path).unwrap_err().kind()
    }

    #[test]
    fn a_deserted_socket_is_taken_over_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let (listener, socket) = make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        // As after a kill: nothing removes it.
        drop(listener);
        mem::forget(socket);
        let (listener, socket) = make(&path).unwrap();
        drop(listener);
        drop(socket);
        assert!(!path.exists(), "it goes at once, also as the process ends");
        fs::write(&path, "").unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(&folder.path().join("none/metrics.sock")), io::ErrorKind::NotFound);
    }

    #[test]
    fn j21_one_who_listens_and_takes_nobody_is_left_alone_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let _stopped = UnixListener::bind(&path).unwrap();
        let mut queue = Vec::new();
        while let SocketListener::Connected(stream) = connect_within(&path, Duration::from_millis(1)).unwrap() {
            queue.push(stream);
        }
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[test]
    fn only_our_own_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let (_listener, socket) = make(&path).unwrap();
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        fs::write(&path, "").unwrap();
        SocketFile::remove(&path, socket.identity);
        assert!(path.exists());
        fs::rename(folder.path().join("elsewhere"), &path).unwrap();
        SocketFile::remove(&path, socket.identity);
        assert!(!path.exists());
    }
}
