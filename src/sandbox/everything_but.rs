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
//! What comes to stand beside a hidden one later can be read from the next start on, and nothing can be made or renamed in the
//! folders that lead to it: a hidden one by another name would be all around. Names can be listed all the same: a folder that can be
//! listed allows that to all below it.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, PathFd, Ruleset, RulesetAttr, RulesetCreated};

use super::landlock::{NEWEST, allow, allow_opened};

/// Where devices are: what is on a disk can be read past all folders there, and what is typed, and what a console shows.
const DEVICES: &str = "/dev";
/// Keyboards, mice and the like.
const INPUT: &str = "input";

/// A ruleset of all that can be read and written around the hidden ones. `None`: nothing is hidden, or the kernel has nothing of it.
///
/// # Errors
/// There are no descriptors to be had.
pub(super) fn ruleset(hidden: &[PathBuf], shown: &[PathBuf], tmpdir: &[PathBuf]) -> io::Result<Option<OwnedFd>> {
    // What is not there has nothing to hide.
    let resolved: Vec<_> = hidden.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    if resolved.is_empty() {
        return Ok(None);
    }
    let created = Ruleset::default()
        .handle_access(reach())
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let mut created = allow_around(created, Path::new("/"), &resolved)?;
    for path in shown {
        created = allow(created, path, AccessFs::ReadFile.into())?;
    }
    for path in tmpdir {
        created = allow(created, path, reach())?;
    }
    Ok(created.into())
}

/// Allows all in a folder but what is hidden, and goes into the folders that lead to it.
fn allow_around(mut created: RulesetCreated, folder: &Path, hidden: &[PathBuf]) -> io::Result<RulesetCreated> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(created);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // What a link leads to is allowed, or not, where it is.
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) || hidden.contains(&path) {
            continue;
        }
        if path == Path::new(DEVICES) || hidden.iter().any(|hidden| hidden.starts_with(&path)) {
            created = allow_around(created, &path, hidden)?;
        } else if folder != Path::new(DEVICES) || is_open_device(&entry) {
            // It may be gone by now, or be another user's alone.
            if let Ok(opened) = PathFd::new(&path) {
                created = allow_opened(created, opened, reach())?;
            }
        }
    }
    Ok(created)
}

/// To read, and to change anything.
fn reach() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) | AccessFs::ReadFile
}

/// Whether an entry of `/dev` says nothing of what is on disks, typed, or shown.
fn is_open_device(entry: &DirEntry) -> bool {
    let is_block = entry.file_type().is_ok_and(|kind| kind.is_block_device());
    let name = entry.file_name();
    let is_console = |start: &str| {
        let rest = name.as_bytes().strip_prefix(start.as_bytes());
        rest.is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
    };
    let own_terminal = name == OsStr::new("tty");
    !is_block && name != OsStr::new(INPUT) && (own_terminal || !(is_console("tty") || is_console("vcs")))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::thread::scope;

    use super::super::KernelSupport;
    use super::super::confinement::{Confinement, Paths, confine};
    use super::*;

    #[test]
    fn n2_what_is_hidden_cannot_be_reached_and_all_around_it_can() {
        // Without Landlock there is nothing to see, and before its second version nothing can be linked elsewhere.
        if KernelSupport::ask().is_older_than(2) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["home/tmp", "home/shown", "work/deep"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for name in ["home/secret", "home/shown/file", "home/tmp/own", "beside", "work/file"] {
            fs::write(at(name), "x").unwrap();
        }
        let confinement = Confinement {
            hidden: Paths(vec![at("home"), "/no/such/file".into()]),
            tmpdir: Paths(vec![at("home/tmp")]),
            shown: Paths(vec![at("home/shown")]),
            ..Confinement::default()
        };
        let (done, refused) = scope(|scope| {
            let held = scope.spawn(|| {
                confine(&confinement).unwrap();
                (all_around(dir.path()), what_is_hidden(dir.path()))
            });
            held.join().unwrap()
        });
        assert_eq!(done, [true; 6]);
        assert_eq!(refused, [false; 9]);
    }

    fn all_around(dir: &Path) -> [bool; 6] {
        let at = |name: &str| dir.join(name);
        [
            File::open(at("beside")).is_ok() && File::open("/proc/self/stat").is_ok(),
            fs::write(at("work/new"), "y").is_ok(),
            fs::rename(at("work/file"), at("work/deep/file")).is_ok(),
            File::open(at("home/tmp/own")).is_ok() && fs::write(at("home/tmp/own"), "y").is_ok(),
            File::open(at("home/shown/file")).is_ok(),
            // Its names are no secret.
            fs::read_dir(at("home")).is_ok(),
        ]
    }

    fn what_is_hidden(dir: &Path) -> [bool; 9] {
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
        ]
    }
}
