// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether anything has changed of what a ruleset was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::everything_but::OwnPlaces;
use super::exceptions::Exceptions;
use crate::clock;

/// What is mounted where, for this process. Who polls it is told of changes (proc_pid_mounts(5)).
pub(super) const MOUNTS: &str = "/proc/self/mountinfo";
/// The times of files are as coarse as this, and finer on most.
const TICK: Duration = Duration::from_millis(100);

/// What a ruleset is made of. A rule is for a file itself: what is mounted over it, or takes its name, is another one.
#[derive(Debug)]
pub(super) struct Seen {
    /// Each folder that is open entry by entry, as it is written and with links followed.
    folders: BTreeMap<PathBuf, Option<Stamp>>,
    /// The hidden files, and what is open in them. Their contents are not looked at: they are closed or open as a whole.
    whole: BTreeMap<PathBuf, Option<Stamp>>,
    /// It tells each change once.
    mounts: Option<File>,
}

/// Which file it is, and when its entries have changed last, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    changed: (i64, i64),
}

impl Seen {
    /// As it is now; `mounts` was opened before anything was looked at.
    pub(super) fn look(places: &OwnPlaces, exceptions: &Exceptions, mounts: Option<File>) -> Self {
        let OwnPlaces {
            hidden,
            kept,
            shown,
            written,
            others: _,
            stuck: _,
        } = places;
        let is_below = |folder: &&Path| hidden.0.iter().any(|hidden| folder.starts_with(hidden));
        // Also as they are written: a link that leads there may come to lead elsewhere.
        let above = hidden.0.iter().chain(&kept.0).flat_map(|path| path.ancestors().skip(1));
        let leading = above.filter(|folder| !is_below(folder));
        let folders: BTreeSet<_> = leading.chain(exceptions.folders()).collect();
        let stamped = |path: &Path| (path.to_owned(), Stamp::of(path));
        let whole = [hidden, kept, shown, written].into_iter().flat_map(|paths| &paths.0);
        Self {
            folders: folders.into_iter().map(stamped).collect(),
            whole: whole.map(|path| stamped(path)).collect(),
            mounts,
        }
    }

    /// Whether a look would see the same. `true` is for now, `false` for good.
    pub(super) fn is_unchanged(&self) -> bool {
        let same = |(path, stamp): (&PathBuf, &Option<Stamp>)| Stamp::of(path) == *stamp;
        let same_file = |(path, stamp): (&PathBuf, &Option<Stamp>)| {
            Stamp::of(path).map(|stamp| stamp.file) == stamp.map(|stamp| stamp.file)
        };
        self.mounts.as_ref().is_some_and(is_quiet) && self.folders.iter().all(same) && self.whole.iter().all(same_file)
    }

    /// Whether all of it was as it is for a while.
    pub(super) fn is_settled(&self) -> bool {
        let now = clock::system_time();
        let from = now.checked_sub(TICK).unwrap_or(UNIX_EPOCH);
        // A time that is far ahead was set, and the next change is not made then.
        let just_now = |stamp: &Stamp| !stamp.is_older_than(from) && stamp.is_older_than(now + TICK);
        !self.folders.values().flatten().any(just_now)
    }
}

/// Whether nothing was mounted or unmounted since this was opened, or asked.
fn is_quiet(mounts: &File) -> bool {
    let mut asked = [PollFd::new(mounts.as_fd(), PollFlags::POLLPRI)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|changed| changed == 0)
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    fn is_older_than(&self, time: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::new(
            seconds.try_into().unwrap_or_default(),
            nanoseconds.try_into().unwrap_or_default(),
        );
        UNIX_EPOCH.checked_add(since).is_some_and(|changed| changed < time)
    }
}
