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

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use glob::glob;
use landlock::{AccessFs, BitFlags, PathFd, Ruleset, RulesetAttr, RulesetCreated};
use serde::{Deserialize, Serialize};

use super::automounts::{Automounts, met};
use super::confinement::Paths;
use super::exceptions::{Exceptions, Openness, Ways, is_open_device};
use super::landlock::{NEWEST, allow, allow_opened};
use super::opened::Written;
use super::seen::{MOUNTS, Seen};
use crate::mounts::mounts;

/// Files of the worker's own, whether they are there or not, and what of them is open all the same.
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
    /// What does not answer: it is not looked at.
    pub stuck: Paths,
}

/// What may be read and written around hidden files, as far as the kernel is to see to it. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Around(Arc<OwnedFd>);

/// The ruleset of the last start, which most often is that of the next one: a node has hundreds of files around its own, and
/// their rules take longer than the start of a program may.
#[derive(Debug, Default)]
pub(super) struct LastAround {
    known: Mutex<Option<Known>>,
    automounts: Automounts,
}

#[derive(Debug)]
struct Known {
    seen: Seen,
    around: Option<Around>,
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
    pub(super) fn of(&self, mut places: OwnPlaces) -> io::Result<Option<Around>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.seen.is_unchanged()) {
            return Ok(known.around.clone());
        }
        // Before anything is looked at.
        let changes = File::open(MOUNTS).ok();
        self.automounts.wake(&places.exceptions()?, &mounts()?);
        places.stuck = Paths(self.stuck());
        let exceptions = places.exceptions()?;
        let seen = Seen::look(&places, &exceptions, changes);
        let around = make(&places, &exceptions)?.map(Around::received);
        // What changes twice within a tick of its clock has changed once. What could not be mounted may be at any time.
        let is_mounted = met(&exceptions, &mounts()?).next().is_none();
        let is_sure = is_mounted && seen.is_settled() && places.exceptions()? == exceptions && seen.is_unchanged();
        *known = is_sure.then(|| Known {
            seen,
            around: around.clone(),
        });
        Ok(around)
    }

    /// What does not answer now.
    pub(super) fn stuck(&self) -> Vec<PathBuf> {
        self.automounts.stuck()
    }
}

impl OwnPlaces {
    /// All around them as it is now; as [`LastAround::of`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn around(&self) -> io::Result<Option<Around>> {
        Ok(make(self, &self.exceptions()?)?.map(Around::received))
    }

    fn exceptions(&self) -> io::Result<Exceptions> {
        let others = self.others.iter().flat_map(|pattern| glob(pattern)).flatten().flatten();
        let others: Vec<_> = others.collect();
        let hidden = Ways::to(self.hidden.0.iter().chain(&others));
        Ok(Exceptions::new(&hidden, &Ways::to(&self.kept.0), &mounts()?).and_closed(&self.stuck.0))
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
            // It may be a hidden one by another name, and a rule is for the file.
            None if has_several_names(&entry) => continue,
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

fn has_several_names(entry: &DirEntry) -> bool {
    entry.metadata().is_ok_and(|file| file.is_file() && file.nlink() > 1)
}

/// To read, and to change anything.
fn reach() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) | AccessFs::ReadFile
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread::scope;
    use std::time::Duration;

    use super::super::KernelSupport;
    use super::super::confinement::{Confinement, confine};
    use super::*;
    use crate::clock;

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
        fs::hard_link(at("home/secret"), at("copy")).unwrap();
        let around = LastAround::default().of(OwnPlaces {
            hidden: Paths(vec![at("home"), "/no/such/file".into()]),
            others: vec![at("other-[0-9]").display().to_string()],
            kept: Paths(vec![at("trusted/kept")]),
            shown: Paths(vec![at("home/shown")]),
            written: Paths(vec![at("home/tmp")]),
            stuck: Paths::default(),
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
        assert_eq!(refused, [false; 12]);
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
        let get = || last.of(places.clone()).unwrap().unwrap();
        let kept = || last.known.lock().unwrap().is_some();
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
        assert!(last.of(places.clone()).unwrap().is_none());
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

    fn what_is_hidden(dir: &Path) -> [bool; 12] {
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
            File::open(at("copy")).is_ok(),
        ]
    }
}
