// SPDX-License-Identifier: GPL-3.0-or-later

//! Opens what is below a folder, so that nothing but what is really there is ever reached: a link on the way, or
//! a folder that was exchanged for one, is not followed, and what is mounted there is not entered.
//!
//! The kernel promises both since Linux 5.6 (openat2(2)). Where it does not, or a container's filter forbids that call,
//! each step is looked at: its mount must be that of the folder.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, fstat};

/// Opens only the thing itself and not its contents: this opens no device, and waits for no FIFO and no server.
const NO_CONTENTS: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A file, folder, link or anything else that has a path, opened without its contents: it stays the same thing whatever
/// happens to its name.
#[derive(Debug)]
pub(crate) struct PathHandle(File);

/// Opens the folder at `path`, through links. All other paths are below one that was opened so.
///
/// # Errors
/// ENOTDIR for what is no folder, and whatever else the system says.
pub(crate) fn open_folder(path: &Path) -> io::Result<PathHandle> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty())?;
    Ok(PathHandle(fd.into()))
}

/// Opens what is at `path` below `folder`. A link at the end is opened itself.
///
/// # Errors
/// `CrossesDevices` (EXDEV) where something is mounted, at the end or on the way. ELOOP or ENOTDIR for a link on the way.
pub(crate) fn open_below(folder: &PathHandle, path: &Path) -> io::Result<PathHandle> {
    let how = OpenHow::new()
        .flags(NO_CONTENTS)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    match openat2(folder, path, how) {
        Ok(fd) => Ok(PathHandle(fd.into())),
        // Filters from before Linux 5.6 answer with EPERM, which opening a path never does.
        Err(Errno::ENOSYS | Errno::EPERM) => step_by_step(folder, path),
        Err(errno) => Err(errno.into()),
    }
}

fn step_by_step(folder: &PathHandle, path: &Path) -> io::Result<PathHandle> {
    let mount = mount_of(folder)?;
    let mut here: Option<PathHandle> = None;
    for step in path.components() {
        let Component::Normal(name) = step else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let next = openat(here.as_ref().unwrap_or(folder), name, NO_CONTENTS, Mode::empty())?;
        if mount_of(&next)? != mount {
            return Err(Errno::EXDEV.into());
        }
        here = Some(PathHandle(next.into()));
    }
    here.ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// Which mount something was opened in. Linux tells it since 3.15; before that there is the file system's number, which
/// does not know one part of a file system that is mounted on another.
fn mount_of(fd: impl AsFd) -> io::Result<u64> {
    let fd = fd.as_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    match id.and_then(|id| id.trim().parse().ok()) {
        Some(id) => Ok(id),
        None => Ok(fstat(fd)?.st_dev),
    }
}

impl PathHandle {
    /// Of this very thing.
    pub(crate) fn metadata(&self) -> io::Result<fs::Metadata> {
        self.0.metadata()
    }

    /// The same thing with its contents: a folder that can be listed, a file that can be read.
    pub(crate) fn to_read(&self) -> io::Result<File> {
        File::open(self.by_number())
    }

    /// Where a link leads.
    pub(crate) fn link(&self) -> io::Result<OsString> {
        Ok(readlinkat(&self.0, "")?)
    }

    /// Gives this very thing a mode, and nothing that has taken its place.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.by_number(), Permissions::from_mode(mode))
    }

    /// A path that leads to it as long as this is open, whatever its name is by then.
    fn by_number(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

impl AsFd for PathHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for PathHandle {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::trees::{bind, with_own_mounts};

    const WAYS: [fn(&PathHandle, &Path) -> io::Result<PathHandle>; 2] = [open_below, step_by_step];

    #[test]
    fn i13_links_are_opened_themselves_and_none_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/file"), "x").unwrap();
        let long = "l".repeat(1000);
        symlink(&long, folder.path().join("a/long")).unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        let top = open_folder(folder.path()).unwrap();
        for open in WAYS {
            let file = open(&top, Path::new("a/file")).unwrap();
            assert_eq!(io::read_to_string(file.to_read().unwrap()).unwrap(), "x");
            let link = open(&top, Path::new("link")).unwrap();
            assert!(link.metadata().unwrap().is_symlink());
            assert_eq!(link.link().unwrap(), "a");
            assert_eq!(open(&top, Path::new("a/long")).unwrap().link().unwrap(), long.as_str());
            open(&top, Path::new("link/file")).unwrap_err();
            open(&top, Path::new("../x")).unwrap_err();
        }
    }

    #[test]
    fn i25_what_is_mounted_is_not_entered_whichever_way_the_kernel_has() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["from", "tree/at/below", "tree/free"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("file"), "x").unwrap();
        fs::write(at("tree/file"), "").unwrap();
        with_own_mounts(|| {
            bind(&at("from"), &at("tree/at"));
            bind(&at("file"), &at("tree/file"));
            let top = open_folder(&at("tree")).unwrap();
            for open in WAYS {
                open(&top, Path::new("free")).unwrap();
                for mounted in ["at", "at/below", "file"] {
                    let error = open(&top, Path::new(mounted)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::CrossesDevices, "{mounted}");
                }
            }
        });
    }
}
