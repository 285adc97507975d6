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

mod build;
mod disk_wait;
mod explain;
mod find_manager;
mod flush;
mod handed;
mod home_socket;
mod live_line;
mod manager_place;
mod monitoring;
mod open_home;
mod pausing;
mod process;
mod relay;
mod reload;
mod services;
mod status_reporter;
mod status_server;
mod status_view;
mod successor;

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use self::build::{Parts, Services, scratch, start_first_thread};
use self::find_manager::find_manager;
use self::handed::{Beginning, Handed, HandedLife};
use self::process::Process;
use self::relay::{hand_on, leave_before_worker, relay};
use self::reload::Reload;
use self::services::{end_predecessors, optional_services, send_reports, show_status};
use crate::chain::chain;
use crate::cli::{Arguments, VERSION};
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::handover::Received;
use crate::logging::{self, LiveLineHandle, Log};
use crate::own_program::own_path;
use crate::printable;
use crate::scratch::Leftovers;
use crate::signals::{Early, Order, Signals, block_all};
use crate::systemd::Systemd;
use crate::worker::{Interrupts, WorkerEnd};

pub(crate) use self::successor::{SUCCESSOR_ROLE, answer};

/// What still runs in the background when the worker has left (a hung file system) is given this long.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// How long a thread for blocking work is kept. Where there is none, and the host is out of processes, the runtime
/// panics; where there is one, the work waits for it.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Runs a worker from the command line to its departure.
pub(crate) fn run(arguments: &Arguments, early: Early, received: Option<Received>) -> Departure {
    open_to_ourselves();
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
    // One that goes on says so.
    if received.is_none() {
        info!(version = VERSION, pid = std::process::id(), "flamenco-worker starts");
    }
    let systemd = Systemd::from_environment(|name| environment.get(name));
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOR_EVER)
        // They are for the event loop: one that waits there for a successor of this process is not to be taken here.
        .on_thread_start(block_all)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(error = chain(&error), "cannot start");
            return Departure::Failure;
        }
    };
    let process = Process {
        arguments,
        environment: &environment,
        config,
        log,
        systemd: systemd.clone(),
        program: own_path(),
    };
    let served = match arguments.flush {
        true => runtime.block_on(flush::flush(&process, early)),
        false => lives(&process, early, received, &runtime),
    };
    let departure = served.unwrap_or_else(|departure| departure);
    systemd.status(&format!("left: {departure}"));
    runtime.shutdown_timeout(RUNTIME_END);
    info!(code = departure.code(), "flamenco-worker ends: {departure}");
    departure
}

/// A umask that takes files from their own user would have us not read what we wrote: of it the part for others holds, for
/// programs of tasks, too.
fn open_to_ourselves() {
    let mask = umask(Mode::S_IRWXG | Mode::S_IRWXO);
    umask(mask - Mode::S_IRWXU);
}

/// One life after the other: each ends with the process, or with what a successor goes on with. Where the process cannot
/// become that, it goes on itself.
fn lives(
    process: &Process<'_>,
    early: Early,
    received: Option<Received>,
    runtime: &Runtime,
) -> Result<Departure, Departure> {
    let mut life = (early, received.and_then(take_over));
    loop {
        let (handed, refused) = match runtime.block_on(serve(process, life.0, life.1))? {
            ServeEnd::Left(departure) => return Ok(departure),
            ServeEnd::HandedOver(handed, refused) => (handed, refused),
        };
        if let Some(line) = process.live_line() {
            line.show(None);
        }
        drop(process.log.as_ref().map(Log::last_lines));
        let refused = refused.unwrap_or_else(|| successor::become_it(process, &handed));
        life = (Early::keep_blocked(), Some((handed, Some(refused))));
    }
}

/// Where the service of a worker ends.
enum ServeEnd {
    Left(Departure),
    /// With why this process cannot become its successor, where that is known by now.
    HandedOver(Box<Handed>, Option<String>),
}

/// What was handed over, and why it comes back where this process could not become its successor.
type Life = (Box<Handed>, Option<String>);

/// Without what was handed over this is a start as any other, after a worker that was killed: nobody holds the ends of its
/// guards any more.
fn take_over(received: Received) -> Option<Life> {
    let read = received.read::<Box<Handed>>();
    let read = read.inspect_err(|error| error!(error = chain(error), "cannot take over from the worker that this was"));
    let (handed, unknown) = read.ok()?;
    if unknown > 0 {
        warn!(descriptors = unknown, "let go of what this version does not know");
    }
    Some((handed, None))
}

/// `Err` is a departure too: one before there was a worker.
async fn serve(process: &Process<'_>, early: Early, life: Option<Life>) -> Result<ServeEnd, Departure> {
    let config = &process.config;
    let mut signals = signals(early, process.live_line())?;
    let (tell, orders) = unbounded_channel();
    start_first_thread().await?;
    let begun = tokio::select! {
        // What was handed over is here at once, and goes before any order.
        biased;
        begun = Beginning::of(life, process) => begun?,
        () = leave_before_worker(&mut signals, &tell) => return Err(Departure::Signalled),
    };
    let (parts, services, handed) = Parts::of(begun, process)?;
    let (end, refused) = live(process, &parts, services, handed, (&mut signals, tell, orders)).await;
    match end {
        WorkerEnd::Left(departure) => {
            // While the home is still ours.
            parts.home.remove_sockets().ok();
            Ok(ServeEnd::Left(departure))
        }
        WorkerEnd::HandedOver(worker) => {
            let handed = Handed::of(&parts, *worker, &mut signals, config).await;
            Ok(ServeEnd::HandedOver(handed, refused))
        }
    }
}

/// Where orders come from, and where they go.
type Orders<'a> = (&'a mut Signals, UnboundedSender<Order>, UnboundedReceiver<Order>);

/// Serves until the worker has left, or hands over.
async fn live(
    process: &Process<'_>,
    parts: &Parts,
    services: Services,
    handed: Option<HandedLife>,
    (signals, tell, orders): Orders<'_>,
) -> (WorkerEnd, Option<String>) {
    let (config, systemd) = (&process.config, &process.systemd);
    let Parts {
        home,
        manager,
        launcher,
        spool,
        ..
    } = parts;
    let mut interrupts = Interrupts::new(orders, parts.pauses.watch(), systemd.clone());
    let stopper = services.hints.stopper();
    let mut worker = parts.worker(process, services.hints);
    let reload = Reload {
        process,
        home,
        launcher: launcher.clone(),
        hints: stopper,
        tell: tell.clone(),
        status: worker.status(),
        askers: parts.askers.clone(),
    };
    let in_use = handed.as_ref().and_then(HandedLife::tmpdir);
    let has_started = handed.as_ref().is_some_and(HandedLife::has_started);
    if let Some(mut handed) = handed {
        // They came when nobody was there to obey them.
        handed.orders().for_each(|order| hand_on(order, &tell, home));
        worker = handed.go_on(worker, parts, &mut interrupts);
    }
    let view = parts.view(worker.status(), config);
    // Before the Manager is reached: it may be away for long, and we are none the less up.
    systemd.ready();
    let (tell_left, left) = oneshot::channel();
    let look_after = async {
        if !has_started {
            end_predecessors((config, process.environment), launcher, home, spool).await;
        }
        let left = Leftovers::find(&scratch(home), in_use.as_deref()).await;
        // Whoever sends reports listens as long as the worker runs.
        tell_left.send(left).ok();
    };
    let (tell_prepared, prepared) = oneshot::channel();
    // Beside the worker, which does not wait for it while a task goes on.
    let prepare = async {
        tokio::join!(look_after, find_manager(manager, config));
        tell_prepared.send(()).ok();
        pending::<Infallible>().await
    };
    let before = async { drop(prepared.await) };
    let working = async {
        let end = worker.run(interrupts, before).await;
        let refused = refused_meanwhile(&end, process, parts).await;
        (end, refused)
    };
    tokio::select! {
        end = working => end,
        never = prepare => match never {},
        never = services.reaper.run() => match never {},
        never = send_reports(left, launcher, services.sender, manager) => match never {},
        never = services.pictures.run(manager, launcher) => match never {},
        never = show_status(&view, process, home) => match never {},
        never = optional_services(services.optional, &view, &parts.metrics, config) => match never {},
        never = relay(signals, tell, reload, parts.pausing(view.status.clone(), config)) => match never {},
    }
}

/// Why the successor cannot take over after all, where it was asked long ago: what it has agreed to may not be there any more.
async fn refused_meanwhile(end: &WorkerEnd, process: &Process<'_>, parts: &Parts) -> Option<String> {
    match end {
        WorkerEnd::HandedOver(_) if parts.askers.agreed_long_ago() => {
            successor::ask(process, &parts.home, &parts.launcher).await.err()
        }
        WorkerEnd::HandedOver(_) | WorkerEnd::Left(_) => None,
    }
}

fn signals(early: Early, live_line: Option<&LiveLineHandle>) -> Result<Signals, Departure> {
    let line = live_line.map(LiveLineHandle::eraser);
    Signals::new(early, line.as_ref()).map_err(failure("take over the signals"))
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
