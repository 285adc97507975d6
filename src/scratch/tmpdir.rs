// SPDX-License-Identifier: GPL-3.0-or-later

//! The temporary directory of a task, or of a program that is kept for several: a killed Blender leaves its session behind, and nobody else would
//! remove it.
//!
//! ```text
//! /tmp/flamenco-WORKER-LOT          25 bytes and the folder: sockets in it must fit into 107
//! HOME/tmp/flamenco-WORKER-LOT      where /tmp (or TMPDIR) cannot be used
//! ```
//!
//! WORKER is made of the worker's mark, by which the next start finds what a killed worker left. LOT is drawn:
//! nobody can be there first, and where an old directory cannot be removed there is a new one all the same.

use std::fs::{self, DirBuilder};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::dirs::ScratchDirs;
use crate::abort::{Abort, AbortSource};
use crate::blocking::run_blocking_within;
use crate::files::is_shortage;
use crate::mounts::fuse_below;
use crate::outcome::RequeueReason;
use crate::process::{KillSequence, Launcher, ProcessSpec};
use crate::trees::{NotRemoved, open_below, open_folder, remove};

/// So many names are drawn before a folder in which all of them are taken is given up.
const DRAWS: usize = 10;
/// What must fit into a new directory, in bytes: a block.
const ROOM: usize = 4096;
/// How long unmounting may take, asked and firmly.
const UNMOUNT: Duration = Duration::from_secs(5);
/// How long a file system may keep a task from its directory, and the next task from the removal of the last one's, which
/// then goes on by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until a removal for which there were no descriptors is tried again.
const SHORTAGE: Duration = Duration::from_millis(100);
/// The letters of a name: five bits each.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The directory, there until it is removed.
#[derive(Debug)]
pub(crate) struct TmpDir {
    path: PathBuf,
    scratch: ScratchDirs,
}

impl TmpDir {
    /// A new one, empty and for its owner alone.
    pub(crate) async fn make(scratch: &ScratchDirs, abort: &Abort) -> Result<Self, RequeueReason> {
        let path = make_somewhere(scratch, abort).await.map_err(RequeueReason::NoTmpdir)?;
        debug!("the task's temporary directory is {}", path.display());
        Ok(Self {
            path,
            scratch: scratch.clone(),
        })
    }

    /// The one of a task that goes on.
    pub(crate) fn take_over(path: PathBuf, scratch: &ScratchDirs) -> Self {
        Self {
            path,
            scratch: scratch.clone(),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and all that is in it. What stays is said once for each cause, and tried again at the next start.
    pub(crate) async fn remove(self, launcher: &Launcher, abort: &Abort) {
        let path = self.path.display();
        let removed = tokio::select! {
            removed = remove_all(&self.path, launcher) => removed,
            () = abort.patience(PATIENCE) => {
                return info!(%path, "the removal of a task's temporary directory takes long; it goes on by itself, or at the next start");
            }
        };
        let Err(stays) = removed else { return };
        if self.scratch.warned.is_new("remove", stays.why.kind()) {
            warn!(%path, "a task's temporary directory stays until the next start, as others will for this reason: {stays}");
        } else {
            debug!(%path, "a task's temporary directory stays until the next start: {stays}");
        }
    }
}

/// The temporary directories that a predecessor of the same mark left.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Vec<PathBuf>);

impl Leftovers {
    /// Looks for them. For the start, when nothing of it runs any more, and before a task has a directory here.
    /// But for that of a task that goes on, if there is one.
    pub(crate) async fn find(scratch: &ScratchDirs, in_use: Option<&Path>) -> Self {
        let mut found = Vec::new();
        for folder in [&scratch.folder, &scratch.spare] {
            let (inside, prefix) = (folder.clone(), prefix(scratch));
            match run_blocking_within(sleep(PATIENCE), move || ours(&inside, &prefix)).await {
                Some(paths) => found.extend(paths),
                None => warn!(
                    folder = %folder.display(),
                    "does not answer: what earlier tasks left there stays until the next start"
                ),
            }
        }
        found.retain(|path| Some(path.as_path()) != in_use);
        Self(found)
    }

    /// Removes them, however long it takes; nothing needs to wait for it. What cannot be removed is said in the daemon's log.
    pub(crate) async fn remove(self, launcher: &Launcher) {
        let mut staying = 0;
        let mut first = None;
        for path in self.0 {
            match remove_all(&path, launcher).await {
                Ok(()) => info!(path = %path.display(), "removed a temporary directory of a task that was cut off"),
                Err(stays) => {
                    staying += 1;
                    first.get_or_insert(stays);
                }
            }
        }
        if let Some(stays) = first {
            warn!("{staying} temporary directories of earlier tasks cannot be removed: {stays}");
        }
    }
}

/// Those of our name in a folder that are this user's.
fn ours(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .filter(ours)
        .collect()
}

/// Makes one in the usual folder or else in the spare one.
async fn make_somewhere(scratch: &ScratchDirs, abort: &Abort) -> Result<PathBuf, String> {
    let make = async |folder: &PathBuf, make: fn(&Path, &str) -> io::Result<PathBuf>| {
        let (folder, prefix) = (folder.clone(), prefix(scratch));
        let made = run_blocking_within(abort.patience(PATIENCE), move || make(&folder, &prefix)).await;
        made.unwrap_or_else(|| Err(io::Error::new(ErrorKind::TimedOut, "the file system does not answer")))
    };
    let usual = match make(&scratch.folder, make_in).await {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    let (folder, other) = (scratch.folder.display(), scratch.spare.display());
    match make(&scratch.spare, make_with_its_folder).await {
        Ok(path) => {
            if scratch.warned.is_new("make", usual.kind()) {
                warn!("no temporary directory can be made in {folder}, so tasks get theirs in {other}: {usual}");
            }
            Ok(path)
        }
        Err(error) => Err(format!("none in {folder}: {usual}; none in {other}: {error}")),
    }
}

fn make_with_its_folder(folder: &Path, prefix: &str) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    make_in(folder, prefix)
}

fn make_in(folder: &Path, prefix: &str) -> io::Result<PathBuf> {
    for _ in 0..DRAWS {
        let lot = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("{prefix}{}", letters(lot, 6));
        let path = folder.join(&name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                return settle_in(folder, Path::new(&name))
                    .map(|()| path.clone())
                    .inspect_err(|_| drop(remove(&path)));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Sees that what was just made is ours, is closed to others whatever the umask, and has room.
fn settle_in(folder: &Path, name: &Path) -> io::Result<()> {
    let dir = open_below(&open_folder(folder)?, name)?;
    let closed = || Ok::<_, io::Error>(dir.metadata()?.mode() & 0o777 == 0o700);
    if !closed()? {
        dir.set_mode(0o700)?;
    }
    let metadata = dir.metadata()?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() || !closed()? {
        let words = "what is made there does not belong to this user alone";
        return Err(io::Error::new(ErrorKind::PermissionDenied, words));
    }
    let probe = folder.join(name).join("room");
    fs::write(&probe, [0; ROOM])?;
    fs::remove_file(&probe)
}

/// Removes a directory, however long it takes: also when this process has no descriptors for it until later.
async fn remove_all(path: &Path, launcher: &Launcher) -> Result<(), NotRemoved> {
    loop {
        match remove_with_mounts(path, launcher).await {
            Err(stays) if is_shortage(&stays.why) => {
                debug!("the removal of a temporary directory will be tried again: {stays}");
                sleep(SHORTAGE).await;
            }
            removed => return removed,
        }
    }
}

/// Removes a directory. A FUSE mount of ours in it (an AppImage that was killed leaves one) is taken away before.
async fn remove_with_mounts(path: &Path, launcher: &Launcher) -> Result<(), NotRemoved> {
    let stays = match try_remove(path).await {
        Err(stays) if stays.is_mounted() => stays,
        removed => return removed,
    };
    let below = path.to_owned();
    let mounts = run_blocking_within(pending(), move || fuse_below(&below)).await;
    let mounts = mounts.and_then(Result::ok).unwrap_or_default();
    if mounts.is_empty() {
        return Err(stays);
    }
    for mount in mounts {
        unmount(&mount, launcher).await;
    }
    try_remove(path).await
}

async fn try_remove(path: &Path) -> Result<(), NotRemoved> {
    let path = path.to_owned();
    // Without an answer the worker ends; the next start goes on.
    run_blocking_within(pending(), move || remove(&path))
        .await
        .unwrap_or(Ok(()))
}

/// Unmounts what is mounted with FUSE, at once for new uses. The program that may do so for others than root
/// has two names.
async fn unmount(at: &Path, launcher: &Launcher) {
    for program in ["fusermount3", "fusermount"] {
        let spec = ProcessSpec {
            args: ["-u".into(), "-z".into(), "--".into(), at.into()].into(),
            kill_sequence: KillSequence(vec![(Signal::SIGTERM, UNMOUNT)]),
            label: "unmount".to_owned(),
            ..ProcessSpec::new(program)
        };
        let (_never, mut abort) = AbortSource::new();
        let ended = timeout(UNMOUNT, launcher.run(&spec, &mut abort, &mut |_| {})).await;
        debug!(at = %at.display(), ?ended, "{program}");
        if ended.is_ok_and(|ended| ended.is_ok()) {
            return;
        }
    }
}

/// What the names of this worker's directories begin with.
fn prefix(scratch: &ScratchDirs) -> String {
    // 64-bit FNV-1a: the same in every version of the worker.
    let hash = scratch.mark.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("flamenco-{}-", letters(hash >> 20, 8))
}

/// The lowest bits of a number, five to a letter.
fn letters(number: u64, count: u32) -> String {
    (0..count)
        .map(|place| char::from(LETTERS[(number >> (5 * place) & 31) as usize]))
        .collect()
}

#[cfg(test)]
mod tests;
