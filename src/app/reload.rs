// SPDX-License-Identifier: GPL-3.0-or-later

//! Reads the configuration again (SIGHUP without a terminal), whether a task is running or not.
//!
//! `log`, `tls` with the files it names, and `headers` are applied: each has one owner, which asks for it each time. So is a
//! `manager` while one is searched for. A Manager that was found is not told the headers, whatever is configured by now: they
//! are for the one that is named, and that waits for a restart.
//! Everything else was handed out at the start, perhaps to a running task. What of it has changed is named in the log and
//! waits for a restart. With a mistake anywhere nothing is applied.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::cli::Arguments;
use crate::config::{Config, Environment};
use crate::logging::Log;
use crate::manager::HttpManager;
use crate::setup::connection_options;
use crate::systemd::Systemd;

/// How long the reading may take: a file system that hangs must not keep the next signal waiting.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The tables that are always applied.
const APPLIED: [&str; 2] = ["log", "tls"];

const UNUSABLE: &str = "the new configuration cannot be used, the old one stays";

/// The configuration that this process runs with, and what is needed to read and apply a new one.
#[derive(Debug)]
pub(super) struct RunningConfig<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) environment: &'a Environment,
    pub(super) config: Config,
    /// `None` where there is no log.
    pub(super) log: Option<Log>,
    pub(super) systemd: Systemd,
}

impl RunningConfig<'_> {
    /// Reads the configuration again and applies what can be applied. What came of it is logged.
    pub(super) async fn reload(&mut self, manager: &HttpManager) {
        let (arguments, environment) = (self.arguments.clone(), self.environment.clone());
        let known = manager.place().map(|(url, _)| url);
        let (is_known, running) = (known.is_some(), self.config.manager.clone());
        let read = run_blocking_within(sleep(READ_LIMIT), move || {
            let (config, warnings) = Config::load(&arguments, &environment).map_err(|error| error.line())?;
            // A search that goes on ends with the Manager that is named now.
            let configured = if is_known { running } else { config.manager.clone() };
            let url = known.or_else(|| configured.clone());
            let options = |url| connection_options(&url, configured.as_ref(), &config).map(|options| (url, options));
            let place = url.map(options);
            Ok::<_, String>((config, warnings, place.transpose().map_err(|error| chain(&error))?))
        });
        let (config, warnings, place) = match read.await {
            Some(Ok(read)) => read,
            Some(Err(error)) => return error!("{UNUSABLE}: {error}"),
            None => return error!("the configuration cannot be read again within {READ_LIMIT:?}"),
        };
        for warning in warnings {
            warn!("{warning:#}");
        }
        let changed = self.config.changes(&config);
        // Also when nothing changed here: a certificate may have been renewed under its old name.
        let set = match place {
            Some((url, options)) if is_known => manager.set_place(url, options).map(|()| false),
            // One that was found meanwhile stays.
            Some((url, options)) => manager.set_place_if_unknown(url, options),
            None => Ok(false),
        };
        let Ok(is_named_now) = set.inspect_err(|error| error!(error = chain(error), "{UNUSABLE}")) else {
            return;
        };
        if is_named_now {
            self.config.manager = config.manager;
        }
        let was_found = manager.place().is_some() && self.config.manager.is_none();
        let (applied, waiting): (Vec<_>, Vec<_>) = changed.into_iter().partition(|key| match key.as_str() {
            "manager" => is_named_now,
            "headers" => !was_found,
            key => APPLIED.contains(&key),
        });
        if let Some(Err(error)) = self.log.as_ref().map(|log| log.level.set(&config.log)) {
            warn!(error = chain(&error), "the level of the log stays as it was");
        }
        self.config.log = config.log;
        self.config.tls = config.tls;
        if !was_found {
            self.config.headers = config.headers;
        }
        info!(applied = applied.join(", "), "the configuration was read again");
        if !waiting.is_empty() {
            warn!(
                keys = waiting.join(", "),
                "these were changed and need a restart (SIGQUIT ends this worker when its task is finished)"
            );
        }
    }
}
