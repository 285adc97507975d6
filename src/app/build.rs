// SPDX-License-Identifier: GPL-3.0-or-later

//! The parts of a worker, as its configuration has them.

use jiff::Timestamp;
use tokio::sync::watch;

use super::failure;
use super::handed::{Beginning, HandedLife};
use super::pausing::Pausing;
use super::process::Process;
use super::reload::Askers;
use super::status_view::StatusView;
use crate::cli::VERSION;
use crate::command::CommandTools;
use crate::config::Config;
use crate::dbus::SYSTEM_BUS;
use crate::departure::Departure;
use crate::files::temporary_folder;
use crate::home::{self, Home};
use crate::manager::push::{HintReceiver, HintSender, hint_channel};
use crate::manager::{HttpManager, Manager};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::own_program::OURSELVES;
use crate::pause::PauseSwitch;
use crate::presence::{HandedPresence, Presence, SeenHere};
use crate::process::{Launcher, LauncherOptions, Reaper};
use crate::report::{PreviewQueue, PreviewSender};
use crate::sandbox::Sandbox;
use crate::scratch::{ScratchDirs, WarnedOnce};
use crate::setup::{
    SPARE_TMP, WARM, bytes_of_memory, not_enforced, requirements, sandbox, sandbox_rules, tools_folder,
};
use crate::snapshot::Identity;
use crate::spool::{Sender, Spool};
use crate::task::Tools;
use crate::warm::{Keeper, WarmBlender, WarmLimits};
use crate::worker::{Introduction, PauseRules, Status, Worker, WorkerContext};

/// Starts the first thread for what may block, while it can be had.
pub(super) async fn start_first_thread() -> Result<(), Departure> {
    let started = tokio::task::spawn_blocking(|| ()).await;
    started.map_err(failure("start a thread"))
}

pub(super) fn launcher(config: &Config, home: &Home) -> std::io::Result<(Launcher, Reaper)> {
    Launcher::new(LauncherOptions {
        guard: OURSELVES.into(),
        mark: home.mark().to_owned(),
        oom_score_adj: config.oom_score_adjust,
        nice: config.nice,
        memory: config.node.memory.map(bytes_of_memory),
        timings: config.timings.clone(),
    })
}

pub(super) fn introduction(config: &Config) -> Introduction {
    Introduction {
        name: config.worker_name.clone(),
        task_types: config.task_types.clone(),
        software_version: VERSION.to_owned(),
        can_restart: config.restart_exit_code.is_some(),
    }
}

/// Who this worker is, to those who ask what it does.
fn identity(config: &Config, home: &Home, started: Timestamp) -> Identity {
    Identity {
        name: config.worker_name.clone(),
        pid: std::process::id(),
        version: VERSION.to_owned(),
        home: home.dir().to_string_lossy().into_owned(),
        manager: None,
        started,
    }
}

/// What keeps Blender between tasks, where that is switched on.
fn warm(config: &Config, launcher: &Launcher, home: &Home) -> Option<(WarmBlender, Keeper)> {
    let settings = &config.warm;
    let limits = WarmLimits {
        idle: settings.idle,
        tasks: settings.tasks,
        memory: bytes_of_memory(settings.memory),
    };
    let new = || WarmBlender::new(limits, home.dir().join(WARM), launcher, scratch(home));
    settings.blender.then(new)
}

/// What watches for somebody at this machine.
fn presence(process: &Process<'_>, handed: Option<&HandedPresence>, pauses: &PauseSwitch) -> Presence {
    let settings = &process.config.presence;
    let bus = process.environment.get("DBUS_SYSTEM_BUS_ADDRESS");
    let bus = bus.map_or(SYSTEM_BUS.into(), |address| address.to_string_lossy().into_owned());
    Presence::new((&settings.sources, settings.idle), bus, handed, pauses.clone())
}

/// Where the temporary directories of tasks are made.
pub(super) fn scratch(home: &Home) -> ScratchDirs {
    ScratchDirs {
        folder: temporary_folder(),
        spare: home.dir().join(SPARE_TMP),
        // Copies of one machine may have their temporary directories in one place.
        mark: format!("{} {}", home::this_machine(), home.mark()),
        warned: WarnedOnce::default(),
    }
}

/// What is built once for a life, for all who use it.
pub(super) struct Parts {
    pub(super) home: Home,
    pub(super) manager: HttpManager,
    pub(super) launcher: Launcher,
    pub(super) spool: Spool,
    pub(super) previews: PreviewQueue,
    pub(super) metrics: Metrics,
    pub(super) askers: Askers,
    pub(super) pauses: PauseSwitch,
    pub(super) seen_here: SeenHere,
    warm: Option<WarmBlender>,
    sandbox: Option<Sandbox>,
    pub(super) started: Timestamp,
}

/// The other ends of it, each for the one that runs it.
pub(super) struct Services {
    pub(super) reaper: Reaper,
    pub(super) sender: Sender,
    pub(super) pictures: PreviewSender,
    pub(super) hints: HintReceiver,
    pub(super) optional: OptionalServices,
}

/// What the worker can do without.
pub(super) struct OptionalServices {
    pub(super) push: HintSender,
    pub(super) keeper: Option<Keeper>,
    pub(super) presence: Presence,
    pub(super) sandbox: Option<Sandbox>,
}

impl Parts {
    /// # Errors
    /// How the process is to end. Why is logged.
    pub(super) fn of(
        begun: Beginning,
        process: &Process<'_>,
    ) -> Result<(Self, Services, Option<HandedLife>), Departure> {
        let config = &process.config;
        let home = begun.home;
        let (launcher, reaper) = launcher(config, &home).map_err(failure("prepare to start programs"))?;
        let metrics = Metrics::new(VERSION).map_err(failure("prepare metrics"))?;
        let manager = begun.manager.counted(metrics.clone());
        // Before anything is sent: what an earlier run left goes out at once.
        if let Some(known) = begun.known {
            manager.identify(&known);
        }
        if !sandbox_rules(config).are_none() {
            home.close_to_tasks();
        }
        if let Some(what) = not_enforced(config) {
            tracing::warn!("[sandbox] is not enforced in full: this kernel cannot hold tasks to rules for {what}");
        }
        let (spool, sender) = Spool::of(begun.contents);
        let (previews, pictures) = PreviewQueue::new(home.dir(), &config.timings);
        let sandbox = sandbox(config, process.environment, home.dir());
        let (warm, keeper) = warm(config, &launcher, &home).unzip();
        let presence = presence(process, begun.presence.as_ref(), &begun.pauses);
        let (hints, push) = hint_channel(&config.timings);
        let seen_here = presence.seen_here();
        let services = Services {
            reaper,
            sender,
            pictures: pictures.with_sandbox(sandbox.clone()),
            hints,
            optional: OptionalServices {
                push,
                keeper,
                presence,
                sandbox: sandbox.clone(),
            },
        };
        let parts = Self {
            home,
            manager,
            launcher,
            spool,
            previews,
            metrics,
            askers: begun.askers,
            pauses: begun.pauses,
            seen_here,
            warm,
            sandbox,
            started: begun.started,
        };
        Ok((parts, services, begun.handed))
    }

    /// The worker itself.
    pub(super) fn worker(&self, process: &Process<'_>, hints: HintReceiver) -> Worker<'_, HttpManager> {
        let config = &process.config;
        let context = WorkerContext {
            home: &self.home,
            spool: self.spool.clone(),
            previews: self.previews.clone(),
            tools: self.tools(config),
            hints,
            node: Node::new(requirements(config, self.home.dir()), &config.timings),
            metrics: self.metrics.clone(),
            strikes: config.node.strikes,
            register: process.arguments.register,
            pauses: PauseRules {
                policy: config.presence.policy,
                limit: config.presence.limit,
            },
            restart_code: config.restart_exit_code,
            timings: config.timings.clone(),
        };
        Worker::new(&self.manager, introduction(config), context)
    }

    /// What tasks need on this node.
    fn tools(&self, config: &Config) -> Tools {
        let commands = CommandTools::new(self.launcher.clone(), &config.timings, tools_folder())
            .with_journals(self.home.rendering_dir())
            .with_sandbox(self.sandbox.clone())
            .with_warm(self.warm.clone());
        Tools::new(commands, scratch(&self.home))
    }

    /// What pauses it.
    pub(super) fn pausing(&self, status: watch::Receiver<Status>, config: &Config) -> Pausing<'_> {
        Pausing {
            home: &self.home,
            pauses: &self.pauses,
            policy: config.presence.policy,
            status,
        }
    }

    /// What there is to see of it.
    pub(super) fn view(&self, status: watch::Receiver<Status>, config: &Config) -> StatusView<'_> {
        StatusView {
            status,
            spool: self.spool.clone(),
            manager: &self.manager,
            launcher: self.launcher.clone(),
            warm: self.warm.clone(),
            pauses: self.pauses.watch(),
            identity: identity(config, &self.home, self.started),
        }
    }
}
