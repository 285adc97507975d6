// SPDX-License-Identifier: GPL-3.0-or-later

//! The walk through everything that lives below this process.

use std::ops::ControlFlow;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpid};

use super::procfs::{ChildLookup, ProcessHandle, ProcessStat, lives};
use super::stray::Stray;

/// The children of this process, without those that `spare` names.
pub(super) fn direct_children(lookup: &ChildLookup, spare: &dyn Fn(i32) -> bool) -> Vec<i32> {
    let mut direct = lookup.children(getpid().as_raw());
    direct.retain(|pid| !spare(*pid));
    direct
}

/// Visits every process below this one, the dead excepted, generation by generation. Children that `spare` names, and all
/// below them, are left out.
///
/// A process is believed to be a child if it still says so itself after a handle to it was opened: by then its pid
/// cannot have become a stranger's unnoticed.
pub(super) fn walk(
    spare: &dyn Fn(i32) -> bool,
    visit: &mut dyn FnMut(&ProcessHandle, &ProcessStat) -> ControlFlow<()>,
) {
    let lookup = ChildLookup::new();
    let root = getpid().as_raw();
    let direct = direct_children(&lookup, spare);
    let mut open: Vec<(i32, i32)> = direct.into_iter().map(|pid| (pid, root)).collect();
    while !open.is_empty() {
        let mut visited = Vec::new();
        for (pid, parent) in open.drain(..) {
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
            visited.push(stat);
        }
        // Only now: who was stopped has no more children than these, and among hundreds who want the processor, all of them
        // stand still before we spend more of ours.
        for stat in visited {
            let children = lookup.children_of(&stat);
            // Else they may be a stranger's, who has got its number since.
            if lives(stat.pid, stat.start) {
                open.extend(children.into_iter().map(|child| (child, stat.pid)));
            }
        }
    }
}

/// A direct child that is there, as its pid is until it is reaped, while `/proc` does not show it.
pub(super) fn hidden_child(pid: i32) -> Option<Stray> {
    let is_hidden = ProcessStat::read(pid).is_none() && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    is_hidden.then(|| Stray::hidden(pid))
}
