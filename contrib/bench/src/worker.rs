// SPDX-License-Identifier: GPL-3.0-or-later

//! The real worker, in a temporary home.

#![expect(clippy::disallowed_methods, reason = "this is where the benchmark starts programs")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Snapshot, StandIn, WorkerStatus};
use tempfile::TempDir;

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running worker.
pub(crate) struct Worker {
    process: Child,
    pub(crate) folder: TempDir,
}

/// Builds the worker if cargo started us, and says where it is.
pub(crate) fn binary() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = own.with_file_name("flamenco-worker");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let profile = if own.parent().is_some_and(|folder| folder.ends_with("release")) {
            "release"
        } else {
            "dev"
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let built = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--bin",
                "flamenco-worker",
                "--profile",
                profile,
                "--manifest-path",
            ])
            .arg(root)
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err("cannot build flamenco-worker".into());
        }
    }
    if beside.exists() {
        Ok(beside)
    } else {
        Err(format!("{} is not there: build it first", beside.display()))
    }
}

impl Worker {
    pub(crate) fn start(manager: &StandIn, settings: &str) -> Result<Self, String> {
        let binary = binary()?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let configuration = folder.path().join("flamenco-worker.toml");
        std::fs::write(configuration, settings).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(folder.path().join("worker.log")).map_err(|error| error.to_string())?;
        let process = Command::new(binary)
            .args(["-manager", &manager.url()])
            .current_dir(folder.path())
            .env("FLAMENCO_HOME", folder.path().join("home"))
            .env("FLAMENCO_WORKER_NAME", "bench")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        Ok(Self { process, folder })
    }

    pub(crate) fn awake(manager: &StandIn) -> Result<Self, String> {
        let worker = Self::start(manager, "")?;
        wait(manager, "an awake worker", |farm| {
            farm.workers()
                .find(|worker| worker.status == WorkerStatus::Awake)
                .map(|_| ())
        })?;
        Ok(worker)
    }

    /// A field of `/proc/PID/status`, in KiB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    /// Time on a CPU so far, from the scheduler's own count.
    pub(crate) fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.process.id())).unwrap_or_default();
        Duration::from_nanos(
            text.split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0),
        )
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _status = self.process.wait();
    }
}

pub(crate) fn wait<T>(
    manager: &StandIn,
    what: &str,
    fact: impl FnMut(&Snapshot<'_>) -> Option<T>,
) -> Result<T, String> {
    manager.wait_for(PATIENCE, what, fact)
}
