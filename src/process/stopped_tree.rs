// SPDX-License-Identifier: GPL-3.0-or-later

//! Everything below this process, stopped until a walk finds nobody new. To be ended it is stopped by a `sweep`, to go on
//! later by the guard's freezer.
//!
//! ```text
//! round: SIGSTOP every direct child ─┬─ one was new: reap, and again at once
//!                                    └─ none: walk: each process below, as the caller wants ─┬─ one was new: again
//!                                                                                            └─ none: all were seen
//! ```
//!
//! Processes are stopped first, because a stopped process neither forks nor restarts what was killed beside it: a fork
//! is refused while a signal is pending, so each process that is caught is caught with the children it has. A process
//! that forks, calls `setsid` and exits, over and over, lives for a fraction of a millisecond, but always comes back to us
//! as a direct child: those are stopped without being looked at first, a few microseconds each. Looking costs ten times
//! that, and with more than a thousand such processes was seen to lose: the dead piled up unreaped until the machine had
//! no process number left.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, getpid};

use super::procfs::{ChildLookup, ProcessHandle, ProcessStat, Reaped};
use super::walk::{direct_children, walk};

/// The processes below this one, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct StoppedTree {
    /// The direct children of the last round.
    direct: HashSet<i32>,
    /// Direct children that were stopped, and not looked at since.
    unseen: HashSet<i32>,
    /// When each that a walk has come to began, by pid.
    seen: HashMap<i32, u64>,
}

/// What is known of a process that a walk comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It was never seen before.
    New,
    /// As a direct child it was stopped before it was looked at.
    StoppedUnseen,
    /// It was seen by an earlier walk.
    Known,
}

impl StoppedTree {
    /// Does a round, and returns whether all have been seen. `reaped` is what reaping came to just before: as long as
    /// there are more dead, direct children are stopped and nothing else is done. `visit` stops each process that the walk
    /// comes to. Direct children that `spare` names, and all below them, are left alone.
    pub(super) fn round(
        &mut self,
        reaped: Reaped,
        spare: &dyn Fn(i32) -> bool,
        visit: &mut dyn FnMut(&ProcessHandle, &ProcessStat, Sight),
    ) -> bool {
        !self.stop_children(spare) && reaped != Reaped::MaybeMore && !self.walk(spare, visit)
    }

    /// Visits everything below this process. Returns whether a process was new.
    pub(super) fn walk(
        &mut self,
        spare: &dyn Fn(i32) -> bool,
        visit: &mut dyn FnMut(&ProcessHandle, &ProcessStat, Sight),
    ) -> bool {
        let mut any_is_new = false;
        let root = getpid().as_raw();
        walk(spare, &mut |handle, stat| {
            if stat.parent == root {
                self.direct.insert(stat.pid);
            }
            let was_stopped = self.unseen.remove(&stat.pid);
            let is_new = self.seen.insert(stat.pid, stat.start) != Some(stat.start);
            any_is_new |= is_new;
            let sight = match (is_new, was_stopped) {
                (true, true) => Sight::StoppedUnseen,
                (true, false) => Sight::New,
                (false, _) => Sight::Known,
            };
            visit(handle, stat, sight);
            ControlFlow::Continue(())
        });
        any_is_new
    }

    /// The direct children of the last round.
    pub(super) fn direct(&self) -> &HashSet<i32> {
        &self.direct
    }

    /// The direct children that were stopped, and not looked at since.
    pub(super) fn unseen(&self) -> &HashSet<i32> {
        &self.unseen
    }

    /// Stops the direct children that are new. Returns whether there was one. One that a walk has come to below another
    /// process, whose parent has died since, is left to the next walk: the caller knows what it was.
    ///
    /// It is safe by number: a direct child keeps its pid until we ourselves reap it, and we do not in between.
    fn stop_children(&mut self, spare: &dyn Fn(i32) -> bool) -> bool {
        let direct: HashSet<i32> = direct_children(&ChildLookup::new(), spare).into_iter().collect();
        self.unseen.retain(|pid| direct.contains(pid));
        let known = self.unseen.len();
        for pid in &direct {
            if !self.direct.contains(pid) && !self.seen.contains_key(pid) {
                // Another user's is found, and said, when it is looked at.
                send_signal(Pid::from_raw(*pid), Signal::SIGSTOP).ok();
                self.unseen.insert(*pid);
            }
        }
        self.direct = direct;
        self.unseen.len() > known
    }
}
