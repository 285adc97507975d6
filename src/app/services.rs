// SPDX-License-Identifier: GPL-3.0-or-later

//! What runs beside the worker, for as long as it does.

use std::convert::Infallible;
use std::future::pending;

use tokio::sync::oneshot;
use tracing::warn;

use super::build::OptionalServices;
use super::monitoring::monitor;
use super::process::Process;
use super::status_reporter::StatusReporter;
use super::status_view::StatusView;
use super::{explain, live_line, status_server};
use crate::config::{Config, Environment};
use crate::home::Home;
use crate::manager::HttpManager;
use crate::manager::push::PushListener;
use crate::metrics::Metrics;
use crate::process::{Launcher, Strays};
use crate::scratch::Leftovers;
use crate::setup::sandbox;
use crate::spool::{Sender, Spool};
use crate::task::{self, CutOffRuns};
use crate::warm::Keeper;

/// Whoever bears our mark is of a worker that died, guard and all; and so are the pictures that it began.
pub(super) async fn end_predecessors(
    (config, environment): (&Config, &Environment),
    launcher: &Launcher,
    home: &Home,
    spool: &Spool,
) {
    let ended = launcher.end_predecessors(config.timings.unkillable).await;
    if ended != Strays::default() {
        warn!(ended = ?ended.ended, unkillable = ?ended.unkillable, "ended what the last run left behind");
    }
    task::settle(spool).await;
    let is_completed = |task: &str| spool.is_completed(task);
    let sandbox = sandbox(config, environment, home.dir());
    let cut_off = CutOffRuns {
        journals: &home.rendering_dir(),
        sandbox: sandbox.as_ref(),
    };
    for (task, line) in cut_off.set_aside(is_completed).await {
        warn!(task, "{line}");
        spool.remark_later(&task, &line);
    }
}

/// Sends what tasks say: what became of the predecessors has its place in their logs. And removes what they left, which may
/// be much; nobody needs it gone.
pub(super) async fn send_reports(
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

/// Keeps a Blender, where that is switched on.
async fn keep(keeper: Option<Keeper>) -> Infallible {
    match keeper {
        Some(keeper) => keeper.run().await,
        None => pending().await,
    }
}

/// Shows what the worker does to whoever looks.
pub(super) async fn show_status(view: &StatusView<'_>, process: &Process<'_>, home: &Home) -> Infallible {
    let reporter = StatusReporter {
        systemd: &process.systemd,
        view: view.clone(),
        longest_silence: process.config.timings.watchdog_contact,
    };
    tokio::select! {
        never = reporter.run() => never,
        never = status_server::answer(home, view) => never,
        never = live_line::draw(process.live_line().cloned(), view.clone()) => never,
    }
}

/// What the worker can do without.
pub(super) async fn optional_services(
    services: OptionalServices,
    view: &StatusView<'_>,
    metrics: &Metrics,
    config: &Config,
) -> Infallible {
    let listener = config
        .push
        .then(|| PushListener::new(services.push, metrics.clone(), &config.timings));
    tokio::select! {
        never = monitor(view, metrics, config) => never,
        never = listen(listener, view.manager) => never,
        never = keep(services.keeper) => never,
        never = services.presence.run() => never,
        never = explain::explain_silence(view.manager) => never,
        never = explain::report_programs(&config.task_types, services.sandbox) => never,
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
