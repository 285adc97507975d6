// SPDX-License-Identifier: GPL-3.0-or-later

//! Landlock only allows. So that all can be read but a few files, all around them is allowed:
//!
//! ```text
//! /            bin etc home ...  allowed, but for what leads to a hidden one
//! /var           cache log ...
//! /var/lib         dpkg ...
//! /var/lib/flamenco  (hidden)
//! ```
//!
//! The same file can be seen at other places, where parts of a file system are mounted twice: there, too.
//!
//! What comes to stand beside a hidden one later can be read from the next start on, and nothing can be made or renamed in the
//! folders that lead to it: a hidden one by another name would be all around. Names can be listed all the same: a folder that can be
//! listed allows that to all below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use glob::glob;
use landlock::{AccessFs, BitFlags, PathFd, Ruleset, RulesetAttr, RulesetCreated};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use super::confinement::Paths;
use super::exceptions::{Exceptions, Openness, is_open_device};
use super::landlock::{NEWEST, allow, allow_opened};
use super::opened::Written;
use crate::clock;
use crate::mounts::mounts;

/// What is mounted where, for this process. Who polls it is told of changes (proc_pid_mounts(5)).
const MOUNTS: &str = "/proc/self/mountinfo";
/// The times of files are as coarse as this, and finer on most.
const TICK: Duration = Duration::from_millis(100);

/// Files of the worker's own, and what of them is open all the same. What is not there has nothing to hide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnPlaces {
    /// No task reads or writes them.
    pub hidden: Paths,
    /// Patterns of more such files; one that stands beside a hidden one counts when it is made.
    pub others: Vec<String>,
    /// Tasks only read them.
    pub kept: Paths,
    /// What tasks read in hidden folders.
    pub shown: Paths,
    /// What they write there as well.
    pub written: Paths,
}

/// What may be read and written around hidden files, as far as the kernel is to see to it. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Around(Arc<OwnedFd>);

/// The ruleset of the last start, which most often is that of the next one: a node has hundreds of files around its own, and
/// their rules take longer than the start of a program may.
#[derive(Debug, Default)]
pub(super) struct LastAround(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    seen: Seen,
    around: Option<Around>,
}

/// What a ruleset is made of. A rule is for a file itself: what is mounted over it, or takes its name, is another one.
#[derive(Debug)]
struct Seen {
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

impl Around {
    /// One that another process has made.
    pub(crate) fn received(ruleset: OwnedFd) -> Self {
        Self(Arc::new(ruleset))
    }

    /// As it travels to another process.
    pub(crate) fn ruleset(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All of a node are for the same files, however often they are made.
impl PartialEq for Around {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Around {}

impl LastAround {
    /// All around the hidden ones, and what is open in them. `None`: nothing is hidden, or the kernel has nothing of it.
    ///
    /// # Errors
    /// There are no descriptors to be had, or the kernel does not list what is mounted.
    pub(super) fn of(&self, places: &OwnPlaces) -> io::Result<Option<Around>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.seen.is_unchanged()) {
            return Ok(known.around.clone());
        }
        // Before anything is looked at.
        let changes = File::open(MOUNTS).ok();
        let exceptions = places.exceptions()?;
        let seen = Seen::look(places, &exceptions, changes);
        let around = make(places, &exceptions)?.map(Around::received);
        // What changes twice within a tick of its clock has changed once.
        let is_sure = seen.is_settled() && places.exceptions()? == exceptions && seen.is_unchanged();
        *known = is_sure.then(|| Known {
            seen,
            around: around.clone(),
        });
        Ok(around)
    }
}

impl OwnPlaces {
    fn exceptions(&self) -> io::Result<Exceptions> {
        let found =
            |paths: &[PathBuf]| -> Vec<_> { paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect() };
        let others: Vec<_> = self
            .others
            .iter()
            .flat_map(|pattern| glob(pattern))
            .flatten()
            .flatten()
            .collect();
        let hidden = [found(&self.hidden.0), found(&others)].concat();
        Ok(Exceptions::new(&hidden, &found(&self.kept.0), &mounts()?))
    }
}

impl Seen {
    fn look(places: &OwnPlaces, exceptions: &Exceptions, mounts: Option<File>) -> Self {
        let OwnPlaces {
            hidden,
            kept,
            shown,
            written,
            others: _,
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
    fn is_unchanged(&self) -> bool {
        let same = |(path, stamp): (&PathBuf, &Option<Stamp>)| Stamp::of(path) == *stamp;
        let same_file = |(path, stamp): (&PathBuf, &Option<Stamp>)| {
            Stamp::of(path).map(|stamp| stamp.file) == stamp.map(|stamp| stamp.file)
        };
        self.mounts.as_ref().is_some_and(is_quiet) && self.folders.iter().all(same) && self.whole.iter().all(same_file)
    }

    /// Whether all of it was as it is for a while.
    fn is_settled(&self) -> bool {
        let until = clock::system_time().checked_sub(TICK).unwrap_or(UNIX_EPOCH);
        self.folders.values().flatten().all(|stamp| stamp.is_older_than(until))
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

fn make(places: &OwnPlaces, exceptions: &Exceptions) -> io::Result<Option<OwnedFd>> {
    if places.hidden.0.iter().all(|path| !path.exists()) {
        return Ok(None);
    }
    let created = Ruleset::default()
        .handle_access(reach())
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let mut created = allow_around(created, Path::new("/"), exceptions)?;
    // No task writes in a folder that leads there.
    let links = Written::default();
    for path in &places.shown.0 {
        created = allow(created, (&links, path), AccessFs::ReadFile.into())?;
    }
    for path in &places.written.0 {
        created = allow(created, (&links, path), reach())?;
    }
    Ok(created.into())
}

/// Allows all in a folder as far as it is open, and goes into the folders that lead to an exception.
fn allow_around(mut created: RulesetCreated, folder: &Path, exceptions: &Exceptions) -> io::Result<RulesetCreated> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(created);
    };
    let has_devices = exceptions.at(folder) == Some(Openness::Devices);
    for entry in entries.flatten() {
        // What a link leads to is allowed, or not, where it is.
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        let path = entry.path();
        let rights = match exceptions.at(&path) {
            Some(Openness::Closed) => continue,
            Some(Openness::ReadOnly) => AccessFs::ReadFile.into(),
            None if has_devices && !is_open_device(&entry) => continue,
            None if !exceptions.are_below(&path) => reach(),
            Some(Openness::Devices) | None => {
                created = allow_around(created, &path, exceptions)?;
                continue;
            }
        };
        // It may be gone by now, or be another user's alone.
        if let Ok(opened) = PathFd::new(&path) {
            created = allow_opened(created, opened, rights)?;
        }
    }
    Ok(created)
}

/// To read, and to change anything.
fn reach() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) | AccessFs::ReadFile
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread::scope;

    use super::super::KernelSupport;
    use super::super::confinement::{Confinement, confine};
    use super::*;

    #[test]
    fn n2_what_is_hidden_cannot_be_reached_and_all_around_it_can() {
        // Without Landlock there is nothing to see, and before its second version nothing can be linked elsewhere.
        if KernelSupport::ask().is_older_than(2) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["home/tmp", "home/shown", "work/deep", "trusted", "other-1"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for name in [
            "home/secret",
            "home/shown/file",
            "home/tmp/own",
            "beside",
            "work/file",
            "trusted/kept",
            "other-1/secret",
        ] {
            fs::write(at(name), "x").unwrap();
        }
        let around = LastAround::default().of(&OwnPlaces {
            hidden: Paths(vec![at("home"), "/no/such/file".into()]),
            others: vec![at("other-[0-9]").display().to_string()],
            kept: Paths(vec![at("trusted/kept")]),
            shown: Paths(vec![at("home/shown")]),
            written: Paths(vec![at("home/tmp")]),
        });
        let confinement = Confinement {
            around: around.unwrap(),
            ..Confinement::default()
        };
        let (done, refused) = scope(|scope| {
            let held = scope.spawn(|| {
                confine(&confinement).unwrap();
                (all_around(dir.path()), what_is_hidden(dir.path()))
            });
            held.join().unwrap()
        });
        assert_eq!(done, [true; 7]);
        assert_eq!(refused, [false; 11]);
    }

    #[test]
    fn n2_a_ruleset_serves_until_something_changes_around_what_is_hidden() {
        if KernelSupport::ask().is_older_than(1) {
            return;
        }
        let dir = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["deep/home", "beside"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        // Long enough ago.
        let then = clock::system_time().checked_sub(Duration::from_secs(60)).unwrap();
        let settle = |folder: &str| File::open(at(folder)).unwrap().set_modified(then).unwrap();
        ["deep", "beside", ""].into_iter().for_each(settle);
        let last = LastAround::default();
        let places = OwnPlaces {
            hidden: Paths(vec![at("deep/home")]),
            shown: Paths(vec![at("deep/home/shown")]),
            ..OwnPlaces::default()
        };
        let get = || last.of(&places).unwrap().unwrap();
        let kept = || last.0.lock().unwrap().is_some();
        // The folder of the folder has just changed, and others of the machine may.
        let is_served = || {
            let (one, other) = (get(), get());
            kept() && Arc::ptr_eq(&one.0, &other.0)
        };
        assert!((0..100_000).any(|_| is_served()));
        let changes: [&dyn Fn(); 3] = [
            &|| fs::write(at("deep/new"), "").unwrap(),
            &|| fs::create_dir(at("deep/home/shown")).unwrap(),
            &|| fs::rename(at("beside"), at("other")).unwrap(),
        ];
        for change in changes {
            let before = Seen::look(&places, &places.exceptions().unwrap(), File::open(MOUNTS).ok());
            change();
            assert!(!before.is_unchanged());
        }
        // What has just changed may change again unseen.
        get();
        assert!(!kept());
        fs::rename(at("deep"), at("gone")).unwrap();
        assert!(last.of(&places).unwrap().is_none());
    }

    fn all_around(dir: &Path) -> [bool; 7] {
        let at = |name: &str| dir.join(name);
        [
            File::open(at("beside")).is_ok() && File::open("/proc/self/stat").is_ok(),
            fs::write(at("work/new"), "y").is_ok(),
            fs::rename(at("work/file"), at("work/deep/file")).is_ok(),
            File::open(at("home/tmp/own")).is_ok() && fs::write(at("home/tmp/own"), "y").is_ok(),
            File::open(at("home/shown/file")).is_ok(),
            File::open(at("trusted/kept")).is_ok(),
            // Its names are no secret.
            fs::read_dir(at("home")).is_ok(),
        ]
    }

    fn what_is_hidden(dir: &Path) -> [bool; 11] {
        let at = |name: &str| dir.join(name);
        let secret = at("home/secret");
        // What a link leads to is what it is elsewhere.
        symlink(&secret, at("work/link")).unwrap();
        [
            File::open(&secret).is_ok(),
            File::open(at("work/link")).is_ok(),
            fs::hard_link(&secret, at("work/stolen")).is_ok(),
            fs::hard_link(&secret, at("stolen")).is_ok(),
            fs::rename(&secret, at("work/stolen")).is_ok(),
            fs::rename(at("home"), at("other")).is_ok(),
            fs::write(&secret, "y").is_ok(),
            fs::write(at("home/new"), "y").is_ok(),
            fs::write(at("home/shown/file"), "y").is_ok(),
            fs::write(at("trusted/kept"), "y").is_ok(),
            File::open(at("other-1/secret")).is_ok(),
        ]
    }
}
