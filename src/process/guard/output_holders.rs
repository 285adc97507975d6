// SPDX-License-Identifier: GPL-3.0-or-later

//! What a program leaves running when it ends well: a wrapper's real program in the background, which is waited for as
//! long as it works, or a daemon that idles, which is not.
//!
//! It counts if it holds the program's output, or is below a process that does. It works if, taken together, they use a
//! hundredth of a second of processor time, or write anything, within the time that is given.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use nix::unistd::getpid;

use super::setup::holds;
use crate::process::Stray;
use crate::process::procfs::{ProcessStat, written};
use crate::process::tree::{NAMED_AT_MOST, stray, walk};

/// So many looks in the time after which it counts as idle.
const LOOKS: u32 = 8;
/// The longest pause between two: a shell's child is seen to hold the output until it has redirected its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The wait for what was left behind.
pub(super) struct HoldersWait {
    /// After so long without work it is idle.
    patience: Duration,
    work: WorkDone,
    worked: Duration,
    next: Duration,
}

/// What holders of an output, and all below them, have done so far.
pub(super) struct OutputHolders {
    pub(super) named: Vec<Stray>,
    pub(super) groups: Vec<i32>,
    work: WorkDone,
}

/// Both only grow: of a process that has ended it is its parent's, or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WorkDone {
    ticks: u64,
    written: u64,
}

/// What became of them since the last look.
pub(super) enum HoldersState {
    /// It may be that they work; who they are.
    MayWork(Vec<Stray>),
    /// They hold the output and do nothing.
    Idle,
    /// None holds the output any more.
    Gone,
}

impl HoldersWait {
    pub(super) fn new(holders: &OutputHolders, patience: Duration, now: Duration) -> Self {
        Self {
            patience,
            work: holders.work,
            worked: now,
            next: now + pause(patience),
        }
    }

    /// How long until the next look.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    pub(super) fn look(&mut self, output: &str, now: Duration) -> HoldersState {
        self.next = now + pause(self.patience);
        let Some(holders) = OutputHolders::of(output) else {
            return HoldersState::Gone;
        };
        if holders.work != self.work {
            self.worked = now;
        }
        self.work = holders.work;
        if now >= self.worked + self.patience {
            return HoldersState::Idle;
        }
        HoldersState::MayWork(holders.named)
    }
}

fn pause(patience: Duration) -> Duration {
    (patience / LOOKS).min(LONGEST_PAUSE)
}

impl OutputHolders {
    /// `None` when nobody below us holds the output.
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
                found.named.push(stray(stat));
            }
            ControlFlow::Continue(())
        });
        (!found.named.is_empty()).then_some(found)
    }
}

impl WorkDone {
    /// Of those who ended and came to us.
    fn of_the_dead() -> Self {
        let own = getpid().as_raw();
        Self {
            ticks: ProcessStat::read(own).map_or(0, |stat| stat.childrens_ticks),
            written: written(own),
        }
    }
}
