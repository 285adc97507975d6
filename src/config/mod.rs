// SPDX-License-Identifier: GPL-3.0-or-later

//! What the operator wrote, checked. The command line goes before the environment, that before the file, that before the
//! default. This room only reads.
//!
//! ```text
//! Arguments, Environment ─────────────────────╮ precedence
//! search ─► document (toml, yaml) ─► reader ──┴─► Config (checked values, an origin for each key)
//!                                      │ keys (one row for each key)
//!                                      ╰─► ConfigError (file:line:column, the line, what to do)
//!
//! keys, timings ─► effective (check-config), manual (what packages bring)
//! ```
//!
//! `flamenco-worker.toml` is our own format: a key that is not known in it is an error. `flamenco-worker.yaml` is the Go
//! worker's and is read as it is: an unknown key is only a warning, because the Go worker ignores it.

mod effective;
mod environment;
mod error;
mod formats;
mod headers;
mod keys;
mod listen_address;
pub(crate) mod manual;
mod origin;
mod reader;
mod search;
mod table;

use tracing::Level;
use tracing_subscriber::filter::Targets;

pub(crate) use self::effective::{EffectiveValue, ShownValue};
pub(crate) use self::environment::Environment;
pub(crate) use self::environment::hostname;
pub(crate) use self::error::{ConfigError, Warning};
pub(crate) use self::keys::{Config, LogSettings};
pub(crate) use self::listen_address::ListenAddress;
pub(crate) use self::origin::SettingOrigin;
pub(crate) use self::search::sought_before;
use self::search::{ConfigFile, FileFormat};
use crate::cli::Arguments;
pub(crate) use crate::document::Problem;
pub(crate) use crate::units::MemoryLimit;

/// The variable for `metrics`: several workers of one machine, which share a file, each need another address.
const METRICS: &str = "FLAMENCO_METRICS";

impl Config {
    /// Reads the file, the environment and the command line. It changes nothing.
    ///
    /// # Errors
    /// A file that cannot be read, and a value in it or in a variable that makes no sense. The process then ends with 78.
    pub(crate) fn load(arguments: &Arguments, environment: &Environment) -> Result<(Self, Vec<Warning>), ConfigError> {
        let (config, warnings, wrong) = Self::load_what_is_valid(arguments, environment);
        wrong.map_or(Ok((config, warnings)), Err)
    }

    /// Reads what [`load`](Self::load) reads, and goes on past errors for `doctor`: what cannot be used keeps its default.
    pub(crate) fn load_what_is_valid(
        arguments: &Arguments,
        environment: &Environment,
    ) -> (Self, Vec<Warning>, Option<ConfigError>) {
        let mut config = Self::defaults(environment);
        let mut warnings = Vec::new();
        let file = config.take_file(arguments, environment, &mut warnings);
        let format = file.as_ref().ok().copied().flatten();
        let variables = config.take_environment(environment, format);
        config.take_arguments(arguments);
        (config, warnings, file.map(drop).and(variables).err())
    }

    fn take_file(
        &mut self,
        arguments: &Arguments,
        environment: &Environment,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<FileFormat>, ConfigError> {
        let Some(ConfigFile { source, format }) = search::find(arguments.config.as_deref(), environment, warnings)?
        else {
            return Ok(None);
        };
        self.file = Some(source.path.clone());
        reader::read(&source, format, self, warnings)?;
        Ok(Some(format))
    }

    fn defaults(environment: &Environment) -> Self {
        Self {
            worker_name: environment.hostname.clone(),
            ..Self::default()
        }
    }

    fn take_environment(&mut self, environment: &Environment, format: Option<FileFormat>) -> Result<(), ConfigError> {
        if let Some(home) = environment.get("FLAMENCO_HOME") {
            self.home = Some(environment.absolute(home));
            self.set_origin("home", SettingOrigin::Environment("FLAMENCO_HOME"));
        }
        // In the Go worker the file goes before the variable, and this is its file.
        let legacy_name = format == Some(FileFormat::Yaml) && *self.origin("worker_name") != SettingOrigin::Default;
        let name = environment
            .get("FLAMENCO_WORKER_NAME")
            .map(|name| name.to_string_lossy());
        if let Some(name) = name
            .as_deref()
            .map(str::trim)
            .filter(|name| !name.is_empty() && !legacy_name)
        {
            self.worker_name = name.to_owned();
            self.set_origin("worker_name", SettingOrigin::Environment("FLAMENCO_WORKER_NAME"));
        }
        if let Some(address) = environment.get(METRICS).filter(|address| !address.is_empty()) {
            let address = address.to_string_lossy();
            let read = ListenAddress::parse(&address);
            self.metrics =
                Some(read.map_err(|error| Problem::new(format!("environment variable {METRICS}: {error}")))?);
            self.set_origin("metrics", SettingOrigin::Environment(METRICS));
        }
        if let Some(log) = environment.get("FLAMENCO_LOG").filter(|log| !log.is_empty()) {
            self.log = log_from_variable(&log.to_string_lossy(), self.log.level)?;
            self.set_origin("log.level", SettingOrigin::Environment("FLAMENCO_LOG"));
        }
        Ok(())
    }

    fn take_arguments(&mut self, arguments: &Arguments) {
        if let Some(manager) = &arguments.manager {
            self.manager = Some(manager.clone());
            self.set_origin("manager", SettingOrigin::CommandLine);
        }
        if let Some(code) = arguments.restart_exit_code {
            self.restart_exit_code = code;
            self.set_origin("restart_exit_code", SettingOrigin::CommandLine);
        }
        if let Some(level) = arguments.log_level() {
            self.log = LogSettings { level, filter: None };
            self.set_origin("log.level", SettingOrigin::CommandLine);
        }
    }

    /// Where the value of a key comes from. Keys have their full names: `manager`, `log.level`, `timings.grace`.
    pub(crate) fn origin(&self, key: &str) -> &SettingOrigin {
        self.origins.get(key).unwrap_or(&SettingOrigin::Default)
    }

    fn set_origin(&mut self, key: impl Into<String>, origin: SettingOrigin) {
        self.origins.insert(key.into(), origin);
    }
}

fn log_from_variable(text: &str, level: Level) -> Result<LogSettings, Problem> {
    if let Ok(level) = text.trim().parse::<Level>() {
        return Ok(LogSettings { level, filter: None });
    }
    let refused = |why: &str| {
        Problem::new(format!(
            "environment variable FLAMENCO_LOG: {text:?} is neither a level nor a filter ({why})"
        ))
        .advise("write error, warn, info, debug or trace, or filters such as info,flamenco_worker::spool=trace")
    };
    if text.contains(['[', ']', '{', '}']) {
        return Err(refused("a filter has a target and a level, and no spans or fields"));
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let filter = parts.join(",");
    match filter.parse::<Targets>() {
        Ok(_) => Ok(LogSettings {
            level,
            filter: Some(filter),
        }),
        Err(error) => Err(refused(&error.to_string())),
    }
}

#[cfg(test)]
mod tests;
