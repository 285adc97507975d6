// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the temporary directories of tasks are made, and which problems with them were logged already.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Where tasks get their temporary directories.
#[derive(Debug, Clone)]
pub(crate) struct ScratchDirs {
    /// The folder in which they are made, e.g. `/tmp`.
    pub folder: PathBuf,
    /// The folder for when they cannot be made there. It is created if need be.
    pub spare: PathBuf,
    /// Tells this worker's directories from another worker's, also from one on another machine.
    pub mark: String,
    /// Shared by all clones.
    pub warned: WarnedOnce,
}

/// Which problems were logged, so that each task does not log them again.
#[derive(Debug, Clone, Default)]
pub(crate) struct WarnedOnce(Arc<Mutex<HashSet<(&'static str, ErrorKind)>>>);

impl WarnedOnce {
    /// Whether this problem is logged for the first time.
    pub(crate) fn is_new(&self, what: &'static str, cause: ErrorKind) -> bool {
        self.0.lock().is_ok_and(|mut warned| warned.insert((what, cause)))
    }
}
