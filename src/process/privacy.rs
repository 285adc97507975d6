// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps what is in the memory of this process from other processes, those of its own user included.
//!
//! The worker has credentials and tokens in its memory, and tasks run as its user. To the kernel a process is either open to
//! all of its user or to none (`PR_SET_DUMPABLE`, prctl(2)). There is a price: its `/proc/PID` is root's, so that only root
//! traces it or sees its environment, its descriptors and its root; and files of `/proc/self` that it wants to write have to
//! be opened before.

use nix::sys::prctl::set_dumpable;

/// Closes this process to others: nobody but root traces it, reads its memory, environment or descriptors, and it leaves no
/// core file. It holds for forks, too, and ends with the next exec: programs of tasks are as ever, and may leave a core.
pub(crate) fn close_to_others() {
    // The kernel refuses other numbers only.
    set_dumpable(false).ok();
}
