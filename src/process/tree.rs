// SPDX-License-Identifier: GPL-3.0-or-later

//! How everything below a process is ended. The guard does it to its program's tree; the worker, with
//! the same code, to what a guard leaves behind that died itself.
//!
//! ```text
//! calm: SIGSTOP every direct child ─┬─ somebody was new: reap, and again at once
//!                                   └─ nobody: walk: stop and name whoever is new ─┬─ somebody: again
//!                                                                                  └─ nobody: SIGKILL
//! rounds go on until the caller's waitpid answers ECHILD
//! ```
//!
//! Stopped first, because what is stopped neither forks nor restarts what was killed beside it: a fork
//! is refused while a signal is pending, so each process that is caught is caught with the children it
//! has. A signal to a group is atomic against forks in it. A process that forks, calls `setsid` and
//! exits, over and over, lives for a fraction of a millisecond, but always comes back to us as a direct
//! child: those are stopped without being looked at first, a few microseconds each. Looking costs ten
//! times that, and with more than a thousand such processes was seen to lose: the dead piled up
//! unreaped until the machine had no process number left.
//!
//! Where the program has a control group of its own, that is frozen first, so that all of this finds
//! everybody at the first look, and killed in one write. Only then is an empty group a proof too.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, getpid};

use super::cgroup::Cgroup;
use super::open_files::OpenFiles;
use super::procfs::{ChildLookup, ProcessHandle, ProcessStat, Reaped, now};
use super::{OpenFile, Stray};

/// How many strays are told apart by name; of a fork bomb nobody reads more.
pub(super) const NAMED_AT_MOST: usize = 100;
/// First pause after a round that killed everybody it saw: most processes are gone sooner.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Where the pause stops growing while the end is still to be expected.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Between attempts at a tree that was called unkillable.
const HOPELESS_PAUSE: Duration = Duration::from_secs(5);

/// The name of who is there, and whom `/proc` does not show us (`hidepid`).
const HIDDEN: &str = "a hidden process";

/// How long to believe that SIGKILL will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SweepLimits {
    /// With processes that took the signal and are still there (a hung file system).
    pub(super) unkillable: Duration,
    /// With processes that we may not signal (another user's).
    pub(super) refused: Duration,
}

/// The end of everything below this process. The caller reaps.
pub(super) struct Sweep {
    patience: SweepLimits,
    began: Duration,
    next: Duration,
    pause: Duration,
    /// The direct children of the last round.
    direct: HashSet<i32>,
    /// Whoever was stopped, by pid and start.
    met: HashSet<(i32, u64)>,
    groups: HashSet<i32>,
    cgroups: Vec<Cgroup>,
    named: Vec<Stray>,
    left: Vec<Stray>,
    refused: bool,
    writing: OpenFiles,
}

impl Sweep {
    pub(super) fn new(patience: SweepLimits) -> Self {
        let now = now();
        Self {
            patience,
            began: now,
            next: now,
            pause: SHORTEST_PAUSE,
            direct: HashSet::new(),
            met: HashSet::new(),
            groups: HashSet::new(),
            cgroups: Vec::new(),
            named: Vec::new(),
            left: Vec::new(),
            refused: false,
            writing: OpenFiles::default(),
        }
    }

    /// Stops a group at once, of which somebody is known to live.
    pub(super) fn add_group(&mut self, group: i32) {
        if self.groups.insert(group) {
            // An empty group by now has nobody to tell.
            kill(Pid::from_raw(-group), Signal::SIGSTOP).ok();
        }
    }

    /// Takes in a control group, whose members do nothing from now on. [`Sweep::remove_cgroups`] at the end.
    pub(super) fn add_cgroup(&mut self, cgroup: Cgroup) {
        cgroup.freeze();
        self.cgroups.push(cgroup);
    }

    /// Somebody lives in one of the control groups.
    pub(super) fn has_members(&self) -> bool {
        self.cgroups.iter().any(Cgroup::is_populated)
    }

    /// Once nobody is left.
    pub(super) fn remove_cgroups(&self) {
        self.cgroups.iter().for_each(Cgroup::remove);
    }

    /// Does a round if it is time. Reap before each call, and say what that came to: as long as there are
    /// more dead, only the calming goes on. Answers how long to wait for children to end. Direct
    /// children that `spare` names, and all below them, are left alone.
    pub(super) fn step(&mut self, reaped: Reaped, spare: &dyn Fn(i32) -> bool) -> Duration {
        let begin = now();
        if begin < self.next {
            return self.next - begin;
        }
        if self.calm(spare) || reaped == Reaped::MaybeMore || self.stop(spare) {
            return Duration::ZERO;
        }
        self.kill(spare);
        let end = now();
        let longest = if self.overdue(end) {
            HOPELESS_PAUSE
        } else {
            LONGEST_PAUSE
        };
        let pause = self.pause.min(longest);
        self.pause = (self.pause * 2).min(longest);
        self.next = end + pause;
        pause
    }

    /// SweepLimits is over, and some are still there.
    pub(super) fn overdue(&self, now: Duration) -> bool {
        let patience = if self.refused {
            self.patience.refused.min(self.patience.unkillable)
        } else {
            self.patience.unkillable
        };
        !self.left.is_empty() && now >= self.began + patience
    }

    /// All patience is over, whether or not anybody is seen.
    pub(super) fn is_spent(&self, now: Duration) -> bool {
        now >= self.began + self.patience.unkillable
    }

    /// Whoever was met, at most a hundred of them, as they were called then.
    pub(super) fn met(&self) -> &[Stray] {
        &self.named
    }

    /// What they had open for writing.
    pub(super) fn writing(&self) -> &[OpenFile] {
        self.writing.files()
    }

    /// Whoever was still there at the last round.
    pub(super) fn left(&self) -> &[Stray] {
        &self.left
    }

    /// Stops the direct children; `true` if somebody was new.
    fn calm(&mut self, spare: &dyn Fn(i32) -> bool) -> bool {
        let direct: HashSet<i32> = direct_children(&ChildLookup::new(), spare).into_iter().collect();
        signal_each(&direct, Signal::SIGSTOP);
        let somebody_new = !direct.is_subset(&self.direct);
        self.direct = direct;
        somebody_new
    }

    /// Stops everybody; `true` if somebody was new.
    fn stop(&mut self, spare: &dyn Fn(i32) -> bool) -> bool {
        let known = self.met.len();
        let own_group = getpgrp().as_raw();
        walk(spare, &mut |handle, stat| {
            if !self.met.insert((stat.pid, stat.start)) {
                return ControlFlow::Continue(());
            }
            if stat.group > 1 && stat.group != own_group {
                self.add_group(stat.group);
            }
            // Whether it could be stopped shows when it is killed.
            handle.send(Signal::SIGSTOP).ok();
            self.writing.look(stat.pid);
            if self.named.len() < NAMED_AT_MOST {
                self.named.push(stray(stat));
            }
            ControlFlow::Continue(())
        });
        self.met.len() > known
    }

    fn kill(&mut self, spare: &dyn Fn(i32) -> bool) {
        self.cgroups.iter().for_each(Cgroup::kill);
        for group in self.groups.drain() {
            kill(Pid::from_raw(-group), Signal::SIGKILL).ok();
        }
        signal_each(&self.direct, Signal::SIGKILL);
        let (mut left, mut refused) = (Vec::new(), false);
        walk(spare, &mut |handle, stat| {
            refused |= handle.send(Signal::SIGKILL) == Err(Errno::EPERM);
            left.push(stray(stat));
            ControlFlow::Continue(())
        });
        for pid in &self.direct {
            if left.iter().all(|one: &Stray| one.pid != *pid)
                && let Some(hidden) = hidden_child(*pid)
            {
                refused |= kill(Pid::from_raw(*pid), Signal::SIGKILL) == Err(Errno::EPERM);
                left.push(hidden);
            }
        }
        // Members that are below somebody else; seen after the kill, so most are gone.
        for stat in self.cgroups.iter().flat_map(Cgroup::members) {
            if left.iter().all(|one| one.pid != stat.pid) {
                left.push(stray(&stat));
            }
        }
        left.truncate(NAMED_AT_MOST);
        (self.left, self.refused) = (left, refused);
    }
}

fn direct_children(lookup: &ChildLookup, spare: &dyn Fn(i32) -> bool) -> Vec<i32> {
    let mut direct = lookup.children(getpid().as_raw());
    direct.retain(|pid| !spare(*pid));
    direct
}

/// Safe by number: a direct child keeps it until we ourselves reap it, and we do not in between.
fn signal_each(direct: &HashSet<i32>, signal: Signal) {
    for pid in direct {
        // Another user's is found, and said, when it is killed by handle.
        kill(Pid::from_raw(*pid), signal).ok();
    }
}

/// Visits everybody below this process, the dead excepted, parents first.
///
/// A child is believed to be one if it still says so itself after a handle to it was opened: by then
/// its number cannot have become a stranger's unnoticed.
pub(super) fn walk(
    spare: &dyn Fn(i32) -> bool,
    visit: &mut dyn FnMut(&ProcessHandle, &ProcessStat) -> ControlFlow<()>,
) {
    let lookup = ChildLookup::new();
    let root = getpid().as_raw();
    let direct = direct_children(&lookup, spare);
    let mut open: Vec<(i32, i32)> = direct.into_iter().map(|pid| (pid, root)).collect();
    while let Some((pid, parent)) = open.pop() {
        let Some(handle) = ProcessHandle::open(pid) else {
            continue;
        };
        let Some(stat) = ProcessStat::read(pid) else { continue };
        if stat.is_dead() || (stat.parent != parent && stat.parent != root) {
            continue;
        }
        if visit(&handle, &stat).is_break() {
            return;
        }
        // Only now: whoever is stopped has no more children than these.
        open.extend(lookup.children(pid).into_iter().map(|child| (child, pid)));
    }
}

/// A direct child that is there, as its number is until it is reaped, while `/proc` does not show it.
pub(super) fn hidden_child(pid: i32) -> Option<Stray> {
    let is_hidden = ProcessStat::read(pid).is_none() && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    is_hidden.then(|| hidden(pid))
}

/// Whoever it is.
pub(super) fn hidden(pid: i32) -> Stray {
    Stray {
        pid,
        name: HIDDEN.to_owned(),
    }
}

pub(super) fn stray(stat: &ProcessStat) -> Stray {
    Stray {
        pid: stat.pid,
        name: stat.name.clone(),
    }
}
