// SPDX-License-Identifier: GPL-3.0-or-later

//! The processes of an earlier life of this worker, which are found by our mark, without pid files.
//!
//! Every program carries the mark of its worker's home (see `mark`), and where control groups are delegated to us it is
//! in one that is named after the mark. At start, with the home's lock held, the worker of that home is known to be
//! gone, so every process that still bears its mark is ended: it is found by what it carries, and held by a pidfd before
//! that is read, so that no reused pid is ever signalled.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill as send_signal;
use nix::unistd::{Pid, getpid};
use tokio::time::{Instant, sleep};

use super::cgroup::{Cgroup, DelegatedGroup};
use super::guard_name::GUARD;
use super::kill::{self, KillOutcome};
use super::mark::bears_mark;
use super::procfs::{ProcessHandle, ProcessStat, descendants, everybody};
use super::stray::{Stray, Strays};

/// How long the processes that were found may take to be gone before the next look.
const PAUSE: Duration = Duration::from_millis(20);
/// So many parents are looked at above a process. A task can start more below one another, and is none the less ours.
const DEEPEST: usize = 10_000;

/// What is done to a guard that bears the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guards {
    /// It has seen its worker go, is ending its tree, and knows more of it than the mark shows (a program can clear
    /// its environment): it is reported and left alone.
    LeaveAlone,
    End,
}

/// Ends every process that bears `mark`, ourselves and our ancestors excepted, and looks again until there is none, or
/// until `limit` is over. Guards are left alone for the first half of that time.
///
/// A process below a guard is ours without any mark: it may have become another user's, of whom no mark is believed.
///
/// Those that could not be ended are another user's by now, or hang in the kernel.
pub(super) async fn end_marked(mark: &str, limit: Duration) -> Strays {
    let began = Instant::now();
    let spared = ourselves_and_ancestors();
    let groups = DelegatedGroup::find(mark).map_or_else(Vec::new, |delegated| delegated.leftovers());
    let mut ended: Vec<Stray> = Vec::new();
    let mut below_guards = GuardDescendants::default();
    loop {
        let guards = if began.elapsed() >= limit / 2 {
            Guards::End
        } else {
            Guards::LeaveAlone
        };
        let mut found = end_others(mark, &spared, guards);
        found.iter().for_each(|stray| below_guards.add_below(stray));
        for stray in groups.iter().flat_map(end_group).chain(below_guards.end()) {
            if !found.contains(&stray) {
                found.push(stray);
            }
        }
        for stray in &found {
            if stray.name != GUARD && !ended.contains(stray) {
                ended.push(stray.clone());
            }
        }
        if found.is_empty() || began.elapsed() >= limit {
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

/// Ends the processes that bear the mark in another PID namespace, and returns them. A process that enters one, and
/// loses its parent there, becomes the child of that namespace's first process: it never comes back to its guard.
pub(super) fn end_escaped(mark: &str) -> Vec<Stray> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own: Option<PathBuf> = namespace(getpid().as_raw());
    let is_elsewhere = |pid: &i32| namespace(*pid).is_some_and(|other| Some(other) != own);
    let elsewhere = everybody().into_iter().filter(is_elsewhere);
    elsewhere.filter_map(|pid| end_one(pid, mark, Guards::End)).collect()
}

/// The processes that bear `mark` now, and all below their guards. Nothing is done to them.
pub(crate) fn marked(mark: &str) -> Vec<Stray> {
    let spared = ourselves_and_ancestors();
    let mut found: Vec<Stray> = Vec::new();
    let mut below_guards = GuardDescendants::default();
    for pid in everybody().into_iter().filter(|pid| !spared.contains(pid)) {
        if bears_mark(pid, mark)
            && let Some(stat) = ProcessStat::read(pid).filter(|stat| !stat.is_dead())
        {
            let stray = Stray::from(&stat);
            below_guards.add_below(&stray);
            found.push(stray);
        }
    }
    for (stray, _) in below_guards.0.into_values() {
        if !found.iter().any(|known| known.pid == stray.pid) {
            found.push(stray);
        }
    }
    found.sort_by_key(|stray| stray.pid);
    found
}

/// Whether a process was started by this one, or by a task of whichever worker, however many are between them. One that is gone
/// may have been.
pub(crate) fn is_of_a_task(pid: i32) -> bool {
    let own = getpid().as_raw();
    let mut next = pid;
    // A parent is older, or has taken its child in; a chain of so many is none.
    for _ in 0..DEEPEST {
        match ProcessStat::read(next) {
            // Where `/proc` shows nobody else's processes it is another user's, which no task below the sandbox can become.
            None => return send_signal(Pid::from_raw(next), None) != Err(Errno::EPERM),
            Some(stat) if stat.pid == own => return pid != own,
            // A task takes no name from what is above it.
            Some(stat) if stat.name == GUARD => return true,
            Some(stat) if stat.parent == 0 => return false,
            Some(stat) => next = stat.parent,
        }
    }
    true
}

/// Whether a process is stopped, as by SIGSTOP.
pub(crate) fn is_stopped(pid: i32) -> bool {
    ProcessStat::read(pid).is_some_and(|stat| stat.is_stopped())
}

/// Ends a control group of a predecessor, which may be frozen, and returns its members.
fn end_group(group: &Cgroup) -> Vec<Stray> {
    let members = group.members();
    kill::control_group(group);
    for stat in &members {
        // Before Linux 5.14 that was nothing.
        kill::process_that_began(stat.pid, stat.start);
    }
    members.iter().map(Stray::from).collect()
}

/// Ends the processes that bear the mark now, and returns them.
fn end_others(mark: &str, spared: &HashSet<i32>, guards: Guards) -> Vec<Stray> {
    let others = everybody().into_iter().filter(|pid| !spared.contains(pid));
    others.filter_map(|pid| end_one(pid, mark, guards)).collect()
}

/// Ends this process if it lives and bears the mark, and returns it.
fn end_one(pid: i32, mark: &str, guards: Guards) -> Option<Stray> {
    let handle = ProcessHandle::open(pid)?;
    if !bears_mark(pid, mark) {
        return None;
    }
    let stat = ProcessStat::read(pid).filter(|stat| !stat.is_dead())?;
    let is_left_alone = stat.name == GUARD && guards == Guards::LeaveAlone;
    (is_left_alone || kill::process(&handle) != KillOutcome::Gone).then(|| (&stat).into())
}

/// The processes that were seen below a guard, by pid, and when each began.
#[derive(Default)]
struct GuardDescendants(HashMap<i32, (Stray, u64)>);

impl GuardDescendants {
    /// Takes in every process below `stray`, if that is a guard.
    fn add_below(&mut self, stray: &Stray) {
        if stray.name != GUARD {
            return;
        }
        let below = descendants(stray.pid).into_iter();
        self.0
            .extend(below.map(|stat| (stat.pid, (Stray::from(&stat), stat.start))));
    }

    /// Ends those that are left, and returns them.
    fn end(&mut self) -> Vec<Stray> {
        self.0
            .retain(|pid, (_, start)| kill::process_that_began(*pid, *start) != KillOutcome::Gone);
        self.0.values().map(|(stray, _)| stray.clone()).collect()
    }
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
