// SPDX-License-Identifier: GPL-3.0-or-later

//! PictureStamps that a run of Blender began and did not finish. Under their own names the next run would take them for
//! done, for Flamenco's jobs do not overwrite: `skipping existing frame`. So they get another name.
//!
//! ```text
//! before ─► Blender ─► after, who was open for writing ─► find ─ a moment ─► set_aside ─► NAME.partial
//! ```
//!
//! What was there before is remembered as it was, rather than told by its time: a file server has a clock of its own. Times
//! are compared where nothing else tells, for files outside the pattern and for what was written after the run. All of
//! it blocks; all of it is done within one opened folder, by names that are no links.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::file_work::error_text;
use super::output_pattern::OutputPattern;
use super::picture_format;
use crate::mounts::{is_mounted, mount_of};
use crate::process::OpenFile;
use crate::report::size;

/// Up to so many names are asked for one by one; above, the folder is read.
const NAMES_MOST: usize = 500;
/// What the clock of a file server may be behind ours, for files of which nobody knows whether they were there before.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Added to the name of what was not finished.
const PARTIAL: &str = ".partial";

/// A file as it was seen once. Whoever writes it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    inode: u64,
    size: u64,
    /// Seconds since 1970, and nanoseconds, by the clock of its file system.
    modified: (i64, i64),
}

/// The pictures of an output that were there, by path.
pub(super) type PictureStamps = BTreeMap<PathBuf, FileStamp>;

/// What is known of a run that did not end well.
#[derive(Debug)]
pub(super) struct RenderRun {
    pub(super) outputs: Vec<OutputPattern>,
    /// What was there when it began; `None` where that is not known.
    pub(super) before: Option<PictureStamps>,
    /// Where the file systems of the outputs were mounted: without them nothing that is seen counts.
    pub(super) mounts: Vec<PathBuf>,
    /// What Blender said it had saved; absolute.
    pub(super) saved: Vec<PathBuf>,
    /// What was open for writing at its end.
    pub(super) writing: Vec<OpenFile>,
    /// The task's own, which goes with it.
    pub(super) tmpdir: PathBuf,
    pub(super) began: SystemTime,
    /// What was written later is another node's.
    pub(super) not_after: Option<SystemTime>,
}

/// What a search for the pictures of a run has found.
#[derive(Debug, Default)]
pub(super) struct UnfinishedSearch {
    pub(super) unfinished: Vec<UnfinishedPicture>,
    /// What hindered it, in lines for a log. Without any, all was looked at.
    pub(super) problems: Vec<String>,
}

/// A file that was not finished.
#[derive(Debug)]
pub(super) struct UnfinishedPicture {
    folder: Arc<OwnedFd>,
    path: PathBuf,
    stamp: FileStamp,
}

/// Looks at the pictures of these outputs. A folder that is not there has none.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn stamp_pictures(outputs: &[OutputPattern]) -> io::Result<PictureStamps> {
    let mut found = PictureStamps::new();
    for output in outputs {
        let folder = match open(&output.folder, folder_flags(), Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if output.name_count() <= NAMES_MOST {
            found.extend(output.names().filter_map(|name| stamp_by_name(&folder, output, &name)));
        } else {
            for entry in Dir::openat(&folder, c".", folder_flags(), Mode::empty())?.iter() {
                let entry = entry?;
                if let Ok(name) = entry.file_name().to_str()
                    && output.matches(name)
                {
                    found.extend(stamp_by_name(&folder, output, name));
                }
            }
        }
    }
    Ok(found)
}

/// Where the file systems of these outputs are mounted.
pub(super) fn mounts_of(outputs: &[OutputPattern]) -> Vec<PathBuf> {
    let mut mounts: Vec<_> = outputs.iter().filter_map(|output| mount_of(&output.folder)).collect();
    mounts.dedup();
    mounts
}

fn stamp_by_name(folder: &OwnedFd, output: &OutputPattern, name: &str) -> Option<(PathBuf, FileStamp)> {
    Some((output.folder.join(name), FileStamp::by_name(folder, name)?))
}

fn folder_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

impl FileStamp {
    /// A regular file of this name, not what a link leads to.
    fn by_name(folder: impl AsFd, name: impl AsRef<OsStr>) -> Option<Self> {
        let stat = fstatat(folder, Path::new(name.as_ref()), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        is_file.then_some(Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    /// The same of an open file, which a file server is asked for anew.
    fn of_file(file: &File) -> io::Result<Option<Self>> {
        let data = file.metadata()?;
        Ok(data.is_file().then_some(Self {
            inode: data.ino(),
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
        }))
    }

    fn is_later_than(&self, time: SystemTime) -> bool {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.modified > (since.as_secs().cast_signed(), since.subsec_nanos().into())
    }
}

impl RenderRun {
    /// What this run began and did not finish.
    pub(super) fn find(&self) -> UnfinishedSearch {
        let UnfinishedSearch {
            unfinished: mut found,
            mut problems,
        } = UnfinishedSearch::default();
        let written = self.writing.iter().map(|file| self.open_at_the_end(file));
        let changed = match self.changed() {
            Ok(changed) => changed,
            Err(error) => {
                problems.push(format!(
                    "Cannot look for pictures that were not finished: {}; another node would take them for done",
                    error_text(&error)
                ));
                Vec::new()
            }
        };
        for candidate in written.chain(changed.iter().map(|path| self.changed_since(path))) {
            match candidate {
                Ok(Some(new)) if found.iter().all(|old: &UnfinishedPicture| old.stamp != new.stamp) => found.push(new),
                Ok(_) => {}
                Err(line) => problems.push(line),
            }
        }
        UnfinishedSearch {
            unfinished: found,
            problems,
        }
    }

    /// A file that was open for writing, if it may be a picture of this run.
    fn open_at_the_end(&self, file: &OpenFile) -> Result<Option<UnfinishedPicture>, String> {
        let path = Path::new(&file.path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            return Ok(None);
        };
        let is_ours = |output: &OutputPattern| {
            let folder = fs::canonicalize(&output.folder);
            folder.is_ok_and(|folder| parent.starts_with(folder))
                && (picture_format::is_rendered(name) || output.matches(name))
        };
        let may_be = if self.outputs.is_empty() {
            picture_format::is_rendered(name)
        } else {
            self.outputs.iter().any(is_ours)
        };
        if !may_be || path.starts_with(&self.tmpdir) {
            return Ok(None);
        }
        let unfinished = open_without_links(parent).and_then(|folder| self.unfinished(folder, path));
        let began = self.began.checked_sub(CLOCK_SKEW).unwrap_or(self.began);
        let is_it = |one: &UnfinishedPicture| {
            file.inode.is_none_or(|inode| inode == one.stamp.inode) && one.stamp.is_later_than(began)
        };
        unfinished
            .map(|one| one.filter(is_it))
            .map_err(|error| cannot(path, &error))
    }

    /// PictureStamps of the pattern that are not as they were.
    fn changed(&self) -> io::Result<Vec<PathBuf>> {
        let Some(before) = &self.before else {
            return Ok(Vec::new());
        };
        if let Some(missing) = self.mounts.iter().find(|at| !is_mounted(at)) {
            let what = format!("nothing is mounted at {}", missing.display());
            return Err(io::Error::other(what));
        }
        let mut now = stamp_pictures(&self.outputs)?;
        now.retain(|path, stamp| {
            before.get(path) != Some(stamp) && self.not_after.is_none_or(|end| !stamp.is_later_than(end))
        });
        Ok(now.into_keys().collect())
    }

    fn changed_since(&self, path: &Path) -> Result<Option<UnfinishedPicture>, String> {
        let folder = path.parent().unwrap_or(path);
        open(folder, folder_flags(), Mode::empty())
            .map_err(io::Error::from)
            .and_then(|folder| self.unfinished(folder, path))
            .map_err(|error| cannot(path, &error))
    }

    /// The file in `folder`, unless it is a link, is whole, or was announced as saved.
    fn unfinished(&self, folder: OwnedFd, path: &Path) -> io::Result<Option<UnfinishedPicture>> {
        let Some(name) = path.file_name() else { return Ok(None) };
        let Some((file, stamp)) = open_file(&folder, name)? else {
            return Ok(None);
        };
        if picture_format::is_whole(&file)? || self.is_saved(&folder, name)? {
            return Ok(None);
        }
        Ok(Some(UnfinishedPicture {
            folder: Arc::new(folder),
            path: path.to_owned(),
            stamp,
        }))
    }

    /// Blender may call the folder by another name.
    fn is_saved(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let here = File::from(folder.try_clone()?).metadata()?;
        let is_here = |path: &Path| fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (here.dev(), here.ino()));
        let mut namesakes = self.saved.iter().filter(|path| path.file_name() == Some(name));
        Ok(namesakes.any(|path| path.parent().is_some_and(is_here)))
    }
}

impl UnfinishedPicture {
    /// Gives it its other name, if nobody has touched it since it was found. A line for a log; `None` if it is gone.
    ///
    /// # Errors
    /// A line for a log as well.
    pub(super) fn set_aside(self) -> Result<Option<String>, String> {
        self.try_to_set_aside().map_err(|error| cannot(&self.path, &error))
    }

    fn try_to_set_aside(&self) -> io::Result<Option<String>> {
        let Some(name) = self.path.file_name() else {
            return Ok(None);
        };
        let path = self.path.display();
        let Some((file, stamp)) = open_file(&self.folder, name)? else {
            return Ok(None);
        };
        if stamp != self.stamp {
            return Ok(Some(format!(
                "Left alone: {path} was not finished here, and somebody else writes it now"
            )));
        }
        // The last stamp before the name is used: it is still this file's.
        if FileStamp::by_name(&self.folder, name) != Some(stamp) {
            return Ok(None);
        }
        drop(file);
        if stamp.size == 0 {
            unlinkat(&self.folder, Path::new(name), UnlinkatFlags::NoRemoveDir)?;
            return Ok(Some(format!("Removed: {path} was not begun, and empty")));
        }
        let mut partial = name.to_owned();
        partial.push(PARTIAL);
        renameat(&self.folder, Path::new(name), &self.folder, Path::new(&partial))?;
        Ok(Some(format!(
            "Set aside: {path} was not finished; its {} are now in {}",
            size(stamp.size),
            partial.display()
        )))
    }
}

/// A regular file; `None` where there is none, or a link.
fn open_file(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<(File, FileStamp)>> {
    // Whatever else is there must not hold us.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if FileStamp::by_name(folder, name).is_none() {
        return Ok(None);
    }
    match openat(folder, Path::new(name), flags, Mode::empty()) {
        Ok(file) => {
            let file = File::from(file);
            Ok(FileStamp::of_file(&file)?.map(|stamp| (file, stamp)))
        }
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a folder whose path had no links when it was read, and has none now.
fn open_without_links(folder: &Path) -> io::Result<OwnedFd> {
    let mut opened = open("/", folder_flags(), Mode::empty())?;
    for name in folder.iter().skip(1) {
        opened = openat(
            &opened,
            Path::new(name),
            folder_flags() | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?;
    }
    Ok(opened)
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!(
        "Cannot set aside {}, which was not finished: {}; remove it, or the next run will take it for done",
        path.display(),
        error_text(error)
    )
}

#[cfg(test)]
mod tests;
