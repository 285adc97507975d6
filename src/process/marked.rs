// SPDX-License-Identifier: GPL-3.0-or-later

//! Whoever bears our mark: the way back to a predecessor's processes, without pid files.
//!
//! Every program carries the mark of its worker's home (see `mark`), and where groups are delegated to
//! us it is in one that is named after it. At start, with the home's lock held, its worker is known to be
//! gone, so whoever still bears it is ended: found by what it carries, held by a pidfd before that is
//! read, so that no reused number is ever signalled.

use std::collections::HashSet;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::getpid;
use tokio::time::{Instant, sleep};

use super::cgroup::{Cgroup, Place};
use super::guard::GUARD;
use super::mark::bears_mark;
use super::procfs::{Handle, Stat, everybody};
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
/// Who could not be ended is another user's by now, or hangs in the kernel.
pub(super) async fn end_marked(mark: &str, patience: Duration) -> Strays {
    let began = Instant::now();
    let spared = ourselves_and_ancestors();
    let groups = Place::find(mark).map_or_else(Vec::new, |place| place.leftovers());
    let mut ended: Vec<Stray> = Vec::new();
    loop {
        let guards_too = began.elapsed() >= patience / 2;
        let mut found = end_once(mark, &spared, guards_too);
        for stray in groups.iter().flat_map(end_group) {
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

/// Signals whoever bears the mark now, and says who that was.
fn end_once(mark: &str, spared: &HashSet<i32>, guards_too: bool) -> Vec<Stray> {
    let mut found = Vec::new();
    for pid in everybody() {
        if spared.contains(&pid) {
            continue;
        }
        let Some(handle) = Handle::open(pid) else { continue };
        if !bears_mark(pid, mark) {
            continue;
        }
        let Some(stat) = Stat::read(pid).filter(|stat| !stat.is_dead()) else {
            continue;
        };
        let leave = stat.name == GUARD && !guards_too;
        if leave || handle.send(Signal::SIGKILL) != Err(Errno::ESRCH) {
            found.push(stray(&stat));
        }
    }
    found
}

fn ourselves_and_ancestors() -> HashSet<i32> {
    let mut spared = HashSet::new();
    let mut pid = getpid().as_raw();
    while spared.insert(pid) {
        pid = Stat::read(pid).map_or(0, |stat| stat.parent);
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
