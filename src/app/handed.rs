// SPDX-License-Identifier: GPL-3.0-or-later

//! All that a successor of this process goes on with, and how a life begins with it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Life;
use super::build::{Parts, introduction};
use super::manager_place::{HandedManager, manager, move_to_configured, same_manager};
use super::open_home::{OpenedHome, limits, no_home, open};
use super::process::Process;
use super::reload::Askers;
use super::successor::disks_answer;
use super::unusable;
use crate::cli::VERSION;
use crate::clock;
use crate::config::Config;
use crate::departure::Departure;
use crate::handover::HandedFd;
use crate::home::{Credentials, HandedHome, Home};
use crate::manager::HttpManager;
use crate::pause::{AskedPause, PauseSwitch};
use crate::presence::HandedPresence;
use crate::process::Stray;
use crate::report::HandedPicture;
use crate::signals::{Order, Signals, all_wait, block_all};
use crate::spool::{Contents, HandedSpool, Spool};
use crate::worker::{HandedWorker, Interrupts, Worker};

/// A turn of the runtime, in which it notices the signals that came last.
const TURN: Duration = Duration::from_millis(1);

/// How long a write that is under way is waited for.
const DISK: Duration = Duration::from_millis(200);

/// So many until each thread lets signals wait; on a busy machine a new one may take its time to begin.
const MOST_TURNS: u32 = 100;

/// All that a successor goes on with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handed {
    /// The version of the program that wrote this.
    by: String,
    home: HandedHome,
    worker: HandedWorker,
    spool: HandedSpool,
    picture: Option<HandedPicture>,
    manager: Option<HandedManager>,
    credentials: Option<Credentials>,
    survivors: Vec<Stray>,
    started: Timestamp,
    /// That somebody has paused this worker.
    #[serde(default)]
    paused: Option<AskedPause>,
    /// Who was seen at this machine.
    #[serde(default)]
    presence: Option<HandedPresence>,
    /// Who waits to hear what became of this.
    askers: Vec<HandedFd>,
}

impl Handed {
    /// Puts together what a successor goes on with. From here on signals wait for it.
    pub(super) async fn of(
        parts: &Parts,
        mut worker: HandedWorker,
        signals: &mut Signals,
        config: &Config,
    ) -> Box<Self> {
        block_all();
        for _ in 0..MOST_TURNS {
            if all_wait() {
                break;
            }
            sleep(TURN).await;
        }
        // It notices what came before that.
        sleep(TURN).await;
        worker.ordered(signals.rest().await);
        // What is written just now. One that takes longer keeps this process from its exec, and it goes on.
        timeout(DISK, disks_answer()).await.ok();
        Box::new(Self {
            by: VERSION.to_owned(),
            home: parts.home.hand_over(),
            worker,
            spool: parts.spool.hand_over(),
            picture: parts.previews.hand_over(),
            manager: HandedManager::of(&parts.manager, config),
            credentials: parts.manager.credentials(),
            survivors: parts.launcher.left_over(),
            started: parts.started,
            paused: parts.pauses.asked(),
            presence: Some(parts.seen_here.hand_over()),
            askers: parts.askers.hand_over(),
        })
    }

    /// What stays open over the exec.
    pub(super) fn descriptors(&self) -> Vec<&HandedFd> {
        let of_worker = self.home.descriptors().chain(self.worker.descriptors());
        of_worker.chain(&self.askers).collect()
    }
}

/// What a life begins with, its own home and what was handed over to it.
pub(super) struct Beginning {
    pub(super) home: Home,
    /// `None` before the first registration.
    pub(super) known: Option<Credentials>,
    pub(super) contents: Contents,
    pub(super) manager: HttpManager,
    pub(super) handed: Option<HandedLife>,
    pub(super) askers: Askers,
    pub(super) pauses: PauseSwitch,
    pub(super) presence: Option<HandedPresence>,
    pub(super) started: Timestamp,
}

/// What was handed over of the worker itself.
pub(super) struct HandedLife {
    worker: HandedWorker,
    picture: Option<HandedPicture>,
    survivors: Vec<Stray>,
    /// The Manager is to hear who this worker is now, once its task is over.
    is_to_introduce: bool,
}

impl HandedLife {
    /// Whether nothing is left to be done of a start.
    pub(super) fn has_started(&self) -> bool {
        self.worker.has_started()
    }

    /// What was ordered and nobody has obeyed yet. Once.
    pub(super) fn orders(&mut self) -> impl Iterator<Item = Order> + use<> {
        self.worker.take_orders().into_iter()
    }

    /// The same worker, where an earlier life of this process was.
    pub(super) fn go_on<'a>(
        self,
        worker: Worker<'a, HttpManager>,
        parts: &Parts,
        interrupts: &mut Interrupts,
    ) -> Worker<'a, HttpManager> {
        parts.launcher.inherit(&self.survivors);
        self.picture
            .iter()
            .for_each(|picture| parts.previews.take_over(picture));
        worker.take_over(self.worker, self.is_to_introduce, interrupts)
    }

    /// The temporary directory of the task that goes on.
    pub(super) fn tmpdir(&self) -> Option<PathBuf> {
        Some(self.worker.task()?.tmpdir().to_owned())
    }
}

impl Beginning {
    /// # Errors
    /// How the process is to end. Why is logged.
    pub(super) async fn of(life: Option<Life>, process: &Process<'_>) -> Result<Self, Departure> {
        match life {
            Some((handed, refused)) => Self::taken_over(*handed, refused.as_deref(), process),
            None => Self::fresh(process).await,
        }
    }

    async fn fresh(process: &Process<'_>) -> Result<Self, Departure> {
        let opened = open(&process.config, process.environment, &process.systemd).await?;
        let OpenedHome { home, known, contents } = opened;
        let asked = home.asked_pause();
        Ok(Self {
            home,
            known,
            contents,
            manager: manager(&process.config)?,
            handed: None,
            askers: Askers::default(),
            pauses: PauseSwitch::with(asked),
            presence: None,
            started: clock::timestamp_of_millis(clock::unix_millis()),
        })
    }

    fn taken_over(handed: Handed, refused: Option<&str>, process: &Process<'_>) -> Result<Self, Departure> {
        let config = &process.config;
        let askers = Askers::take_over(handed.askers);
        match refused {
            None => info!(by = handed.by, "taking over from the worker that this process was"),
            Some(why) => warn!("this process goes on as it was: {why}"),
        }
        let worker = handed.worker;
        let folder = handed.home.dir().join("spool");
        let home = Home::take_over(handed.home).map_err(no_home)?;
        let contents = Spool::take_over(&folder, handed.spool, limits(config), &config.timings).map_err(unusable)?;
        if let Some(known) = &handed.credentials {
            // Nobody runs twice here: we were there all the time.
            home.claim(&known.id).unwrap_or_else(|error| warn!("{error}"));
        }
        let manager = match &handed.manager {
            Some(place) => same_manager(place, config)?,
            None => manager(config)?,
        };
        let has_moved = handed.manager.as_ref().is_some_and(|place| place.has_moved(config));
        if has_moved {
            move_to_configured(&manager, config)?;
        }
        let known_as = worker.introduced();
        let is_to_introduce = known_as.is_some_and(|known| has_moved || *known != introduction(config));
        if is_to_introduce {
            info!(
                "what has changed (name, task types, version, restart, Manager) is told by a sign-on when no task runs"
            );
        }
        askers.answer(refused);
        Ok(Self {
            home,
            known: handed.credentials,
            contents,
            manager,
            handed: Some(HandedLife {
                worker,
                picture: handed.picture,
                survivors: handed.survivors,
                is_to_introduce,
            }),
            askers,
            pauses: PauseSwitch::with(handed.paused),
            presence: handed.presence,
            started: handed.started,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use serde_json::Value;

    use super::*;
    use crate::handover;

    /// Each `"FD"` becomes a descriptor of its own, left open as over an exec.
    fn with_descriptors(value: &mut Value, opened: &mut usize) {
        match value {
            Value::String(text) if text == "FD" => {
                let file = File::open("/dev/null").unwrap();
                fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
                *opened += 1;
                *value = file.into_raw_fd().into();
            }
            Value::Array(all) => all.iter_mut().for_each(|one| with_descriptors(one, opened)),
            Value::Object(all) => all.values_mut().for_each(|one| with_descriptors(one, opened)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn k1_what_each_earlier_version_wrote_is_read_and_what_a_later_one_adds_passed_over() {
        let recorded = [
            include_str!("handed/version-1.json"),
            include_str!("handed/version-2.json"),
        ];
        assert_eq!(recorded.len(), handover::VERSION as usize);
        for text in recorded {
            let mut value: Value = serde_json::from_str(text).unwrap();
            value["of a later version"] = "x".into();
            value["worker"]["of a later version"] = "x".into();
            let mut opened = 0;
            with_descriptors(&mut value, &mut opened);
            let handed: Handed = serde_json::from_value(value).unwrap();
            assert_eq!(handed.descriptors().len(), opened);
            let worker = &handed.worker;
            assert!(worker.has_started() && worker.introduced().is_some());
            assert_eq!(worker.task().unwrap().tmpdir(), std::path::Path::new("/t"));
        }
    }
}
