// SPDX-License-Identifier: GPL-3.0-or-later

//! What all folders of a spool have in common.

use super::limits::Limits;
use crate::files;
use crate::timings::Timings;

/// What folders are made and sent with.
#[derive(Debug, Clone)]
pub(super) struct SpoolContext {
    pub(super) limits: Limits,
    pub(super) timings: Timings,
    /// Does what is to be done on the disk.
    pub(super) files: files::Thread,
}
