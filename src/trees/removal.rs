// SPDX-License-Identifier: GPL-3.0-or-later

//! Removes whatever is at a path: never what a link there points to, never what is mounted below it.
//!
//! ```text
//! folder ── list: files go, folders are noted ──► next noted folder (down) ... none left: `..` (up), and it goes
//! ```
//!
//! The way back up is held as a list of names and inodes, not of descriptors or of calls: a program can make a tree of
//! any depth. Each `..` must be the folder that was left, or another process is moving folders about, and this stops.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path_handle::{PathHandle, open_below, open_folder};

/// So many folders of one folder are noted at a time; it is listed again for the rest.
const NOTED: usize = 100_000;
/// A tree to which others keep adding is left after so many such listings.
const MOST_TRIES: u32 = 10_000;
/// A path is shown to at most this depth: the rest of one with thousands of folders says nothing.
const LONGEST_TOLD: usize = 20;

/// What could not be removed, of several the first; everything else is gone.
#[derive(Debug)]
pub(crate) struct NotRemoved {
    /// What stays.
    pub(crate) path: PathBuf,
    /// What the system says.
    pub(crate) why: io::Error,
}

impl NotRemoved {
    /// Something is mounted there.
    pub(crate) fn is_mounted(&self) -> bool {
        self.why.kind() == ErrorKind::CrossesDevices
    }
}

impl fmt::Display for NotRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.is_mounted() {
            true => write!(f, "something is mounted at {path}, which is left alone"),
            false => write!(f, "{path}: {}", self.why),
        }
    }
}

impl std::error::Error for NotRemoved {}

impl From<NotRemoved> for io::Error {
    fn from(error: NotRemoved) -> Self {
        Self::new(error.why.kind(), error)
    }
}

/// Removes a file, a link or a folder with all that is in it; nothing there is success. Blocks.
///
/// # Errors
/// What could not be removed. A folder of ours without permissions is no hindrance.
pub(crate) fn remove(path: &Path) -> Result<(), NotRemoved> {
    let failed = |why: io::Error| NotRemoved {
        path: path.to_owned(),
        why,
    };
    let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
    let name = CString::new(name.as_bytes()).map_err(|error| failed(error.into()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = match open_folder(parent.unwrap_or(Path::new("."))) {
        Ok(parent) => parent,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut removal = Removal::begin(path, parent).map_err(failed)?;
    removal.remove_entry(&name);
    removal.run();
    removal.first_failure.map_or(Ok(()), Err)
}

/// A removal that is under way.
struct Removal {
    /// The folder in which what is removed has its name.
    parent: PathBuf,
    /// The folder that is worked on, the last one of `way`.
    here: PathHandle,
    /// From the parent, which stays, down to `here`.
    way: Vec<OpenFolder>,
    /// How often there may still be something new in a folder that was emptied.
    tries_left: u32,
    first_failure: Option<NotRemoved>,
    /// Entries that could not be removed so far.
    failures: u64,
}

/// A folder on the way down.
struct OpenFolder {
    name: CString,
    /// Device and inode.
    id: (u64, u64),
    /// Folders in it that are still to be removed.
    folders: Vec<CString>,
    /// The `failures` when it was entered.
    failures: u64,
    /// More folders were there than can be noted.
    more: bool,
}

impl Removal {
    fn begin(path: &Path, parent: PathHandle) -> io::Result<Self> {
        let top = OpenFolder::new(c"", &parent, 0)?;
        Ok(Self {
            parent: path.parent().unwrap_or(Path::new("")).to_owned(),
            here: parent,
            way: vec![top],
            tries_left: MOST_TRIES,
            first_failure: None,
            failures: 0,
        })
    }

    fn run(&mut self) {
        while let Some(level) = self.way.last_mut() {
            if let Some(name) = level.folders.pop() {
                self.enter(&name);
            } else if !self.leave() {
                return;
            }
        }
    }

    /// Removes one entry of the current folder, or notes it if it is a folder.
    fn remove_entry(&mut self, name: &CStr) {
        match unlinkat(&self.here, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => self.note_folder(name),
            Err(Errno::EBUSY) => {
                let mounted = open_below(&self.here, Path::new(OsStr::from_bytes(name.to_bytes())));
                self.failed(name, mounted.err().unwrap_or(Errno::EBUSY.into()));
            }
            Err(errno) => self.failed(name, errno.into()),
        }
    }

    fn note_folder(&mut self, name: &CStr) {
        let Some(level) = self.way.last_mut() else { return };
        level.more |= level.folders.len() >= NOTED;
        if !level.more {
            level.folders.push(name.to_owned());
        }
    }

    fn enter(&mut self, name: &CStr) {
        let opened = open_below(&self.here, Path::new(OsStr::from_bytes(name.to_bytes())));
        let entered = opened.and_then(|folder| {
            let metadata = folder.metadata()?;
            if metadata.is_dir() && metadata.mode() & 0o700 != 0o700 {
                // A folder that is not ours is met again by what follows.
                folder.set_mode(0o700).ok();
            }
            let level = OpenFolder::new(name, &folder, self.failures)?;
            Ok(metadata.is_dir().then_some((folder, level)))
        });
        match entered {
            Ok(Some((folder, level))) => {
                self.here = folder;
                self.way.push(level);
                if let Err(error) = self.remove_files() {
                    self.failed(c"", error);
                }
            }
            // It was exchanged for something else.
            Ok(None) if self.may_try_again() => self.remove_entry(name),
            Ok(None) => self.failed(name, Errno::ENOTDIR.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.failed(name, error),
        }
    }

    /// Removes what is in the current folder, except folders.
    fn remove_files(&mut self) -> io::Result<()> {
        let mut listing = Dir::openat(&self.here, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        for entry in listing.iter() {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                _ if name == c"." || name == c".." => {}
                Some(nix::dir::Type::Directory) => self.note_folder(name),
                _ => self.remove_entry(name),
            }
        }
        Ok(())
    }

    /// Leaves the current folder, and removes it. `false` at the end.
    fn leave(&mut self) -> bool {
        let (Some(left), Some(above)) = (self.way.pop(), self.way.last()) else {
            return false;
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parent = openat(&self.here, "..", flags, Mode::empty()).map(PathHandle::from);
        let moved = match parent {
            Ok(parent) if OpenFolder::id(&parent).is_ok_and(|id| id == above.id) => {
                self.here = parent;
                None
            }
            Ok(_) => Some(io::Error::other("it was moved while it was removed")),
            Err(errno) => Some(errno.into()),
        };
        if let Some(error) = moved {
            self.failed(&left.name, error);
            return false;
        }
        match unlinkat(&self.here, left.name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if left.failures < self.failures && !left.more => {}
            // Something came in meanwhile, or it has another name now.
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) if self.may_try_again() => {
                self.note_folder(&left.name)
            }
            Err(errno) => self.failed(&left.name, errno.into()),
        }
        true
    }

    fn may_try_again(&mut self) -> bool {
        self.tries_left = self.tries_left.saturating_sub(1);
        self.tries_left > 0
    }

    /// Notes that an entry of the current folder stays.
    fn failed(&mut self, name: &CStr, why: io::Error) {
        self.failures += 1;
        if self.first_failure.is_some() {
            return;
        }
        let names = self.way.iter().map(|level| level.name.as_c_str());
        let mut path = self.parent.clone();
        path.extend(
            names
                .chain([name])
                .filter(|name| !name.is_empty())
                .take(LONGEST_TOLD)
                .map(|name| OsStr::from_bytes(name.to_bytes())),
        );
        self.first_failure = Some(NotRemoved { path, why });
    }
}

impl OpenFolder {
    fn new(name: &CStr, folder: &PathHandle, failures: u64) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            id: Self::id(folder)?,
            folders: Vec::new(),
            failures,
            more: false,
        })
    }

    fn id(folder: &PathHandle) -> io::Result<(u64, u64)> {
        let metadata = folder.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

#[cfg(test)]
mod tests;
