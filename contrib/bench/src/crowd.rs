// SPDX-License-Identifier: GPL-3.0-or-later

//! Many workers of one kind at one Manager: processes as far as memory allows, then, for our own worker, residents of one
//! process.

#![expect(clippy::disallowed_methods, reason = "this is where residents are started")]

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use standin_manager::{StandIn, WorkerStatus};
use tempfile::TempDir;

use crate::contender::{Contender, Kind};
use crate::node::PATIENCE;
use crate::proc;
use crate::residents;
use crate::scale::Scale;
use crate::waiting::pass;
use crate::worker::Worker;

/// Memory that stays free, in KiB: an eighth of the machine, and no less than this.
const SPARED: u64 = 2 << 20;

/// Workers that are all awake. Dropped, all are told to leave, then waited for.
pub(crate) struct Crowd {
    pub(crate) processes: Vec<Worker>,
    pub(crate) residents: Option<Residents>,
}

impl Crowd {
    /// # Errors
    /// One cannot be started, or is not awake in time.
    pub(crate) fn gather(contender: &Contender, manager: &StandIn, scale: &Scale) -> Result<Self, String> {
        raise_file_limit()?;
        let mut crowd = Self {
            processes: Vec::new(),
            residents: None,
        };
        let wanted = scale.workers.min(scale.processes);
        let spared = SPARED.max(proc::total() / 8);
        while crowd.processes.len() < wanted && proc::available() > spared {
            let number = crowd.processes.len() + 1;
            let worker = Worker::start(contender, &manager.url(), &format!("worker-{number}"))?;
            crowd.processes.push(worker);
            pass(scale.apart);
        }
        let rest = scale.workers.saturating_sub(crowd.processes.len());
        if let (Kind::Ours { configuration }, 1..) = (&contender.kind, rest) {
            crowd.residents = Some(Residents::start(configuration, &manager.url(), rest, scale.apart)?);
            pass(scale.apart.saturating_mul(u32::try_from(rest).unwrap_or(u32::MAX)));
        }
        let what = format!("{} workers to be awake", crowd.len());
        manager.wait_for(PATIENCE, &what, |farm| {
            let awake = farm.workers().filter(|worker| worker.status == WorkerStatus::Awake);
            (awake.count() >= crowd.len()).then_some(())
        })?;
        Ok(crowd)
    }

    pub(crate) fn len(&self) -> usize {
        self.processes.len() + self.residents.as_ref().map_or(0, |residents| residents.count)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.processes.iter_mut().for_each(Worker::tell_to_leave);
    }
}

/// A thousand connections, some of them twice.
fn raise_file_limit() -> Result<(), String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))
}

/// Workers in one process.
pub(crate) struct Residents {
    process: Child,
    pub(crate) count: usize,
    _folder: TempDir,
}

impl Residents {
    fn start(configuration: &str, url: &str, count: usize, apart: Duration) -> Result<Self, String> {
        Self::begin(configuration, url, count, apart).map_err(|error| format!("cannot start residents: {error}"))
    }

    fn begin(configuration: &str, url: &str, count: usize, apart: Duration) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let file = folder.path().join("flamenco-worker.toml");
        fs::write(&file, configuration)?;
        let process = Command::new(std::env::current_exe()?)
            .args([residents::ROLE, &count.to_string(), &apart.as_millis().to_string()])
            .arg(folder.path())
            .args(["-manager", url, "-config"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            count,
            _folder: folder,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Residents {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _status = self.process.wait();
    }
}
