// SPDX-License-Identifier: GPL-3.0-or-later

//! `move-directory`: a folder (or file, or link) gets another name; what had that name is kept under a third.
//!
//! ```text
//! dest ──► dest-2026-11-23_214624[-001]        if there is one
//! src  ──► dest                                one rename; across file systems: copy, swap, remove
//! ```
//!
//! Whatever goes wrong on the way, and after an abort, both names are what they were.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::context::CommandContext;
use super::copying::{self, AttributeCopy, PartialCopy};
use super::file_work::{FileWork, FileWorkError, error_text, run_file_work};
use super::not_expanded::missing_source;
use super::parameters::{ParameterError, Parameters};
use super::text::quoted;
use crate::clock;
use crate::outcome::Outcome;
use crate::trees::remove;

/// The end of the name a source has while it is removed.
const GONE: &str = ".flamenco-gone";

/// `src`: must exist; `dest`: its folder must exist. Relative to the worker's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoveDirectory {
    /// What is moved.
    pub src: PathBuf,
    /// Its new name.
    pub dest: PathBuf,
}

impl MoveDirectory {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            src: parameters.text("src", "a path")?.into(),
            dest: parameters.text("dest", "a path")?.into(),
        })
    }

    pub(super) async fn run(&self, context: &mut CommandContext<'_>) -> Outcome {
        let this = self.clone();
        run_file_work(context, move |work| this.check()?.run(work)).await
    }

    /// Everything that can be known before anything is touched.
    fn check(&self) -> Result<DirectoryMove, FileWorkError> {
        let (src, dest) = (shown(&self.src), shown(&self.dest));
        if fs::symlink_metadata(&self.src).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Err(refused(&missing_source(&self.src)));
        }
        let resolved = |path: &Path, name: &str| {
            resolve(path)
                .map_err(|error| refused(&format!("cannot look at the folder of {name}: {}", error_text(&error))))
        };
        let planned = DirectoryMove {
            src: resolved(&self.src, &src)?,
            dest: resolved(&self.dest, &dest)?,
        };
        let target = |path: &Path| fs::canonicalize(path).ok();
        let same_target = target(&planned.src).is_some() && target(&planned.src) == target(&planned.dest);
        if planned.src == planned.dest || same_target {
            return Err(refused(&format!("{src} and {dest} are the same")));
        }
        if planned.dest.starts_with(&planned.src) {
            return Err(refused(&format!("destination path {dest} is inside {src}")));
        }
        if planned.src.starts_with(&planned.dest) {
            return Err(refused(&format!("source path {src} is inside {dest}")));
        }
        Ok(planned)
    }
}

/// A move between two places that are not in each other; without links in the folders above them.
struct DirectoryMove {
    src: PathBuf,
    dest: PathBuf,
}

impl DirectoryMove {
    fn run(&self, work: &FileWork) -> Result<(), FileWorkError> {
        work.check()?;
        let backup = self.back_up(work)?;
        work.log(moving(&self.src, &self.dest));
        let Err(error) = fs::rename(&self.src, &self.dest) else {
            return Ok(());
        };
        self.restore(backup.as_deref(), work);
        if error.kind() == ErrorKind::CrossesDevices {
            work.log(format!(
                "move-directory: {} is on another file system, copying",
                shown(&self.dest)
            ));
            return self.copy(work);
        }
        Err(self.failed(&self.src, &self.dest, &error))
    }

    /// Gives what is at the destination another name, and says which.
    fn back_up(&self, work: &FileWork) -> Result<Option<PathBuf>, FileWorkError> {
        if fs::symlink_metadata(&self.dest).is_err() {
            return Ok(None);
        }
        let backup = backup_name(&self.dest).map_err(|error| {
            refused(&format!(
                "cannot find another name for {}: {}",
                shown(&self.dest),
                error_text(&error)
            ))
        })?;
        work.log(moving(&self.dest, &backup));
        fs::rename(&self.dest, &backup).map_err(|error| self.failed(&self.dest, &backup, &error))?;
        Ok(Some(backup))
    }

    fn restore(&self, backup: Option<&Path>, work: &FileWork) {
        let Some(backup) = backup else { return };
        work.log(moving(backup, &self.dest));
        if let Err(error) = fs::rename(backup, &self.dest) {
            work.log(format!(
                "move-directory: {} stays where it is: {}",
                shown(backup),
                error_text(&error)
            ));
        }
    }

    /// The way across file systems. The source goes only when the destination is there, copy and on the
    /// disk, and it goes at once, by another name under which it is then removed.
    fn copy(&self, work: &FileWork) -> Result<(), FileWorkError> {
        let copy = CompleteCopy::copy(&self.src, &self.dest, work).map_err(|trouble| self.not_copied(trouble))?;
        work.check()?;
        let gone = copying::hidden_name(&self.src, GONE).map_err(|error| self.failed(&self.src, &self.dest, &error))?;
        let backup = self.back_up(work)?;
        let put = copy.publish(&self.dest);
        // A predecessor that was killed left such a name, if any, after its destination was there.
        let left = put.and_then(|()| {
            remove(&gone)
                .map_err(io::Error::from)
                .and_then(|()| fs::rename(&self.src, &gone))
                .inspect_err(|_| {
                    if let Err(stays) = remove(&self.dest) {
                        work.log(format!(
                            "move-directory: a copy stays at {}: {stays}",
                            shown(&self.dest)
                        ));
                    }
                })
        });
        if let Err(error) = left {
            self.restore(backup.as_deref(), work);
            return Err(self.failed(&self.src, &self.dest, &error));
        }
        if let Err(stays) = remove(&gone) {
            let (src, gone) = (shown(&self.src), shown(&gone));
            work.log(format!(
                "move-directory: {src} is moved, but {gone} cannot be removed: {stays}"
            ));
        }
        Ok(())
    }

    fn not_copied(&self, trouble: FileWorkError) -> FileWorkError {
        match trouble {
            FileWorkError::Failed(why) => FileWorkError::Failed(format!(
                "move-directory: could not copy {} to {}: {why}",
                shown(&self.src),
                shown(&self.dest)
            )),
            aborted @ FileWorkError::Aborted(_) => aborted,
        }
    }

    fn failed(&self, from: &Path, to: &Path, error: &io::Error) -> FileWorkError {
        FileWorkError::Failed(format!(
            "move-directory: could not move {} to {}: {}",
            shown(from),
            shown(to),
            error_text(error)
        ))
    }
}

/// A copy copy of the source, not yet in its place.
enum CompleteCopy {
    PartialCopy(PartialCopy),
    /// A link has nothing to be copied.
    Link(PathBuf),
}

impl CompleteCopy {
    fn copy(src: &Path, dest: &Path, work: &FileWork) -> Result<Self, FileWorkError> {
        let failed = |error: io::Error| FileWorkError::Failed(error_text(&error));
        let metadata = fs::symlink_metadata(src).map_err(failed)?;
        if metadata.is_symlink() {
            return Ok(Self::Link(fs::read_link(src).map_err(failed)?));
        }
        if metadata.is_dir() {
            let part = PartialCopy::folder(dest).map_err(failed)?;
            log_remark(&copying::copy_tree(src, part.path(), work)?, work);
            return Ok(Self::PartialCopy(part));
        }
        let file = copying::open(src).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(FileWorkError::Failed("it is neither a file nor a folder".to_owned()));
        }
        let part = PartialCopy::file(dest).map_err(failed)?;
        copying::copy_contents(&file, part.writer(), work)?.map_err(failed)?;
        let mut attributes = AttributeCopy::default();
        attributes.give(part.path(), part.writer(), &metadata);
        log_remark(&attributes, work);
        Ok(Self::PartialCopy(part))
    }

    fn publish(self, dest: &Path) -> io::Result<()> {
        match self {
            Self::PartialCopy(part) => part.publish(dest)?,
            Self::Link(target) => symlink(target, dest)?,
        }
        copying::sync_folder(dest.parent().unwrap_or(Path::new("/")));
        Ok(())
    }
}

/// Says once what the other file system did not take.
fn log_remark(attributes: &AttributeCopy, work: &FileWork) {
    if let Some(remark) = attributes.remark() {
        work.log(format!("move-directory: {remark}"));
    }
}

/// Where `path` is, with no link in the folders above it; a link at its end stays one.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) if parent.is_dir() => Ok(fs::canonicalize(parent)?.join(name)),
        (Some(parent), Some(_)) => Err(fs::metadata(parent).err().unwrap_or(ErrorKind::NotADirectory.into())),
        _ => fs::canonicalize(path),
    }
}

/// `DEST-YYYY-MM-DD_HHMMSS` by the local time of its last change, and a number if that is taken too.
fn backup_name(dest: &Path) -> io::Result<PathBuf> {
    // A link's target counts, as in the Go worker; a link to nothing has a time of its own.
    let metadata = fs::metadata(dest).or_else(|_| fs::symlink_metadata(dest))?;
    let stamped = suffixed(dest, &stamp(clock::timestamp_of(metadata.modified()?), &clock::zone()));
    if fs::symlink_metadata(&stamped).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(stamped);
    }
    let folder = stamped.parent().unwrap_or(Path::new("/"));
    let base = stamped.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut taken = Vec::new();
    for entry in fs::read_dir(folder)? {
        taken.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(suffixed(&stamped, &format!("{:03}", next_number(&base, &taken))))
}

/// Rounded half up to seconds.
fn stamp(changed: Timestamp, zone: &TimeZone) -> String {
    let seconds = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::HalfCeil);
    // The calendar's last second cannot be rounded up.
    let rounded = changed.round(seconds).unwrap_or(changed);
    let zoned = rounded.to_zoned_datetime(zone.clone());
    zoned.strftime("%Y-%m-%d_%H%M%S").to_string()
}

/// One more than the greatest number at the end of a name `BASE-...-NUMBER`.
fn next_number(base: &str, names: &[String]) -> u64 {
    let numbers = names.iter().filter_map(|name| {
        let rest = name.strip_prefix(base)?.strip_prefix('-')?;
        let digits = rest.rsplit('-').next()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok()).flatten()
    });
    numbers.max().unwrap_or(0).unsigned_abs().saturating_add(1)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(suffix);
    path.with_file_name(name)
}

fn refused(why: &str) -> FileWorkError {
    FileWorkError::Failed(format!("move-directory: {why}, not moving anything"))
}

fn moving(from: &Path, to: &Path) -> String {
    format!("move-directory: moving {} to {}", shown(from), shown(to))
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
