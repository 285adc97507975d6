// SPDX-License-Identifier: GPL-3.0-or-later

//! How everything below a process is ended. The guard does it to its program's tree; the worker does it, with the same
//! code, to what a guard leaves behind that died itself.
//!
//! ```text
//! rounds of a StoppedTree, in which each new one is stopped and named ─── all were seen: SIGKILL
//! rounds go on until the caller's waitpid answers ECHILD
//! ```
//!
//! What is stopped before it is killed cannot restart what was killed beside it. A signal to a group is atomic against
//! forks in it.
//!
//! Where the program has a control group of its own, that is frozen first, so that the first look finds every process,
//! and it is killed in one write. Only then is an empty group a proof too.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, getpgrp};

use super::cgroup::Cgroup;
use super::kill::{self, KillOutcome};
use super::open_files::{OpenFile, OpenFiles};
use super::procfs::{Reaped, now};
use super::stopped_tree::{Sight, StoppedTree};
use super::stray::Stray;
use super::walk::{hidden_child, walk};

/// How many strays are told apart by name; of a fork bomb nobody reads more.
pub(super) const NAMED_AT_MOST: usize = 100;
/// The first pause after a round that killed every process it saw: most are gone sooner.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Where the pause stops growing while the end is still to be expected.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// The pause between attempts at a tree that was called unkillable.
pub(super) const HOPELESS_PAUSE: Duration = Duration::from_secs(5);

/// How long a sweep believes that SIGKILL will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SweepLimits {
    /// For processes that took the signal and are still there (on a hung file system, say).
    pub(super) unkillable: Duration,
    /// For processes that we may not signal (another user's).
    pub(super) refused: Duration,
}

/// The end of everything below this process. The caller reaps.
pub(super) struct Sweep {
    limits: SweepLimits,
    began: Duration,
    next: Duration,
    pause: Duration,
    tree: StoppedTree,
    groups: HashSet<i32>,
    cgroups: Vec<Cgroup>,
    named: Vec<Stray>,
    left: Vec<Stray>,
    refused: bool,
    writing: OpenFiles,
}

impl Sweep {
    pub(super) fn new(limits: SweepLimits) -> Self {
        let now = now();
        Self {
            limits,
            began: now,
            next: now,
            pause: SHORTEST_PAUSE,
            tree: StoppedTree::default(),
            groups: HashSet::new(),
            cgroups: Vec::new(),
            named: Vec::new(),
            left: Vec::new(),
            refused: false,
            writing: OpenFiles::default(),
        }
    }

    /// Stops a group at once, in which a process is known to live.
    pub(super) fn add_group(&mut self, group: i32) {
        if self.groups.insert(group) {
            // A group that is empty by now has nobody to stop.
            send_signal(Pid::from_raw(-group), Signal::SIGSTOP).ok();
        }
    }

    /// Takes in a control group, whose members do nothing from now on. Call [`Sweep::remove_cgroups`] at the end.
    pub(super) fn add_cgroup(&mut self, cgroup: Cgroup) {
        cgroup.freeze();
        self.cgroups.push(cgroup);
    }

    /// Whether a process lives in one of the control groups.
    pub(super) fn has_members(&self) -> bool {
        self.cgroups.iter().any(Cgroup::is_populated)
    }

    /// Removes the control groups, which the kernel allows once nobody is left in them.
    pub(super) fn remove_cgroups(&self) {
        self.cgroups.iter().for_each(Cgroup::remove);
    }

    /// Does a round if it is time, and returns how long to wait for children to end. Reap before each call, and pass
    /// what that came to: as long as there are more dead, direct children are stopped and nothing else is done. Direct
    /// children that `spare` names, and all below them, are left alone.
    pub(super) fn step(&mut self, reaped: Reaped, spare: &dyn Fn(i32) -> bool) -> Duration {
        let begin = now();
        if begin < self.next {
            return self.next - begin;
        }
        if !self.stop_all(reaped, spare) {
            return Duration::ZERO;
        }
        self.kill_all(spare);
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

    /// Whether the limit is over, and some are still there.
    pub(super) fn overdue(&self, now: Duration) -> bool {
        let limit = if self.refused {
            self.limits.refused.min(self.limits.unkillable)
        } else {
            self.limits.unkillable
        };
        !self.left.is_empty() && now >= self.began + limit
    }

    /// Whether the longest limit is over, be any process seen or not.
    pub(super) fn is_spent(&self, now: Duration) -> bool {
        now >= self.began + self.limits.unkillable
    }

    /// The processes that were stopped, at most [`NAMED_AT_MOST`], with the names they had then.
    pub(super) fn strays(&self) -> &[Stray] {
        &self.named
    }

    /// What the stopped processes had open for writing.
    pub(super) fn writing(&self) -> &[OpenFile] {
        self.writing.files()
    }

    /// The processes that were still there at the last round.
    pub(super) fn left(&self) -> &[Stray] {
        &self.left
    }

    /// Stops everything below this process. Returns whether all have been seen.
    fn stop_all(&mut self, reaped: Reaped, spare: &dyn Fn(i32) -> bool) -> bool {
        let own_group = getpgrp().as_raw();
        let mut tree = std::mem::take(&mut self.tree);
        let all_were_seen = tree.round(reaped, spare, &mut |handle, stat, sight| {
            if sight == Sight::Known {
                // Another one may have let it go on before it was stopped itself.
                if !stat.is_stopped() {
                    handle.send(Signal::SIGSTOP).ok();
                }
                return;
            }
            if stat.group > 1 && stat.group != own_group {
                self.add_group(stat.group);
            }
            // Whether it could be stopped shows when it is killed.
            handle.send(Signal::SIGSTOP).ok();
            self.writing.scan(stat.pid);
            if self.named.len() < NAMED_AT_MOST {
                self.named.push(stat.into());
            }
        });
        self.tree = tree;
        all_were_seen
    }

    fn kill_all(&mut self, spare: &dyn Fn(i32) -> bool) {
        self.cgroups.iter().for_each(kill::control_group);
        self.groups.drain().for_each(kill::group);
        kill::children(self.tree.direct());
        let (mut left, mut refused) = (Vec::<Stray>::new(), false);
        walk(spare, &mut |handle, stat| {
            refused |= kill::process(handle) == KillOutcome::Refused;
            left.push(stat.into());
            ControlFlow::Continue(())
        });
        for pid in self.tree.direct() {
            if left.iter().all(|one| one.pid != *pid)
                && let Some(hidden) = hidden_child(*pid)
            {
                refused |= kill::child(*pid) == KillOutcome::Refused;
                left.push(hidden);
            }
        }
        // Members that are below another process; they are read after the kill, so most are gone.
        for stat in self.cgroups.iter().flat_map(Cgroup::members) {
            if left.iter().all(|one| one.pid != stat.pid) {
                left.push((&stat).into());
            }
        }
        left.truncate(NAMED_AT_MOST);
        (self.left, self.refused) = (left, refused);
    }
}
