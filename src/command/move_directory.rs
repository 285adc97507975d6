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

use super::aside::{Aside, Trouble, aside, reason};
use super::copying::{self, Dress, Part};
use super::parameters::{ParameterError, Parameters};
use super::text::quoted;
use super::tools::Stage;
use crate::clock;
use crate::outcome::Outcome;
use crate::trees::remove;

/// The end of the name a source has while it is removed.
const GONE: &str = ".flamenco-gone";

/// `src`: must exist; `dest`: its folder must exist. Relative to the worker's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveDirectory {
    pub src: PathBuf,
    pub dest: PathBuf,
}

impl MoveDirectory {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            src: parameters.text("src", "a path")?.into(),
            dest: parameters.text("dest", "a path")?.into(),
        })
    }

    pub(super) async fn run(&self, stage: &mut Stage<'_>) -> Outcome {
        let this = self.clone();
        aside(stage, move |aside| this.check()?.carry_out(aside)).await
    }

    /// Everything that can be known before anything is touched.
    fn check(&self) -> Result<Move, Trouble> {
        let (src, dest) = (shown(&self.src), shown(&self.dest));
        if fs::symlink_metadata(&self.src).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Err(refused(&format!("source path {src} does not exist")));
        }
        let place = |path: &Path, name: &str| {
            place(path).map_err(|error| refused(&format!("cannot look at the folder of {name}: {}", reason(&error))))
        };
        let planned = Move {
            src: place(&self.src, &src)?,
            dest: place(&self.dest, &dest)?,
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
struct Move {
    src: PathBuf,
    dest: PathBuf,
}

impl Move {
    fn carry_out(&self, aside: &Aside) -> Result<(), Trouble> {
        aside.check()?;
        let backup = self.set_aside(aside)?;
        aside.say(moving(&self.src, &self.dest));
        let Err(error) = fs::rename(&self.src, &self.dest) else {
            return Ok(());
        };
        self.bring_back(backup.as_deref(), aside);
        if error.kind() == ErrorKind::CrossesDevices {
            aside.say(format!(
                "move-directory: {} is on another file system, copying",
                shown(&self.dest)
            ));
            return self.copy(aside);
        }
        Err(self.failed(&self.src, &self.dest, &error))
    }

    /// Gives what is at the destination another name, and says which.
    fn set_aside(&self, aside: &Aside) -> Result<Option<PathBuf>, Trouble> {
        if fs::symlink_metadata(&self.dest).is_err() {
            return Ok(None);
        }
        let backup = backup_name(&self.dest).map_err(|error| {
            refused(&format!(
                "cannot find another name for {}: {}",
                shown(&self.dest),
                reason(&error)
            ))
        })?;
        aside.say(moving(&self.dest, &backup));
        fs::rename(&self.dest, &backup).map_err(|error| self.failed(&self.dest, &backup, &error))?;
        Ok(Some(backup))
    }

    fn bring_back(&self, backup: Option<&Path>, aside: &Aside) {
        let Some(backup) = backup else { return };
        aside.say(moving(backup, &self.dest));
        if let Err(error) = fs::rename(backup, &self.dest) {
            aside.say(format!(
                "move-directory: {} stays where it is: {}",
                shown(backup),
                reason(&error)
            ));
        }
    }

    /// The way across file systems. The source goes only when the destination is there, whole and on the
    /// disk, and it goes at once, by another name under which it is then removed.
    fn copy(&self, aside: &Aside) -> Result<(), Trouble> {
        let whole = Whole::copy(&self.src, &self.dest, aside).map_err(|trouble| self.not_copied(trouble))?;
        aside.check()?;
        let gone = copying::beside(&self.src, GONE).map_err(|error| self.failed(&self.src, &self.dest, &error))?;
        let backup = self.set_aside(aside)?;
        let put = whole.put(&self.dest);
        // A predecessor that was killed left such a name, if any, after its destination was there.
        let left = put.and_then(|()| {
            remove(&gone)
                .map_err(io::Error::from)
                .and_then(|()| fs::rename(&self.src, &gone))
                .inspect_err(|_| {
                    if let Err(stays) = remove(&self.dest) {
                        aside.say(format!(
                            "move-directory: a copy stays at {}: {stays}",
                            shown(&self.dest)
                        ));
                    }
                })
        });
        if let Err(error) = left {
            self.bring_back(backup.as_deref(), aside);
            return Err(self.failed(&self.src, &self.dest, &error));
        }
        if let Err(stays) = remove(&gone) {
            let (src, gone) = (shown(&self.src), shown(&gone));
            aside.say(format!(
                "move-directory: {src} is moved, but {gone} cannot be removed: {stays}"
            ));
        }
        Ok(())
    }

    fn not_copied(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Failed(why) => Trouble::Failed(format!(
                "move-directory: could not copy {} to {}: {why}",
                shown(&self.src),
                shown(&self.dest)
            )),
            aborted @ Trouble::Aborted(_) => aborted,
        }
    }

    fn failed(&self, from: &Path, to: &Path, error: &io::Error) -> Trouble {
        Trouble::Failed(format!(
            "move-directory: could not move {} to {}: {}",
            shown(from),
            shown(to),
            reason(error)
        ))
    }
}

/// A whole copy of the source, not yet in its place.
enum Whole {
    Part(Part),
    /// A link has nothing to be copied.
    Link(PathBuf),
}

impl Whole {
    fn copy(src: &Path, dest: &Path, aside: &Aside) -> Result<Self, Trouble> {
        let failed = |error: io::Error| Trouble::Failed(reason(&error));
        let metadata = fs::symlink_metadata(src).map_err(failed)?;
        if metadata.is_symlink() {
            return Ok(Self::Link(fs::read_link(src).map_err(failed)?));
        }
        if metadata.is_dir() {
            let part = Part::folder(dest).map_err(failed)?;
            remark(&copying::tree(src, part.path(), aside)?, aside);
            return Ok(Self::Part(part));
        }
        let file = copying::open(src).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Trouble::Failed("it is neither a file nor a folder".to_owned()));
        }
        let part = Part::file(dest).map_err(failed)?;
        copying::contents(&file, part.writer(), aside)?.map_err(failed)?;
        let mut dress = Dress::default();
        dress.give(part.path(), part.writer(), &metadata);
        remark(&dress, aside);
        Ok(Self::Part(part))
    }

    fn put(self, dest: &Path) -> io::Result<()> {
        match self {
            Self::Part(part) => part.publish(dest)?,
            Self::Link(target) => symlink(target, dest)?,
        }
        copying::settle(dest.parent().unwrap_or(Path::new("/")));
        Ok(())
    }
}

/// Says once what the other file system did not take.
fn remark(dress: &Dress, aside: &Aside) {
    if let Some(remark) = dress.remark() {
        aside.say(format!("move-directory: {remark}"));
    }
}

/// Where `path` is, with no link in the folders above it; a link at its end stays one.
fn place(path: &Path) -> io::Result<PathBuf> {
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
    let stamped = suffixed(dest, &stamp(clock::at(metadata.modified()?), &clock::zone()));
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

fn refused(why: &str) -> Trouble {
    Trouble::Failed(format!("move-directory: {why}, not moving anything"))
}

fn moving(from: &Path, to: &Path) -> String {
    format!("move-directory: moving {} to {}", shown(from), shown(to))
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
