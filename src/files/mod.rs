// SPDX-License-Identifier: GPL-3.0-or-later

//! Files as they are meant to be: regular ones, of a size that makes sense.
//!
//! Where a file is expected there may be anything: a named pipe, whose opening waits for a process that writes; a device
//! that never ends; a file of a terabyte. Everything that is read by a path from outside, or that a task could have put
//! there, goes through here. A socket or a folder is refused as well, and links are followed, but by [`open_unlinked`].
//!
//! A file system may also stand still (a frozen snapshot, a server that is gone): what the event loop has to do with the
//! files of the home it lets a [`Thread`] do.

mod replace;
mod socket;
mod thread;

use std::env;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::statvfs::statvfs;

pub(crate) use self::replace::{UNFINISHED, create_anew, remove_if_there, replace, replace_durably, sync_directory_of};
pub(crate) use self::socket::{SocketListener, connect_within};
pub(crate) use self::thread::{Thread, is_standstill};

/// The folder for what is of use for a while, as the environment names it: `TMPDIR`, else `/tmp`. What is empty is not set.
#[expect(clippy::disallowed_methods, reason = "all others call this")]
pub(crate) fn temporary_folder() -> PathBuf {
    Some(env::temp_dir())
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| "/tmp".into())
}

/// Opens a file to be read.
///
/// # Errors
/// What the system says; `InvalidInput` for what is no regular file, with what it is instead.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// Opens or makes a file as `options` say, but for their flags. Never waits for the other end of a pipe.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Before it is opened: to open a device may do something (a watchdog begins to count). After: it may have changed.
    if let Ok(found) = fs::metadata(path) {
        regular(found.file_type())?;
    }
    // The standard library adds O_CLOEXEC. To a regular file O_NONBLOCK means nothing.
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Opens a file to be read, where a link is none: whoever may write there could have put one to anything.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_unlinked(path: &Path) -> io::Result<File> {
    regular(fs::symlink_metadata(path)?.file_type())?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads all of a file, which has at most `most` bytes.
///
/// # Errors
/// As [`open`]; `FileTooLarge`.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// All of a text in UTF-8, which has at most `most` bytes.
///
/// # Errors
/// As [`read`]; `InvalidData`.
pub(crate) fn read_to_string(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

/// Bytes that this user may still write to the file system of `path`. Blocks.
///
/// # Errors
/// What statvfs(3) says: the path is not there, or the file system does not tell.
pub(crate) fn free_space(path: &Path) -> nix::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Whether an error means that the disk has no room, or none for this user: that passes.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error means that this process or the system has no descriptor or no memory left, which says nothing of the
/// file: that passes.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

fn regular(kind: FileType) -> io::Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        kind if kind.is_symlink() => "a link",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {what}, not a file"),
    ))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn i22_what_is_no_file_is_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let error = |path: &Path| read(path, 10).unwrap_err().to_string();
        assert_eq!(error(&path), "it is a named pipe, not a file");
        assert_eq!(error(Path::new("/dev/zero")), "it is a device, not a file");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(open(&link).is_ok());
        assert_eq!(
            open_unlinked(&link).unwrap_err().to_string(),
            "it is a link, not a file"
        );
        assert_eq!(read(dir.path(), 1).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let mut write = OpenOptions::new();
        write.write(true).create(true).truncate(true);
        assert!(open_with(&path, &mut write).is_err());
        // Also with a process at the other end.
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(open_with(&path, &mut write).is_err());
    }

    #[test]
    fn i22_a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_to_string(&path, 5).unwrap(), "12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_to_string(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
