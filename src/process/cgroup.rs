// SPDX-License-Identifier: GPL-3.0-or-later

//! A control group for each program, where a part of cgroup v2 is delegated to us. Never required.
//!
//! ```text
//! the delegated group ─┬─ flamenco-MARK.worker   we ourselves, where the memory controller is enabled
//!                      └─ flamenco-MARK.PID      one program, named after its guard, made and removed by it
//! ```
//!
//! It is an addition to the walk through the tree, never the alternative: snap and flatpak move their programs into a
//! group of their own. It adds three things: `cgroup.kill` reaches at once a process that forks, that cleared its
//! environment, or that is another user's; `populated 0` is a second proof; memory is counted for all of a program
//! together.
//!
//! A group is ours to divide if a service manager says so, by the extended attribute `delegate` that systemd sets since
//! version 251 (systemd.resource-control(5), Delegate=). Where no systemd runs (in a container) it is a group that we may
//! write, unless it is the root of all. See cgroups(7) and the kernel's
//! `admin-guide/cgroup-v2.rst`.

#![expect(unsafe_code, reason = "getxattr has no safe wrapper")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{AccessFlags, access, getpid};

use super::procfs::ProcessStat;
use crate::chain::chain;
use crate::mounts;

/// The folder that is there where systemd is the service manager (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// The file of a group that kills its members.
const KILL: &str = "cgroup.kill";

/// The group that is delegated to us, in which programs get theirs.
#[derive(Debug, Clone)]
pub(super) struct DelegatedGroup {
    base: PathBuf,
    mark: String,
}

/// What of cgroup v2 is delegated to a process, for a caller that only looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// The folder of the delegated group.
    pub group: PathBuf,
    /// All of a group can be killed at once (since Linux 5.14).
    pub can_kill: bool,
    /// Memory can be counted for each program.
    pub counts_memory: bool,
}

impl Delegation {
    /// What the process `pid` has, as far as this user may see and write; `mark` is its own if it is a worker.
    pub(crate) fn of(pid: i32, mark: &str) -> Option<Self> {
        let delegated = DelegatedGroup::of(&pid.to_string(), mark)?;
        Some(Self {
            can_kill: delegated.base.join(KILL).exists(),
            counts_memory: delegated.can_count_memory(),
            group: delegated.base,
        })
    }
}

/// One program's group.
#[derive(Debug, Clone)]
pub(super) struct Cgroup(PathBuf);

impl DelegatedGroup {
    /// Finds our own. Returns `None` where nothing is delegated to us.
    pub(super) fn find(mark: &str) -> Option<Self> {
        Self::of("self", mark)
    }

    /// Finds the delegated group of a process: a pid, or `self`.
    fn of(process: &str, mark: &str) -> Option<Self> {
        let own = group_of(process)?;
        let delegated = |base: &Path| Self {
            base: base.to_owned(),
            mark: mark.to_owned(),
        };
        let parent = own.parent()?;
        if own == delegated(parent).leaf() {
            return Some(delegated(parent));
        }
        // The parent: `DelegateSubgroup=` starts us in a group below the one that is delegated.
        [own.as_path(), parent]
            .into_iter()
            .find(|base| is_ours(base))
            .map(delegated)
    }

    /// Has memory counted for each program, if it can be, and returns whether it is. The kernel wants no process in a group
    /// whose controllers are passed down, so we move into a group of our own first; where there is another process, the
    /// kernel refuses, and programs have groups that count nothing.
    pub(super) fn count_memory(&self) -> bool {
        if !self.can_count_memory() {
            return false;
        }
        let leaf = self.leaf();
        let moved = make(&leaf)
            .and_then(|()| fs::write(leaf.join("cgroup.procs"), "0"))
            .and_then(|()| fs::write(self.base.join("cgroup.subtree_control"), "+memory"));
        if let Err(error) = &moved {
            tracing::info!(group = %self.base.display(), error = chain(error), "memory is not counted for each program");
        }
        moved.is_ok()
    }

    fn can_count_memory(&self) -> bool {
        let controllers = fs::read_to_string(self.base.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|name| name == "memory")
    }

    /// The path of a program's group up to its guard's pid, for [`Cgroup::of_guard`].
    pub(super) fn prefix(&self) -> String {
        self.base.join(format!("flamenco-{}.", self.mark)).display().to_string()
    }

    fn leaf(&self) -> PathBuf {
        self.base.join(format!("flamenco-{}.worker", self.mark))
    }

    /// The groups of programs of an earlier life, whose guards are gone or going.
    pub(super) fn leftovers(&self) -> Vec<Cgroup> {
        let prefix = format!("flamenco-{}.", self.mark);
        let is_programs = |name: &str| {
            name.strip_prefix(&prefix)
                .is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(is_programs))
            .map(|entry| Cgroup(entry.path()))
            .collect()
    }
}

impl Cgroup {
    pub(super) fn of_guard(prefix: &str, guard: i32) -> Self {
        Self(PathBuf::from(format!("{prefix}{guard}")))
    }

    /// Makes one for the program of this guard. Returns `None` where the kernel refuses (there can be a limit on groups).
    pub(super) fn make_own(prefix: &str) -> Option<Self> {
        let own = Self::of_guard(prefix, getpid().as_raw());
        make(&own.0).is_ok().then_some(own)
    }

    /// Limits the memory of its members together, in bytes. Shortly before the limit the kernel slows them down and takes
    /// back what it can. It is only shortly before, because a program that goes on growing gains 128 kB in each delay, and
    /// delays grow with the square of the excess: with nine tenths of the limit a program that needs more crawled on for
    /// ever. The worker and the guard are in no such group: a limit on the whole unit would hold them up too, and nothing
    /// would obey a cancel.
    pub(super) fn limit_memory(&self, bytes: u64) {
        // Where memory is not counted there are no such files; the worker has said so at its start.
        fs::write(self.0.join("memory.max"), bytes.to_string()).ok();
        fs::write(self.0.join("memory.high"), (bytes / 100 * 98).to_string()).ok();
    }

    /// The list of members: a process writes `0` to it and is one.
    pub(super) fn procs(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    pub(super) fn memory_events(&self) -> PathBuf {
        self.0.join("memory.events")
    }

    /// Keeps its members from doing anything, forking included, until they are killed or [thawed](Self::thaw). Returns
    /// whether the kernel has taken the order, which it does since Linux 5.2.
    pub(super) fn freeze(&self) -> bool {
        fs::write(self.0.join("cgroup.freeze"), "1").is_ok()
    }

    /// Lets its members go on.
    pub(super) fn thaw(&self) {
        // It may be gone, with all its members.
        fs::write(self.0.join("cgroup.freeze"), "0").ok();
    }

    /// Whether all its members stand still. A process that hangs in the kernel does not yet, and none of an empty group.
    pub(super) fn is_frozen(&self) -> bool {
        self.has_event("frozen 1")
    }

    /// The file that kills its members when `1` is written to it (see [`kill`](super::kill)). Since Linux 5.14.
    pub(super) fn kill_file(&self) -> PathBuf {
        self.0.join(KILL)
    }

    /// Whether a process in it, or in a group below it, lives.
    pub(super) fn is_populated(&self) -> bool {
        self.has_event("populated 1")
    }

    fn has_event(&self, event: &str) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == event)
    }

    /// The processes that live in it, or in a group below it.
    pub(super) fn members(&self) -> Vec<ProcessStat> {
        let living = self.pids().into_iter().filter_map(ProcessStat::read);
        living.filter(|stat| !stat.is_dead()).collect()
    }

    /// The numbers of all that are in it, or in a group below it.
    pub(super) fn pids(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for group in self.with_all_below() {
            let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        found
    }

    /// The most memory that its members had together, in bytes, where memory is counted. Since Linux 5.19.
    pub(super) fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.0.join("memory.peak")).ok()?.trim().parse().ok()
    }

    /// Removes it and all groups below it, which the kernel refuses while a process lives in it.
    pub(super) fn remove(&self) {
        for group in self.with_all_below().iter().rev() {
            fs::remove_dir(group).ok();
        }
    }

    /// Itself and all groups below it, parents first.
    fn with_all_below(&self) -> Vec<PathBuf> {
        let mut groups = vec![self.0.clone()];
        let mut next = 0;
        while let Some(group) = groups.get(next) {
            let entries = fs::read_dir(group).into_iter().flatten().flatten();
            let below: Vec<_> = entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect();
            groups.extend(below);
            next += 1;
        }
        groups
    }
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The folder of the cgroup v2 that a process is in.
fn group_of(process: &str) -> Option<PathBuf> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    group_folder(&mounts, &groups)
}

fn group_folder(mounts: &[u8], groups: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = mounts::parse(mounts)
        .into_iter()
        .filter(|mount| mount.kind == "cgroup2");
    mounts.into_iter().find_map(|mount| {
        let below = Path::new(path).strip_prefix(mount.root).ok()?;
        Some(mount.at.join(below))
    })
}

/// Whether we may divide the group. The root of all has no type, and is nobody's to divide.
fn is_ours(group: &Path) -> bool {
    let may_write = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    group.join("cgroup.type").exists()
        && may_write(group)
        && may_write(&group.join("cgroup.procs"))
        && (is_delegated(group) || !Path::new(SYSTEMD).exists())
}

fn is_delegated(group: &Path) -> bool {
    let Ok(path) = CString::new(group.as_os_str().as_bytes()) else {
        return false;
    };
    // Reading the first takes a privilege.
    [c"trusted.delegate", c"user.delegate"].into_iter().any(|name| {
        let mut value = [0_u8; 1];
        let buffer = value.as_mut_ptr().cast();
        // SAFETY: both names end in NUL, and the buffer is as long as we say and outlives the call.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer, value.len()) };
        length == 1 && value == *b"1"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_group_is_found_where_it_is_mounted() {
        let only = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let folder =
            |mounts: &str, groups| group_folder(mounts.as_bytes(), groups).map(|path| path.display().to_string());
        assert_eq!(
            folder(only, "0::/system.slice/flamenco-worker.service\n").as_deref(),
            Some("/sys/fs/cgroup/system.slice/flamenco-worker.service")
        );
        let both = "29 23 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            folder(both, "4:memory:/x\n0::/a\n").as_deref(),
            Some("/sys/fs/cgroup/unified/a")
        );
        let bound = "30 23 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(folder(bound, "0::/box/a\n").as_deref(), Some("/sys/fs/cgroup/a"));
        assert_eq!(folder(bound, "0::/elsewhere\n"), None);
        assert_eq!(folder("", "0::/\n"), None);
    }

    #[test]
    fn a_folder_that_is_no_group_is_not_ours() {
        assert!(!is_ours(Path::new("/tmp")));
    }
}
