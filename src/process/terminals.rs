// SPDX-License-Identifier: GPL-3.0-or-later

//! Terminals in which programs of ours run.

use std::collections::BTreeSet;

use nix::unistd::getpid;

use super::procfs::{ProcessStat, descendants};

/// The devices of the terminals that belong to whatever runs below this process, but not to itself.
pub(crate) fn terminals_of_programs() -> BTreeSet<u64> {
    let pid = getpid().as_raw();
    let own = ProcessStat::read(pid).and_then(|stat| stat.terminal);
    let all = descendants(pid).into_iter().filter_map(|stat| stat.terminal);
    all.filter(|terminal| Some(*terminal) != own).collect()
}
