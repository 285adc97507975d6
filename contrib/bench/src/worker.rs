// SPDX-License-Identifier: GPL-3.0-or-later

//! A real worker, in a temporary home.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use test_bed::equip;

use crate::contender::{Contender, Kind};

/// A running worker. Dropped, it is told to leave and waited for.
pub(crate) struct Worker {
    process: Child,
    folder: TempDir,
    told: bool,
}

impl Worker {
    /// # Errors
    /// It cannot be started, or its home cannot be made.
    pub(crate) fn start(contender: &Contender, url: &str, name: &str) -> Result<Self, String> {
        Self::begin(contender, url, name)
            .map_err(|error| format!("cannot start {}: {error}", contender.binary.display()))
    }

    fn begin(contender: &Contender, url: &str, name: &str) -> io::Result<Self> {
        // Apart from where tasks have their temporary directories, as homes are: the sandbox looks at what is around a home.
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("/var/tmp")?;
        match &contender.kind {
            Kind::Ours { configuration } => fs::write(folder.path().join("flamenco-worker.toml"), configuration)?,
            Kind::Other => {}
        }
        let mut command = Command::new(&contender.binary);
        equip(
            &mut command,
            folder.path(),
            &folder.path().join("worker.log"),
            name,
            url,
        )?;
        let process = command.args(["-restart-exit-code", "47"]).spawn()?;
        Ok(Self {
            process,
            folder,
            told: false,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where it was started.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of what it logged, for whoever asks what went wrong.
    pub(crate) fn log(&self) -> String {
        const SHOWN: usize = 30;
        let log = fs::read(self.folder.path().join("worker.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let skipped = log.lines().count().saturating_sub(SHOWN);
        log.lines().skip(skipped).map(|line| format!("  {line}\n")).collect()
    }

    /// Does not wait until it has left.
    pub(crate) fn tell_to_leave(&mut self) {
        // A second time would mean to be quick about it.
        if let (false, Ok(pid)) = (self.told, i32::try_from(self.process.id())) {
            // Gone already.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        self.told = true;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tell_to_leave();
        self.process.wait().ok();
    }
}
