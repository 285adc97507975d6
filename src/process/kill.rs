// SPDX-License-Identifier: GPL-3.0-or-later

//! SIGKILL. Every one that this program sends, or has the kernel send, comes from this file.
//!
//! ```text
//! sweep         ─► control_group, group, children, process   everything below a guard, or a lost guard
//! children      ─► child, process_that_began                 a guard that does not answer; what no guard looks after
//! predecessors  ─► control_group, process                    what an earlier life of the worker left
//! guard::spawn  ─► with_parent                               the program, when its guard dies
//! ```

use std::collections::HashSet;
use std::fs;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal::SIGKILL;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::cgroup::Cgroup;
use super::procfs::{ProcessHandle, lives};

/// What became of a SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KillOutcome {
    /// The process has it, and ends unless it hangs in the kernel.
    Sent,
    /// The process is another user's.
    Refused,
    /// There is no such process any more.
    Gone,
}

impl KillOutcome {
    fn of(answer: Result<(), Errno>) -> Self {
        match answer {
            Err(Errno::ESRCH) => Self::Gone,
            Err(Errno::EPERM) => Self::Refused,
            Ok(()) | Err(_) => Self::Sent,
        }
    }
}

/// Kills the process that is held.
pub(super) fn process(handle: &ProcessHandle) -> KillOutcome {
    KillOutcome::of(handle.send(SIGKILL))
}

/// Kills the process that had this pid and began at `start` (see [`ProcessStat`](super::procfs::ProcessStat)), and no
/// other that has the pid by now.
pub(super) fn process_that_began(pid: i32, start: u64) -> KillOutcome {
    match ProcessHandle::open(pid) {
        Some(handle) if lives(pid, start) => process(&handle),
        Some(_) | None => KillOutcome::Gone,
    }
}

/// Kills a direct child. It is safe by number: a child keeps its pid until this process reaps it, and the caller does
/// not reap in between.
pub(super) fn child(pid: i32) -> KillOutcome {
    KillOutcome::of(kill(Pid::from_raw(pid), SIGKILL))
}

/// Kills direct children, as [`child`] does.
pub(super) fn children(pids: &HashSet<i32>) {
    for pid in pids {
        child(*pid);
    }
}

/// Kills a process group, atomically against forks in it.
pub(super) fn group(group: i32) {
    // A group that is empty by now has nobody to kill, and a member of another user is met by handle.
    kill(Pid::from_raw(-group), SIGKILL).ok();
}

/// Kills everybody in a control group, atomically against forks. Since Linux 5.14; before, nothing happens.
pub(super) fn control_group(cgroup: &Cgroup) {
    fs::write(cgroup.kill_file(), "1").ok();
}

/// Has the kernel kill this process when its parent dies. Safe between fork and exec.
///
/// # Errors
/// The kernel's own.
pub(super) fn with_parent() -> Result<(), Errno> {
    set_pdeathsig(SIGKILL)
}
