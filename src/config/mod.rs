// SPDX-License-Identifier: GPL-3.0-or-later

//! What the operator wrote, checked: command line, environment, file, default, in this order. Read only.
//!
//! ```text
//! Arguments ───────────────────────────────┐
//! Environment ── search ─► file            │  precedence
//!                  │ toml, yaml ─► tree ─► keys ─► Config (a checked value, an origin for each key)
//!                  └────────────────────► ConfigError (file:line:column, the line, what to do)
//! ```
//!
//! `flamenco-worker.toml` is ours: a key it does not know is an error. `flamenco-worker.yaml` is the Go
//! worker's, and read as it is: there an unknown key is a warning, because there it is ignored.

mod changes;
mod definition;
mod effective;
mod environment;
mod error;
mod headers;
mod keys;
pub mod manual;
mod origin;
mod search;
mod timings;
mod units;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::header::HeaderMap;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use url::Url;

pub use self::effective::{Effective, EffectiveTable, Written};
pub use self::environment::Environment;
pub(crate) use self::environment::hostname;
pub use self::error::{ConfigError, Warning};
pub use self::origin::SettingOrigin;
use self::search::{Found, Kind};
use crate::cli::Arguments;
use crate::departure::RestartCode;
pub use crate::document::{Location, Problem};
use crate::timings::Timings;

/// Everything an operator can decide, each with a default.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Ends with a slash. `None`: to be discovered.
    pub manager: Option<Url>,
    /// What the Manager's page shows; the host's name unless set. Never empty.
    pub worker_name: String,
    /// Lower case, trimmed, without commas, at least one.
    pub task_types: Vec<String>,
    /// `None`: the Manager does not offer *Restart* for this worker.
    pub restart_exit_code: Option<RestartCode>,
    /// From `$FLAMENCO_HOME` or the file; absolute. What it is without is for `home` to know.
    pub home: Option<PathBuf>,
    /// 0 to 1000, for the programs of a task: the kernel ends those before the worker, and before the artist's session.
    pub oom_score_adjust: Option<i32>,
    /// -20 to 19, for the programs of a task.
    pub nice: Option<i32>,
    /// Whether to listen to the Manager's Socket.IO, beside asking. True unless turned off.
    pub push: bool,
    pub tls: Tls,
    /// Sent with every request to the Manager. Values are marked as sensitive, so that no `Debug` shows one.
    pub headers: HeaderMap,
    pub log: Log,
    pub node: NodeNeeds,
    pub timings: Timings,
    pub spool: SpoolLimits,
    origins: BTreeMap<String, SettingOrigin>,
}

/// Files for `https`, all PEM, absolute paths. They are read when connections are first made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// There exactly if the key is.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// How much is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Of this program; libraries are a good deal quieter.
    pub level: Level,
    /// `$FLAMENCO_LOG` when it is more than a level; checked.
    pub filter: Option<String>,
}

/// A part of what the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Bytes(u64),
    /// 1 to 100.
    Percent(u8),
}

/// What this node needs to be fit for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNeeds {
    /// Absolute paths at which a file system must be mounted.
    pub mounted: Vec<PathBuf>,
    /// Absolute paths that must be readable.
    pub readable: Vec<PathBuf>,
    /// Absolute paths of directories that must be writable.
    pub writable: Vec<PathBuf>,
    /// Bytes that must be free in the writable ones, the temporary directory and the home; 0 asks for nothing.
    pub free_space: u64,
    /// How much memory all programs of a task may use together.
    pub memory: Option<Share>,
    /// So many tasks in a row whose program cannot be started, or crashes at once, for the same reason make the node
    /// pause; 0: never.
    pub strikes: u32,
}

impl Default for NodeNeeds {
    fn default() -> Self {
        Self {
            mounted: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            free_space: 0,
            memory: None,
            strikes: 3,
        }
    }
}

/// How much of what tasks say is kept on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLimits {
    /// In bytes. Where a task's log ends; a renderer gone mad must not fill the disk.
    pub task_log_limit: u64,
    /// How many delivered tasks are kept for a look back.
    pub history_tasks: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Level::INFO,
            filter: None,
        }
    }
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            task_log_limit: 1 << 30,
            history_tasks: 50,
        }
    }
}

/// What the Go worker offers unless told otherwise.
const DEFAULT_TASK_TYPES: [&str; 4] = ["blender", "ffmpeg", "file-management", "misc"];
/// Of 1000: well above a desktop's programs, which systemd gives 100 to 200 (systemd.exec(5), OOMScoreAdjust=).
const DEFAULT_OOM_SCORE_ADJUST: i32 = 500;

impl Config {
    /// Reads all there is. Looks at files, changes nothing.
    ///
    /// # Errors
    /// When a file cannot be read or says what cannot be meant, or a variable does. Exit code 78.
    pub fn load(arguments: &Arguments, environment: &Environment) -> Result<(Self, Vec<Warning>), ConfigError> {
        let (config, warnings, wrong) = Self::salvage(arguments, environment);
        wrong.map_or(Ok((config, warnings)), Err)
    }

    /// The same past what is wrong, for who looks and does not work: what cannot be used has its default.
    pub fn salvage(arguments: &Arguments, environment: &Environment) -> (Self, Vec<Warning>, Option<ConfigError>) {
        let mut config = Self::defaults(environment);
        let mut warnings = Vec::new();
        let file = config.take_file(arguments, environment, &mut warnings);
        let kind = file.as_ref().ok().copied().flatten();
        let variables = config.take_environment(environment, kind);
        config.take_arguments(arguments);
        (config, warnings, file.map(drop).and(variables).err())
    }

    fn take_file(
        &mut self,
        arguments: &Arguments,
        environment: &Environment,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Kind>, ConfigError> {
        let Some(Found { source, kind }) = search::find(arguments.config.as_deref(), environment, warnings)? else {
            return Ok(None);
        };
        self.file = Some(source.path.clone());
        keys::read(&source, kind, self, warnings)?;
        Ok(Some(kind))
    }

    fn defaults(environment: &Environment) -> Self {
        Self {
            file: None,
            manager: None,
            worker_name: environment.hostname.clone(),
            task_types: DEFAULT_TASK_TYPES.map(str::to_owned).to_vec(),
            restart_exit_code: None,
            home: None,
            oom_score_adjust: Some(DEFAULT_OOM_SCORE_ADJUST),
            nice: None,
            push: true,
            tls: Tls::default(),
            headers: HeaderMap::new(),
            log: Log::default(),
            node: NodeNeeds::default(),
            timings: Timings::default(),
            spool: SpoolLimits::default(),
            origins: BTreeMap::new(),
        }
    }

    fn take_environment(&mut self, environment: &Environment, kind: Option<Kind>) -> Result<(), ConfigError> {
        if let Some(home) = environment.get("FLAMENCO_HOME") {
            self.home = Some(environment.absolute(home));
            self.set_origin("home", SettingOrigin::Environment("FLAMENCO_HOME"));
        }
        // In the Go worker the file goes first, and its file it is.
        let legacy_name = kind == Some(Kind::Yaml) && *self.origin("worker_name") != SettingOrigin::Default;
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
        if let Some(log) = environment.get("FLAMENCO_LOG") {
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
            self.log = Log { level, filter: None };
            self.set_origin("log.level", SettingOrigin::CommandLine);
        }
    }

    /// Where a key's value comes from. Keys are named as in the file: `manager`, `log.level`, `timings.grace`.
    pub fn origin(&self, key: &str) -> &SettingOrigin {
        self.origins.get(key).unwrap_or(&SettingOrigin::Default)
    }

    fn set_origin(&mut self, key: impl Into<String>, origin: SettingOrigin) {
        self.origins.insert(key.into(), origin);
    }
}

fn log_from_variable(text: &str, level: Level) -> Result<Log, Problem> {
    if let Ok(level) = text.trim().parse::<Level>() {
        return Ok(Log { level, filter: None });
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(Log {
            level,
            filter: Some(text.to_owned()),
        }),
        Err(error) => Err(Problem::new(format!(
            "environment variable FLAMENCO_LOG: {text:?} is neither a level nor a filter ({error})"
        ))
        .advise("write error, warn, info, debug or trace, or filters such as info,flamenco_worker::spool=trace")),
    }
}

#[cfg(test)]
mod tests;
