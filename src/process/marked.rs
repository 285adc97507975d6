// SPDX-License-Identifier: GPL-3.0-or-later

//! Whoever bears our mark: the way back to a predecessor's processes, without pid files.
//!
//! Every program carries the mark of its worker's home (see `mark`), and where groups are delegated to
//! us it is in one that is named after it. At start, with the home's lock held, its worker is known to be
//! gone, so whoever still bears it is ended: found by what it carries, held by a pidfd before that is
//! read, so that no reused number is ever signalled.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::getpid;
use tokio::time::{Instant, sleep};

use super::cgroup::{Cgroup, DelegatedGroup};
use super::guard::GUARD;
use super::mark::bears_mark;
use super::procfs::{ChildLookup, ProcessHandle, ProcessStat, everybody, still_lives};
use super::tree::stray;
use super::{Stray, Strays};

/// How long whoever was found may take to be gone before the next look.
const PAUSE: Duration = Duration::from_millis(20);

/// Ends every process that bears `mark`, ourselves and our ancestors excepted, and looks again until
/// there is none, or for as long as `patience`.
///
/// A guard is left alone for the first half of that time: it has seen its worker go, is ending its
/// tree, and knows more of it than the mark shows (a program can clear its environment).
///
/// Whoever is below a guard is ours without any mark: it may have become another user's, of whom no mark is believed.
///
/// Who could not be ended is another user's by now, or hangs in the kernel.
pub(super) async fn end_marked(mark: &str, patience: Duration) -> Strays {
    let began = Instant::now();
    let spared = ourselves_and_ancestors();
    let groups = DelegatedGroup::find(mark).map_or_else(Vec::new, |place| place.leftovers());
    let mut ended: Vec<Stray> = Vec::new();
    let mut family = GuardDescendants::default();
    loop {
        let guards_too = began.elapsed() >= patience / 2;
        let mut found = end_once(mark, &spared, guards_too);
        found.iter().for_each(|one| family.add_below(one));
        for stray in groups.iter().flat_map(end_group).chain(family.living()) {
            if !found.contains(&stray) {
                found.push(stray);
            }
        }
        for one in &found {
            if one.name != GUARD && !ended.contains(one) {
                ended.push(one.clone());
            }
        }
        if found.is_empty() || began.elapsed() >= patience {
            ended.retain(|stray| !found.contains(stray));
            groups.iter().for_each(Cgroup::remove);
            return Strays {
                ended,
                unkillable: found,
            };
        }
        sleep(PAUSE).await;
    }
}

/// Kills a group of a predecessor, and says who was in it.
fn end_group(group: &Cgroup) -> Vec<Stray> {
    let members = group.members().iter().map(stray).collect();
    group.kill();
    members
}

/// Ends who bears the mark in another PID namespace, and says who that was. Whoever enters one, and loses its parent
/// there, is the child of that namespace's first process: it never comes back to its guard.
pub(super) fn end_escaped(mark: &str) -> Vec<Stray> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own: Option<PathBuf> = namespace(getpid().as_raw());
    let is_elsewhere = |pid: &i32| namespace(*pid).is_some_and(|other| Some(other) != own);
    let elsewhere = everybody().into_iter().filter(is_elsewhere);
    elsewhere.filter_map(|pid| end_one(pid, mark, true)).collect()
}

/// Who was seen below a guard, and when each began.
#[derive(Default)]
struct GuardDescendants(HashMap<i32, (Stray, u64)>);

impl GuardDescendants {
    /// Takes in all below `one`, if it is a guard.
    fn add_below(&mut self, one: &Stray) {
        if one.name != GUARD {
            return;
        }
        let lookup = ChildLookup::new();
        let mut open = lookup.children(one.pid);
        while let Some(pid) = open.pop() {
            if let Some(stat) = ProcessStat::read(pid) {
                self.0.insert(pid, (stray(&stat), stat.start));
                open.extend(lookup.children(pid));
            }
        }
    }

    /// Those who are left, each killed once more.
    fn living(&mut self) -> Vec<Stray> {
        self.0.retain(|pid, (_, start)| still_lives(*pid, *start));
        self.0.values().map(|(one, _)| one.clone()).collect()
    }
}

/// Signals whoever bears the mark now, and says who that was.
fn end_once(mark: &str, spared: &HashSet<i32>, guards_too: bool) -> Vec<Stray> {
    let others = everybody().into_iter().filter(|pid| !spared.contains(pid));
    others.filter_map(|pid| end_one(pid, mark, guards_too)).collect()
}

/// Signals this process if it bears the mark and lives; a guard is left alone without `guards_too`.
fn end_one(pid: i32, mark: &str, guards_too: bool) -> Option<Stray> {
    let handle = ProcessHandle::open(pid)?;
    if !bears_mark(pid, mark) {
        return None;
    }
    let stat = ProcessStat::read(pid).filter(|stat| !stat.is_dead())?;
    let leave = stat.name == GUARD && !guards_too;
    (leave || handle.send(Signal::SIGKILL) != Err(Errno::ESRCH)).then(|| stray(&stat))
}

fn ourselves_and_ancestors() -> HashSet<i32> {
    let mut spared = HashSet::new();
    let mut pid = getpid().as_raw();
    while spared.insert(pid) {
        pid = ProcessStat::read(pid).map_or(0, |stat| stat.parent);
    }
    spared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_starts_us_is_spared() {
        let spared = ourselves_and_ancestors();
        let parent = nix::unistd::getppid().as_raw();
        assert!(spared.contains(&getpid().as_raw()) && spared.contains(&parent));
    }
}
