// SPDX-License-Identifier: GPL-3.0-or-later

//! What stays the same for as long as this process is this program.

use std::path::{Path, PathBuf};

use crate::cli::Arguments;
use crate::config::{Config, Environment};
use crate::logging::{LiveLineHandle, Log};
use crate::systemd::Systemd;

/// This process, as it was started.
#[derive(Debug)]
pub(super) struct Process<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) environment: &'a Environment,
    pub(super) config: Config,
    /// `None` where there is no log.
    pub(super) log: Option<Log>,
    pub(super) systemd: Systemd,
    /// The program that it becomes in a reload.
    pub(super) program: PathBuf,
}

impl Process<'_> {
    /// The configuration that was found, unless one was asked for. A successor reads that, and does not look for another one.
    pub(super) fn found_configuration(&self) -> Option<&Path> {
        let asked = self.arguments.config.as_ref();
        self.config.file.as_deref().filter(|_| asked.is_none())
    }

    /// The line below the log, where there is one.
    pub(super) fn live_line(&self) -> Option<&LiveLineHandle> {
        self.log.as_ref()?.live_line.as_ref()
    }
}
