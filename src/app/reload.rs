// SPDX-License-Identifier: GPL-3.0-or-later

//! The configuration is read again (SIGHUP without a terminal), with a task running or not.
//!
//! What is applied: `log`, `tls` with the files it names, `headers`. They have one owner each and are asked for
//! each time. Everything else was handed out at the start, to a task that runs perhaps: it is named, and waits for a
//! restart. With a mistake anywhere nothing is applied.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::cli::Arguments;
use crate::config::{Config, Environment};
use crate::logging::Volume;
use crate::manager::HttpManager;
use crate::setup::connection_options;
use crate::systemd::Systemd;

/// A file system that hangs must not keep the next signal waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sections and keys that are applied.
const APPLIED: [&str; 3] = ["log", "tls", "headers"];

/// What this process runs with, and where it came from.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) environment: &'a Environment,
    pub(super) config: Config,
    pub(super) volume: Option<Volume>,
    pub(super) systemd: Systemd,
}

impl Running<'_> {
    /// Reads the configuration again and applies what can be. Says what came of it.
    pub(super) async fn reload(&mut self, manager: &HttpManager) {
        let (arguments, environment) = (self.arguments.clone(), self.environment.clone());
        let manager_url = self.config.manager.clone();
        let reading = run_blocking_within(sleep(PATIENCE), move || {
            let (config, warnings) = Config::load(&arguments, &environment).map_err(|error| error.line())?;
            let options = manager_url.map(|url| connection_options(&url, &config)).transpose();
            Ok::<_, String>((config, warnings, options.map_err(|error| chain(&error))?))
        });
        let (config, warnings, options) = match reading.await {
            Some(Ok(read)) => read,
            Some(Err(error)) => return error!("the new configuration cannot be used, the old one stays: {error}"),
            None => return error!("the configuration cannot be read again within {PATIENCE:?}"),
        };
        for warning in warnings {
            warn!("{warning:#}");
        }
        let (applied, waiting): (Vec<_>, Vec<_>) = self
            .config
            .changes(&config)
            .into_iter()
            .partition(|key| APPLIED.contains(&key.as_str()));
        // Also when nothing changed here: a certificate may have been renewed under its old name.
        if let Some(options) = options
            && let Err(error) = manager.set_connection_options(options)
        {
            return error!(
                error = chain(&error),
                "the new configuration cannot be used, the old one stays"
            );
        }
        if let Some(Err(error)) = self.volume.as_ref().map(|volume| volume.set(&config.log)) {
            warn!(error = chain(&error), "the level of the log stays as it was");
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
