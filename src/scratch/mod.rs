// SPDX-License-Identifier: GPL-3.0-or-later

//! Temporary directories of programs: made for each task, removed after it, and found again by the start after a crash.

mod dirs;
mod tmpdir;

pub(crate) use dirs::{ScratchDirs, WarnedOnce};
pub(crate) use tmpdir::{Leftovers, TmpDir};
