// SPDX-License-Identifier: GPL-3.0-or-later

//! One render node: a worker that is started again whatever happens to it, and a home on a small disk of its own if we may
//! make one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_bed::{children, equip, mark_of};

use super::text;

/// Large enough for the logs of one node and for the space a task needs to begin, small enough to be filled in no time.
const DISK: &str = "size=192m";

/// How long a worker may take to leave, and its programs to be gone.
const LEAVE: Duration = Duration::from_secs(30);

/// Short, so that a minute holds many faults.
const CONFIGURATION: &str = r#"
[timings]
first_may_i_run = "100ms"
may_i_run = "300ms"
idle_min = "50ms"
idle_max = "300ms"
asleep_poll = "300ms"
backoff_min = "50ms"
backoff_max = "500ms"
asleep_backoff_max = "500ms"
log_flush = "100ms"
connect = "1s"
question_timeout = "1s"
request_timeout = "2s"
update_timeout = "2s"
reregister_after = "1s"
grace = "1s"
output_drain = "100ms"
linger = "200ms"
lock_timeout = "5s"
"#;

pub(crate) struct Node {
    name: String,
    binary: PathBuf,
    folder: PathBuf,
    url: String,
    process: Option<Child>,
    /// The home is a disk of its own.
    own_disk: bool,
    /// When somebody was killed here, in seconds since 1970.
    pub(super) kills: Vec<f64>,
}

impl Node {
    pub(super) fn new(farm: &Path, index: usize, binary: &Path, url: &str) -> Result<Self, String> {
        let name = format!("node-{index}");
        let folder = farm.join(&name);
        fs::create_dir_all(folder.join("home")).map_err(text)?;
        fs::create_dir_all(folder.join("tmp")).map_err(text)?;
        fs::write(folder.join("flamenco-worker.toml"), CONFIGURATION).map_err(text)?;
        let tmpfs = Some("tmpfs");
        let own_disk = mount(tmpfs, &folder.join("home"), tmpfs, MsFlags::empty(), Some(DISK)).is_ok();
        Ok(Self {
            name,
            binary: binary.to_owned(),
            folder,
            url: url.to_owned(),
            process: None,
            own_disk,
            kills: Vec::new(),
        })
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Where its tasks have their temporary directories.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("worker.log")).unwrap_or_default()
    }

    /// Starts the worker, if it does not run.
    pub(super) fn start(&mut self) -> Result<(), String> {
        if self.runs() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        let log = self.folder.join("worker.log");
        equip(&mut command, &self.folder, &log, &self.name, &self.url).map_err(text)?;
        command
            .args(["-restart-exit-code", "47"])
            .env("TMPDIR", self.temporary());
        self.process = Some(command.spawn().map_err(text)?);
        Ok(())
    }

    pub(super) fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        let id = self.process.as_ref()?.id();
        i32::try_from(id).ok().map(Pid::from_raw)
    }

    /// The worker's children: guards.
    pub(super) fn guards(&self) -> Vec<Pid> {
        let children = self.pid().map(|pid| children(pid.as_raw()));
        children.into_iter().flatten().map(Pid::from_raw).collect()
    }

    pub(super) fn kill_worker(&mut self) {
        if let Some(pid) = self.pid() {
            self.kill(pid);
        }
        self.reap();
    }

    /// Kills its guards, and says whether there was one.
    pub(super) fn kill_guards(&mut self) -> bool {
        let guards = self.guards();
        for guard in &guards {
            self.kill(*guard);
        }
        !guards.is_empty()
    }

    fn kill(&mut self, pid: Pid) {
        self.kills.push(now());
        // Gone already.
        kill(pid, Signal::SIGKILL).ok();
    }

    fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().ok();
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Gone already.
            kill(pid, signal).ok();
        }
    }

    /// Asks the worker to leave, and waits for it.
    pub(super) fn stop(&mut self) -> Result<Option<ExitStatus>, String> {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + LEAVE;
        while self.runs() {
            if Instant::now() > deadline {
                return Err(format!("{} does not leave\n{}", self.name, self.log()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.process.take().and_then(|mut process| process.wait().ok());
        Ok(status)
    }

    /// Fills the disk of the home to the last byte; false if it has none of its own.
    pub(super) fn fill_disk(&self) -> bool {
        if self.own_disk {
            let filler = fs::File::create(self.filler());
            // Full is what is wanted.
            filler
                .and_then(|mut file| std::io::copy(&mut std::io::repeat(b'x'), &mut file))
                .ok();
        }
        self.own_disk
    }

    pub(super) fn free_disk(&self) {
        // It may never have been full.
        fs::remove_file(self.filler()).ok();
    }

    fn filler(&self) -> PathBuf {
        self.home().join("filler")
    }

    /// What its programs carry in their environment.
    pub(super) fn mark(&self) -> Result<String, String> {
        mark_of(&self.home()).map_err(text)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.reap();
        if self.own_disk {
            // It may be busy.
            umount2(&self.home(), MntFlags::MNT_DETACH).ok();
        }
    }
}

/// Seconds since 1970, on the clock of the ledger.
pub(super) fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
