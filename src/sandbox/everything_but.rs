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
pub(super) fn ruleset<'a>(hidden: &[PathBuf], shown: impl Iterator<Item = &'a PathBuf>) -> io::Result<Option<OwnedFd>> {
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
        for folder in ["home/tmp", "work/deep"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for name in ["home/secret", "home/tmp/own", "beside", "work/file"] {
            fs::write(at(name), "x").unwrap();
        }
        let confinement = Confinement {
            hidden: Paths(vec![at("home"), "/no/such/file".into()]),
            shown: Paths(vec![at("home/tmp")]),
            ..Confinement::default()
        };
        let attempts = || {
            confine(&confinement).unwrap();
            // What a link leads to is what it is elsewhere.
            symlink(at("home/secret"), at("work/link")).unwrap();
            [
                ("read a file around", File::open(at("beside")).is_ok(), true),
                ("read a file of the system", File::open("/proc/self/stat").is_ok(), true),
                ("read what is shown", File::open(at("home/tmp/own")).is_ok(), true),
                ("write what is shown", fs::write(at("home/tmp/own"), "y").is_ok(), true),
                ("write around", fs::write(at("work/new"), "y").is_ok(), true),
                (
                    "move around",
                    fs::rename(at("work/file"), at("work/deep/file")).is_ok(),
                    true,
                ),
                ("list what is hidden", fs::read_dir(at("home")).is_ok(), true),
                ("read what is hidden", File::open(at("home/secret")).is_ok(), false),
                ("read it by a link", File::open(at("work/link")).is_ok(), false),
                (
                    "link it elsewhere",
                    fs::hard_link(at("home/secret"), at("work/stolen")).is_ok(),
                    false,
                ),
                (
                    "link it beside",
                    fs::hard_link(at("home/secret"), at("stolen")).is_ok(),
                    false,
                ),
                (
                    "move it elsewhere",
                    fs::rename(at("home/secret"), at("work/stolen")).is_ok(),
                    false,
                ),
                ("call it otherwise", fs::rename(at("home"), at("other")).is_ok(), false),
                ("write it", fs::write(at("home/secret"), "y").is_ok(), false),
                ("add to it", fs::write(at("home/new"), "y").is_ok(), false),
            ]
        };
        let attempts = scope(|scope| scope.spawn(attempts).join().unwrap());
        for (what, done, expected) in attempts {
            assert_eq!(done, expected, "{what}");
        }
    }
}
