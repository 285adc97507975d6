// SPDX-License-Identifier: GPL-3.0-or-later

//! What a program leaves running when it ends well: a wrapper's real program in the background, which is waited for as
//! long as it works, or a daemon that idles, which is not.
//!
//! A process counts if it holds the program's output, or is below a process that does. They work if, taken together, they
//! use a hundredth of a second of processor time, or write anything, within the time that is given.

use std::collections::HashSet;
use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::unistd::getpid;

use crate::process::procfs::{ProcessStat, written};
use crate::process::stray::Stray;
use crate::process::sweep::NAMED_AT_MOST;
use crate::process::walk::walk;

/// How many times they are looked at in the time after which they count as idle.
const LOOKS: u32 = 8;
/// The longest pause between two looks: a shell's child is seen to hold the output until it has redirected its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The wait for holders of the output.
pub(super) struct HoldersWait {
    /// After so long without work they are idle.
    idle_after: Duration,
    work: WorkDone,
    /// When they were last seen to have worked.
    worked: Duration,
    next_check: Duration,
}

/// The holders of an output and all below them, with what they have done so far.
pub(super) struct OutputHolders {
    /// The holders themselves, at most [`NAMED_AT_MOST`].
    pub(super) named: Vec<Stray>,
    /// The process groups of all.
    pub(super) groups: Vec<i32>,
    work: WorkDone,
}

/// What processes have done. Both numbers only grow: that of a process that has ended is added to its parent's, or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WorkDone {
    ticks: u64,
    written: u64,
}

/// What became of the holders since the last look.
pub(super) enum HoldersState {
    /// It may be that these work.
    MayWork(Vec<Stray>),
    /// They hold the output and do nothing.
    Idle,
    /// None holds the output any more.
    Gone,
}

impl HoldersWait {
    pub(super) fn new(holders: &OutputHolders, idle_after: Duration, now: Duration) -> Self {
        Self {
            idle_after,
            work: holders.work,
            worked: now,
            next_check: now + pause(idle_after),
        }
    }

    /// How long until the next look.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        self.next_check.saturating_sub(now)
    }

    pub(super) fn check(&mut self, output: &str, now: Duration) -> HoldersState {
        self.next_check = now + pause(self.idle_after);
        let Some(holders) = OutputHolders::of(output) else {
            return HoldersState::Gone;
        };
        if holders.work != self.work {
            self.worked = now;
        }
        self.work = holders.work;
        if now >= self.worked + self.idle_after {
            return HoldersState::Idle;
        }
        HoldersState::MayWork(holders.named)
    }
}

fn pause(idle_after: Duration) -> Duration {
    (idle_after / LOOKS).min(LONGEST_PAUSE)
}

impl OutputHolders {
    /// Finds them. Returns `None` when no process below us holds the output.
    pub(super) fn of(output: &str) -> Option<Self> {
        let mut counted = HashSet::new();
        let mut found = Self {
            named: Vec::new(),
            groups: Vec::new(),
            work: WorkDone::of_the_dead(),
        };
        walk(&|_| false, &mut |_, stat| {
            let holds = holds(stat.pid, output);
            if holds || counted.contains(&stat.parent) {
                counted.insert(stat.pid);
                found.groups.push(stat.group);
                found.work.ticks += stat.ticks + stat.childrens_ticks;
                found.work.written += written(stat.pid);
            }
            if holds && found.named.len() < NAMED_AT_MOST {
                found.named.push(stat.into());
            }
            ControlFlow::Continue(())
        });
        (!found.named.is_empty()).then_some(found)
    }
}

impl WorkDone {
    /// The work of processes that ended and came to us.
    fn of_the_dead() -> Self {
        let own = getpid().as_raw();
        Self {
            ticks: ProcessStat::read(own).map_or(0, |stat| stat.childrens_ticks),
            written: written(own),
        }
    }
}

/// Whether a process has this file open. Only its name is read; the file itself is never touched, because it may be on a
/// file system that hangs.
pub(super) fn holds(pid: i32, file: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == file))
}
