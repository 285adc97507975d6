// SPDX-License-Identifier: GPL-3.0-or-later

//! Reads the configuration again (SIGHUP without a terminal), whether a task is running or not.
//!
//! `log`, `tls` with the files it names, and `headers` are applied: each has one owner, which asks for it each time. So is a
//! `manager` while one is searched for.
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

/// The tables that are applied.
const APPLIED: [&str; 3] = ["log", "tls", "headers"];

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
        let known = manager.place();
        let searches = known.is_none();
        let read = run_blocking_within(sleep(READ_LIMIT), move || {
            let (config, warnings) = Config::load(&arguments, &environment).map_err(|error| error.line())?;
            // A search that goes on ends with the Manager that is named now.
            let url = known.map(|(url, _)| url).or_else(|| config.manager.clone());
            let place = url.map(|url| connection_options(&url, &config).map(|options| (url, options)));
            Ok::<_, String>((config, warnings, place.transpose().map_err(|error| chain(&error))?))
        });
        let (config, warnings, place) = match read.await {
            Some(Ok(read)) => read,
            Some(Err(error)) => return error!("the new configuration cannot be used, the old one stays: {error}"),
            None => return error!("the configuration cannot be read again within {READ_LIMIT:?}"),
        };
        for warning in warnings {
            warn!("{warning:#}");
        }
        let (applied, waiting): (Vec<_>, Vec<_>) = self
            .config
            .changes(&config)
            .into_iter()
            .partition(|key| APPLIED.contains(&key.as_str()) || (searches && key == "manager"));
        // Also when nothing changed here: a certificate may have been renewed under its old name.
        if let Some((url, options)) = place
            && let Err(error) = manager.set_place(url, options)
        {
            return error!(
                error = chain(&error),
                "the new configuration cannot be used, the old one stays"
            );
        }
        if let Some(Err(error)) = self.log.as_ref().map(|log| log.level.set(&config.log)) {
            warn!(error = chain(&error), "the level of the log stays as it was");
        }
        if searches {
            self.config.manager = config.manager;
        }
        self.config.log = config.log;
        self.config.tls = config.tls;
        self.config.headers = config.headers;
        info!(applied = applied.join(", "), "the configuration was read again");
        if !waiting.is_empty() {
            warn!(
                keys = waiting.join(", "),
                "these were changed and need a restart (SIGQUIT ends this worker when its task is finished)"
            );
        }
    }
}
