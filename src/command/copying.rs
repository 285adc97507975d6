// SPDX-License-Identifier: GPL-3.0-or-later

//! Copies files and trees so that a destination is there whole or not at all.
//!
//! ```text
//! source ── contents, tree ──► .NAME.flamenco-part ── publish ──► NAME
//!                                    └─ dropped (abort, error): removed
//! ```
//!
//! A worker that is killed leaves the part behind; the next copy to the same name removes it. It is never
//! written over: it may be another name of a file that was published.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::file_work::{FileWork, FileWorkError, error_text};
use super::text::quoted;
use crate::trees::{PathHandle, open_below, open_folder, remove};

/// How much is copied between two looks at the abort: a second or less on a slow network.
const CHUNK: u64 = 4 << 20;
/// The end of a part's name.
const PART: &str = ".flamenco-part";
/// A name may have 255 bytes; this many of it, and what is put around it, fit.
const NAME_KEPT: usize = 200;
/// How often a part that somebody else left, or is just leaving, is met before this gives up.
const CLAIMS: usize = 3;

/// The destination while it is being made, beside its place. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct PartialCopy {
    path: PathBuf,
    /// Holds a lock, where the file system has locks, so that two workers do not share a part.
    file: File,
    published: bool,
}

impl PartialCopy {
    /// A new file for `dest`, for writing, with the mode that any new file gets.
    pub(super) fn file(dest: &Path) -> io::Result<Self> {
        Self::claim(dest, |path| {
            OpenOptions::new().write(true).create_new(true).mode(0o666).open(path)
        })
    }

    /// A new folder for `dest`, for its owner alone.
    pub(super) fn folder(dest: &Path) -> io::Result<Self> {
        Self::claim(dest, |path| {
            DirBuilder::new().mode(0o700).create(path)?;
            File::open(path)
        })
    }

    fn claim(dest: &Path, make: fn(&Path) -> io::Result<File>) -> io::Result<Self> {
        let path = hidden_name(dest, PART)?;
        for _ in 0..CLAIMS {
            match make(&path) {
                Ok(file) => {
                    return match file.try_lock() {
                        Err(TryLockError::WouldBlock) => Err(busy_error()),
                        // Not every network file system has locks.
                        Err(TryLockError::Error(_)) | Ok(()) => Ok(Self {
                            path,
                            file,
                            published: false,
                        }),
                    };
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_leftover(&path)?,
                Err(error) => return Err(error),
            }
        }
        Err(busy_error())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For the contents, if this is a file.
    pub(super) fn writer(&self) -> &File {
        &self.file
    }

    /// Gives it its name. The contents of a file are on the disk by then: a server may refuse them
    /// only now, for want of space. Nothing is replaced: an existing `dest` is an error.
    pub(super) fn publish(mut self, dest: &Path) -> io::Result<()> {
        let (ours, there) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            self.published = true;
            return Err(busy_error());
        }
        if ours.is_dir() {
            sync_folder(&self.path);
        } else {
            self.file.sync_all()?;
            match fs::hard_link(&self.path, dest) {
                // Dropped, the other name goes.
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
                // FAT and some network file systems have no hard links.
                Err(_) => {}
            }
        }
        if fs::symlink_metadata(dest).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, dest)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for PartialCopy {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed by the next copy to this name.
            let _left = remove(&self.path);
        }
    }
}

/// `.NAME` and `end` beside `path`, with a NAME cut so far that it fits.
pub(super) fn hidden_name(path: &Path, end: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let kept = &name.as_bytes()[..name.len().min(NAME_KEPT)];
    let hidden = [b".", kept, end.as_bytes()].concat();
    Ok(path.with_file_name(OsString::from_vec(hidden)))
}

/// Removes a part that a killed worker left; one that is in use is an error.
fn remove_leftover(path: &Path) -> io::Result<()> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path)
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Err(busy_error());
    }
    Ok(remove(path)?)
}

fn busy_error() -> io::Error {
    io::Error::new(
        ErrorKind::ResourceBusy,
        "another process is making the same destination",
    )
}

/// Copies from where `src` stands to its end. Uses the kernel's own copying where both sides have it.
pub(super) fn copy_contents(src: &File, dest: &File, work: &FileWork) -> Result<io::Result<()>, FileWorkError> {
    let mut dest = dest;
    loop {
        work.check()?;
        match io::copy(&mut src.take(CHUNK), &mut dest) {
            Ok(0) => return Ok(Ok(())),
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Opens a file for reading without waiting for anybody, as a FIFO would.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    refuse_processes(&file)?;
    Ok(file)
}

/// Refuses what the kernel shows of processes: of this one, which copies, it would show what tasks are kept from.
fn refuse_processes(opened: impl AsFd) -> io::Result<()> {
    if fstatfs(opened)?.filesystem_type() == PROC_SUPER_MAGIC {
        let why = "what the kernel shows of processes is not copied";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Copies what is in the folder `src` into the folder `dest`, which is there: files, links and folders with
/// their modes, times and, where it is allowed, owners. Hard links become files, extended attributes are
/// not copied, anything else (devices, sockets, FIFOs) is refused.
///
/// Links are not followed, also where a folder is exchanged for one meanwhile, and what is mounted in `src` is refused:
/// it could not be removed after it was copied.
pub(super) fn copy_tree(src: &Path, dest: &Path, work: &FileWork) -> Result<AttributeCopy, FileWorkError> {
    let top = open_folder(src).and_then(|top| refuse_processes(&top).map(|()| top));
    let top = top.map_err(|error| failed(src, &error))?;
    let mut attributes = AttributeCopy::default();
    let mut todo = names(&top).map_err(|error| failed(src, &error))?;
    let mut folders = vec![(dest.to_owned(), top.metadata().map_err(|error| failed(src, &error))?)];
    while let Some(name) = todo.pop() {
        work.check()?;
        let (from, to) = (src.join(&name), dest.join(&name));
        let opened = open_below(&top, &name).and_then(|opened| Ok((opened.metadata()?, opened)));
        let (metadata, opened) = opened.map_err(|error| failed(&from, &error))?;
        if metadata.is_dir() {
            DirBuilder::new()
                .mode(0o700)
                .create(&to)
                .map_err(|error| failed(&to, &error))?;
            let inside = names(&opened).map_err(|error| failed(&from, &error))?;
            todo.extend(inside.into_iter().map(|inside| name.join(inside)));
            folders.push((to, metadata));
        } else {
            let entry = TreeEntry { opened, metadata, from };
            entry.copy(&to, &mut attributes, work)?;
        }
    }
    // Only now: a folder's time changes with its entries, and its mode may forbid new ones.
    for (folder, metadata) in folders.iter().rev() {
        sync_folder(folder);
        match File::open(folder) {
            Ok(file) => attributes.give(folder, &file, metadata),
            Err(error) => return Err(failed(folder, &error)),
        }
    }
    Ok(attributes)
}

/// The names in a folder.
fn names(folder: &PathHandle) -> io::Result<Vec<PathBuf>> {
    let mut listing = Dir::from_fd(folder.to_read()?.into())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_owned()).into());
        }
    }
    Ok(names)
}

/// Has the names in a folder written to the disk. Not every network file system can; then they are
/// there already.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _cannot = folder.sync_all();
    }
}

/// A file or link that is copied.
struct TreeEntry {
    opened: PathHandle,
    metadata: Metadata,
    /// For messages.
    from: PathBuf,
}

impl TreeEntry {
    fn copy(&self, to: &Path, attributes: &mut AttributeCopy, work: &FileWork) -> Result<(), FileWorkError> {
        let from = &self.from;
        if self.metadata.is_symlink() {
            let copied = self.opened.link().and_then(|target| symlink(target, to));
            return copied.map_err(|error| failed(from, &error));
        }
        if !self.metadata.is_file() {
            return Err(FileWorkError::Failed(format!(
                "{} is neither a file nor a folder",
                quoted(&from.to_string_lossy())
            )));
        }
        let src = self.opened.to_read().map_err(|error| failed(from, &error))?;
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        let dest = new.map_err(|error| failed(to, &error))?;
        copy_contents(&src, &dest, work)?.map_err(|error| failed(to, &error))?;
        // The source will be removed: now is the last moment to learn of a full disk.
        dest.sync_all().map_err(|error| failed(to, &error))?;
        attributes.give(to, &dest, &self.metadata);
        Ok(())
    }
}

/// Owners, modes and times, as far as a file system takes them. FAT, SMB and many that are mounted with FUSE do not, or
/// not from everybody; the data is what counts.
#[derive(Debug, Default)]
pub(super) struct AttributeCopy {
    /// How many files and folders have not got theirs.
    without: u64,
    /// What the system said of the first one.
    first: Option<io::Error>,
}

impl AttributeCopy {
    /// Those of `metadata` for the open `file` at `path`. The owner first: a change of it takes bits away.
    pub(super) fn give(&mut self, path: &Path, file: &File, metadata: &Metadata) {
        // Only root may give files away; others keep what they copied.
        // Only root may give a file away.
        lchown(path, Some(metadata.uid()), Some(metadata.gid())).ok();
        let mode = file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777));
        let times = metadata.accessed().and_then(|accessed| {
            let times = FileTimes::new().set_accessed(accessed);
            file.set_times(times.set_modified(metadata.modified()?))
        });
        if let Err(error) = mode.and(times) {
            self.without += 1;
            self.first.get_or_insert(error);
        }
    }

    /// What a person should know of it.
    pub(super) fn remark(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!(
            "the mode or the time of {} files and folders could not be set there: {}",
            self.without,
            error_text(first)
        ))
    }
}

fn failed(path: &Path, error: &io::Error) -> FileWorkError {
    if error.kind() == ErrorKind::CrossesDevices {
        let path = quoted(&path.to_string_lossy());
        return FileWorkError::Failed(format!("{path} is another file system, mounted there"));
    }
    FileWorkError::Failed(format!("{}: {}", quoted(&path.to_string_lossy()), error_text(error)))
}
