// SPDX-License-Identifier: GPL-3.0-or-later

//! Builds everything, starts it, ends it in order. The only place that knows the order of a shutdown.
//!
//! ```text
//! configuration ─► home (locked) ─► programs of a predecessor ended ─► worker ╮
//!                          reaper, sender, pictures, listener, signals ───────┴─ one select!, until the worker leaves
//! ```
//!
//! The end: the worker leaves (task ended, what is said sent, signed off), then whatever served it is dropped,
//! then the home's lock, with the process.

mod disk_wait;
mod explain;
mod find_manager;
mod flush;
mod live_line;
mod monitoring;
mod open_home;
mod relay;
mod reload;
mod status_reporter;
mod status_server;
mod status_view;

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use self::find_manager::find_manager;
use self::monitoring::monitor;
use self::open_home::{OpenedHome, open};
use self::relay::{leave_before_worker, relay};
use self::reload::RunningConfig;
use self::status_reporter::StatusReporter;
use self::status_view::StatusView;
use crate::chain::chain;
use crate::cli::{Arguments, VERSION};
use crate::clock;
use crate::command::CommandTools;
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::home::{self, Home};
use crate::logging::{self, LiveLineHandle, Log};
use crate::manager::push::{HintSender, PushListener, hint_channel};
use crate::manager::{HttpManager, Manager};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::printable;
use crate::process::{Launcher, LauncherOptions, Reaper, Strays};
use crate::report::PreviewQueue;
use crate::scratch::{Leftovers, ScratchDirs, WarnedOnce};
use crate::setup::{OURSELVES, bytes_of_memory, connection_options, requirements, tools_folder};
use crate::signals::{Early, Signals};
use crate::snapshot::Identity;
use crate::spool::{Sender, Spool};
use crate::systemd::Systemd;
use crate::task::{self, Tools};
use crate::warm::{Keeper, WarmBlender, WarmLimits};
use crate::worker::{Interrupts, Introduction, Worker, WorkerContext};

/// What still runs in the background when the worker has left (a hung file system) is given this long.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// How long a thread for blocking work is kept. Where there is none, and the host is out of processes, the runtime
/// panics; where there is one, the work waits for it.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Runs a worker from the command line to its departure.
pub(crate) fn run(arguments: &Arguments, early: Early) -> Departure {
    let environment = Environment::capture();
    let (config, warnings) = match Config::load(arguments, &environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            // There is no log yet, and the error is laid out in lines of its own.
            writeln!(
                std::io::stderr(),
                "flamenco-worker: {}",
                printable::escape_text(&error.to_string())
            )
            .ok();
            return Departure::BadConfiguration;
        }
    };
    let log = logging::init(&config.log, &environment)
        .inspect_err(|error| {
            writeln!(std::io::stderr(), "flamenco-worker: no log: {error}").ok();
        })
        .ok();
    let _last_lines = log.as_ref().map(Log::last_lines);
    for warning in warnings {
        warn!("{warning:#}");
    }
    info!(version = VERSION, pid = std::process::id(), "flamenco-worker starts");
    let systemd = Systemd::from_environment(|name| environment.get(name));
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOR_EVER)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(error = chain(&error), "cannot start");
            return Departure::Failure;
        }
    };
    let running = RunningConfig {
        arguments,
        environment: &environment,
        config,
        log,
        systemd: systemd.clone(),
    };
    let served = match arguments.flush {
        true => runtime.block_on(flush::flush(&running, early)),
        false => runtime.block_on(serve(running, early)),
    };
    let departure = served.unwrap_or_else(|departure| departure);
    systemd.status(&format!("left: {departure}"));
    runtime.shutdown_timeout(RUNTIME_END);
    info!(code = departure.code(), "flamenco-worker ends: {departure}");
    departure
}

/// `Err` is a departure too: one before there was a worker.
async fn serve(running: RunningConfig<'_>, early: Early) -> Result<Departure, Departure> {
    let (config, systemd) = (&running.config.clone(), &running.systemd.clone());
    let live_line = running.log.as_ref().and_then(|log| log.live_line.clone());
    let mut signals = signals(early, live_line.as_ref())?;
    let (tell, orders) = unbounded_channel();
    start_first_thread().await?;
    let OpenedHome { home, known, contents } = tokio::select! {
        opened = open(config, running.environment, systemd) => opened?,
        () = leave_before_worker(&mut signals, &tell) => return Err(Departure::Signalled),
    };
    let (launcher, reaper) = launcher(config, &home).map_err(failure("prepare to start programs"))?;
    let metrics = Metrics::new(VERSION).map_err(failure("prepare metrics"))?;
    let manager = manager(config)?.counted(metrics.clone());
    // Before anything is sent: what an earlier run left goes out at once.
    if let Some(known) = known {
        manager.identify(&known);
    }
    let (spool, sender) = Spool::of(contents);
    let (previews, preview_sender) = PreviewQueue::new(home.dir(), &config.timings);
    let (warm, keeper) = warm(config, &launcher, &home).unzip();
    let (hints, source) = hint_channel(&config.timings);
    let context = WorkerContext {
        home: &home,
        spool: spool.clone(),
        previews,
        tools: tools(config, &launcher, &home, warm.clone()),
        hints,
        node: Node::new(requirements(config, home.dir()), &config.timings),
        metrics: metrics.clone(),
        strikes: config.node.strikes,
        register: running.arguments.register,
        restart_code: config.restart_exit_code,
        timings: config.timings.clone(),
    };
    let worker = Worker::new(&manager, introduction(config), context);
    let view = StatusView {
        status: worker.status(),
        spool: spool.clone(),
        manager: &manager,
        launcher: launcher.clone(),
        warm,
        identity: identity(config, &home),
    };
    // Before the Manager is reached: it may be away for long, and we are none the less up.
    systemd.ready();
    let (tell_left, left) = oneshot::channel();
    let look_after = look_after_predecessors(config, &launcher, &home, &spool, tell_left);
    let before = async {
        tokio::join!(look_after, find_manager(&manager, config));
    };
    let departure = tokio::select! {
        departure = worker.run(Interrupts::new(orders, systemd.clone()), before) => departure,
        never = reaper.run() => match never {},
        never = send_reports(left, &launcher, sender, &manager) => match never {},
        never = preview_sender.run(&manager, &launcher) => match never {},
        never = show_status(&view, config, &home, systemd, live_line) => match never {},
        never = optional_services(source, keeper, &view, &metrics, config) => match never {},
        never = relay(signals, tell, running, &manager, &home) => match never {},
    };
    // While the home is still ours.
    home.remove_status_socket().ok();
    Ok(departure)
}

fn signals(early: Early, live_line: Option<&LiveLineHandle>) -> Result<Signals, Departure> {
    let line = live_line.map(LiveLineHandle::eraser);
    Signals::new(early, line.as_ref()).map_err(failure("take over the signals"))
}

/// Starts the first thread for what may block, while it can be had.
async fn start_first_thread() -> Result<(), Departure> {
    let started = tokio::task::spawn_blocking(|| ()).await;
    started.map_err(failure("start a thread"))
}

fn launcher(config: &Config, home: &Home) -> std::io::Result<(Launcher, Reaper)> {
    Launcher::new(LauncherOptions {
        guard: OURSELVES.into(),
        mark: home.mark().to_owned(),
        oom_score_adj: config.oom_score_adjust,
        nice: config.nice,
        memory: config.node.memory.map(bytes_of_memory),
        timings: config.timings.clone(),
    })
}

fn manager(config: &Config) -> Result<HttpManager, Departure> {
    let Some(url) = &config.manager else {
        return Ok(HttpManager::not_found_yet(&config.timings));
    };
    info!(manager = %url, name = config.worker_name, "using Manager");
    let options = connection_options(url, Some(url), config).map_err(unusable)?;
    HttpManager::new(url.clone(), options, &config.timings).map_err(failure("prepare HTTP"))
}

fn introduction(config: &Config) -> Introduction {
    Introduction {
        name: config.worker_name.clone(),
        task_types: config.task_types.clone(),
        software_version: VERSION.to_owned(),
        can_restart: config.restart_exit_code.is_some(),
    }
}

/// Who this worker is, to those who ask what it does.
fn identity(config: &Config, home: &Home) -> Identity {
    Identity {
        name: config.worker_name.clone(),
        pid: std::process::id(),
        version: VERSION.to_owned(),
        home: home.dir().to_string_lossy().into_owned(),
        manager: None,
        started: clock::timestamp_of_millis(clock::unix_millis()),
    }
}

/// Ends what is left of a worker that died, and tells which temporary directories it has left.
async fn look_after_predecessors(
    config: &Config,
    launcher: &Launcher,
    home: &Home,
    spool: &Spool,
    tell: oneshot::Sender<Leftovers>,
) {
    end_predecessors(config, launcher, home, spool).await;
    let left = Leftovers::find(&scratch(home)).await;
    // Whoever sends reports listens as long as the worker runs.
    tell.send(left).ok();
}

/// Whoever bears our mark is of a worker that died, guard and all; and so are the pictures that it began.
async fn end_predecessors(config: &Config, launcher: &Launcher, home: &Home, spool: &Spool) {
    let ended = launcher.end_predecessors(config.timings.unkillable).await;
    if ended != Strays::default() {
        warn!(ended = ?ended.ended, unkillable = ?ended.unkillable, "ended what the last run left behind");
    }
    task::settle(spool).await;
    let is_completed = |task: &str| spool.is_completed(task);
    for (task, line) in task::set_aside_leftovers(&home.rendering_dir(), is_completed).await {
        warn!(task, "{line}");
        spool.remark_later(&task, &line);
    }
}

/// Sends what tasks say: what became of the predecessors has its place in their logs. And removes what they left, which may
/// be much; nobody needs it gone.
async fn send_reports(
    left: oneshot::Receiver<Leftovers>,
    launcher: &Launcher,
    sender: Sender,
    manager: &HttpManager,
) -> Infallible {
    match left.await {
        Ok(left) => {
            let send = async {
                manager.found().await;
                sender.run(manager).await
            };
            tokio::join!(send, left.remove(launcher)).0
        }
        // Told to leave before.
        Err(_) => pending().await,
    }
}

/// What tasks need on this node.
fn tools(config: &Config, launcher: &Launcher, home: &Home, warm: Option<WarmBlender>) -> Tools {
    let commands = CommandTools::new(launcher.clone(), &config.timings, tools_folder());
    Tools::new(
        commands.with_journals(home.rendering_dir()).with_warm(warm),
        scratch(home),
    )
}

/// What keeps Blender between tasks, where that is switched on.
fn warm(config: &Config, launcher: &Launcher, home: &Home) -> Option<(WarmBlender, Keeper)> {
    let settings = &config.warm;
    let limits = WarmLimits {
        idle: settings.idle,
        tasks: settings.tasks,
        memory: bytes_of_memory(settings.memory),
    };
    let new = || WarmBlender::new(limits, home.dir().join("warm"), launcher, scratch(home));
    settings.blender.then(new)
}

/// Keeps a Blender, where that is switched on.
async fn keep(keeper: Option<Keeper>) -> Infallible {
    match keeper {
        Some(keeper) => keeper.run().await,
        None => pending().await,
    }
}

/// Where the temporary directories of tasks are made.
fn scratch(home: &Home) -> ScratchDirs {
    ScratchDirs {
        folder: std::env::temp_dir(),
        spare: home.dir().join("tmp"),
        // Copies of one machine may have their temporary directories in one place.
        mark: format!("{} {}", home::this_machine(), home.mark()),
        warned: WarnedOnce::default(),
    }
}

/// Shows what the worker does to whoever looks.
async fn show_status(
    view: &StatusView<'_>,
    config: &Config,
    home: &Home,
    systemd: &Systemd,
    live_line: Option<LiveLineHandle>,
) -> Infallible {
    let reporter = StatusReporter {
        systemd,
        view: view.clone(),
        longest_silence: config.timings.watchdog_contact,
    };
    tokio::select! {
        never = reporter.run() => never,
        never = status_server::answer(home, view) => never,
        never = live_line::draw(live_line, view.clone()) => never,
    }
}

/// What the worker can do without.
async fn optional_services(
    hints: HintSender,
    keeper: Option<Keeper>,
    view: &StatusView<'_>,
    metrics: &Metrics,
    config: &Config,
) -> Infallible {
    let listener = config
        .push
        .then(|| PushListener::new(hints, metrics.clone(), &config.timings));
    tokio::select! {
        never = monitor(view, metrics, config) => never,
        never = listen(listener, view.manager) => never,
        never = keep(keeper) => never,
        never = explain::explain_silence(view.manager) => never,
        never = explain::report_programs(&config.task_types) => never,
    }
}

/// Listens to the Manager, unless that is turned off.
async fn listen(listener: Option<PushListener>, manager: &HttpManager) -> Infallible {
    match listener {
        Some(listener) => {
            manager.found().await;
            listener.run(manager).await
        }
        None => pending().await,
    }
}

fn failure<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> Departure {
    move |error| {
        error!(error = chain(&error), "cannot {what}");
        Departure::Failure
    }
}

fn unusable<E: std::error::Error>(error: E) -> Departure {
    error!("{}", chain(&error));
    Departure::BadConfiguration
}
