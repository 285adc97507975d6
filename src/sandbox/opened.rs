// SPDX-License-Identifier: GPL-3.0-or-later

//! Opening what a rule is for. A link that a task has put somewhere must not decide what the next one may do.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// So many links are followed in one path, as by the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What was opened for a rule.
#[derive(Debug)]
pub(super) enum Opened {
    /// With all that is below it.
    Folder(OwnedFd),
    /// Anything else.
    File(OwnedFd),
}

/// Folders that tasks write.
#[derive(Debug, Default)]
pub(super) struct Written<'a> {
    folders: Vec<&'a Path>,
    /// The same with links followed: most paths have none, and nobody asks.
    found: OnceCell<Vec<PathBuf>>,
}

impl<'a> Written<'a> {
    pub(super) fn new(folders: impl Iterator<Item = &'a PathBuf>) -> Self {
        Self {
            folders: folders.map(PathBuf::as_path).collect(),
            found: OnceCell::new(),
        }
    }

    /// Opens what is at `path`; no link in one of these folders is followed. `None`: there is nothing, or nothing to be followed.
    pub(super) fn open(&self, path: &Path) -> Option<Opened> {
        match open_without_links(path, Links::Refused) {
            // A container's filter may not know the call.
            Err(Errno::ELOOP | Errno::EPERM | Errno::ENOSYS) => {
                let path = follow(path, |link| !link.parent().is_some_and(|folder| self.has(folder)))?;
                match open_without_links(&path, Links::Refused) {
                    Err(Errno::EPERM | Errno::ENOSYS) => open_without_links(&path, Links::LastRefused).ok(),
                    opened => opened.ok(),
                }
            }
            opened => opened.ok(),
        }
    }

    /// What a path is for which a rule opens nothing, in words; `None`: it opens something.
    pub(super) fn opens_nothing(&self, path: &Path) -> Option<&'static str> {
        let why = match path.exists() {
            true => "reached by a link that tasks can replace",
            false => "not there",
        };
        self.open(path).is_none().then_some(why)
    }

    /// Whether a folder is in one of them, or is one.
    fn has(&self, folder: &Path) -> bool {
        let find = || {
            self.folders
                .iter()
                .filter_map(|written| fs::canonicalize(written).ok())
                .collect()
        };
        self.found
            .get_or_init(find)
            .iter()
            .any(|written| folder.starts_with(written))
    }
}

/// Where an absolute path leads, whether that is there or not. Each link on its way is shown to `at_link`, which may end it; `None`
/// then, or where there is no end.
pub(super) fn follow(path: &Path, mut at_link: impl FnMut(&Path) -> bool) -> Option<PathBuf> {
    let mut reached = PathBuf::from("/");
    let mut ahead = names_of(path);
    let mut followed = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            reached.pop();
            continue;
        }
        let next = reached.join(&name);
        let Ok(target) = fs::read_link(&next) else {
            reached = next;
            continue;
        };
        followed += 1;
        if followed > MOST_LINKS || !at_link(&next) {
            return None;
        }
        if target.is_absolute() {
            reached = "/".into();
        }
        ahead.extend(names_of(&target));
    }
    Some(reached)
}

/// The names in a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// Which links in a path are refused.
#[derive(Debug, Clone, Copy)]
enum Links {
    /// All of them, which a kernel before 5.6 cannot do.
    Refused,
    /// One at its end.
    LastRefused,
}

fn open_without_links(path: &Path, links: Links) -> nix::Result<Opened> {
    let at_once = |flags| {
        let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
        match links {
            Links::Refused => {
                let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
                openat2(AT_FDCWD, path, how)
            }
            Links::LastRefused => open(path, flags | OFlag::O_NOFOLLOW, Mode::empty()),
        }
    };
    // What is mounted by whoever looks into it is mounted now, or the rule would be one for what it hides.
    match at_once(OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR) => at_once(OFlag::empty()).map(Opened::File),
        opened => opened.map(Opened::Folder),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn n2_a_link_where_tasks_write_opens_nothing_and_others_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["render/deep", "outside", "elsewhere"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("outside/file"), "x").unwrap();
        symlink("render", at("shown")).unwrap();
        symlink(at("outside"), at("render/link")).unwrap();
        symlink("../outside/../render/./link", at("elsewhere/link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let shown = [at("shown")];
        let written = Written::new(shown.iter());
        let is_open = |name: &str| written.open(&at(name)).is_some();
        assert!(
            ["render", "shown", "shown/deep", "outside/file", "elsewhere"]
                .into_iter()
                .all(is_open)
        );
        let closed = ["render/link", "shown/link/file", "elsewhere/link", "loop", "none"];
        assert!(!closed.into_iter().any(is_open));
        assert!(matches!(written.open(&at("outside/file")), Some(Opened::File(_))));
        assert!(Written::default().open(&at("elsewhere/link/file")).is_some());
    }
}
