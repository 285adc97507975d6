// SPDX-License-Identifier: GPL-3.0-or-later

//! Many workers of one kind at one Manager, as far as memory allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use standin_manager::{StandIn, WorkerStatus};

use crate::contender::Contender;
use crate::node::PATIENCE;
use crate::proc;
use crate::scale::Scale;
use crate::waiting::pass;
use crate::worker::Worker;

/// Memory that stays free, in KiB: an eighth of the machine, and no less than this.
const SPARED: u64 = 2 << 20;

/// Workers that are all awake. Dropped, all are told to leave, then waited for.
pub(crate) struct Crowd {
    pub(crate) processes: Vec<Worker>,
}

impl Crowd {
    /// # Errors
    /// One cannot be started, or is not awake in time.
    pub(crate) fn gather(contender: &Contender, manager: &StandIn, scale: &Scale) -> Result<Self, String> {
        raise_file_limit()?;
        let mut crowd = Self { processes: Vec::new() };
        let spared = SPARED.max(proc::total() / 8);
        while crowd.processes.len() < scale.workers && proc::available() > spared {
            let number = crowd.processes.len() + 1;
            let worker = Worker::start(contender, &manager.url(), &format!("worker-{number}"))?;
            crowd.processes.push(worker);
            pass(scale.apart);
        }
        let what = format!("{} workers to be awake", crowd.len());
        manager.wait_for(PATIENCE, &what, |farm| {
            let awake = farm.workers().filter(|worker| worker.status == WorkerStatus::Awake);
            (awake.count() >= crowd.len()).then_some(())
        })?;
        Ok(crowd)
    }

    pub(crate) fn len(&self) -> usize {
        self.processes.len()
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
