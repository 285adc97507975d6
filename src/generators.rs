// SPDX-License-Identifier: GPL-3.0-or-later

//! What `packaging/generate` makes manuals, completions and the sample configuration of.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::Arguments;
use crate::config::{Config, Environment, SettingOrigin};

pub use crate::cli::help::{Section, SectionBody, sections};
pub use crate::config::manual::{ManualKey, ManualTable, ManualValue, tables};
pub use crate::departure::EXIT_CODES;

/// The command line.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The name of each metric, and what it tells.
pub fn metrics() -> Vec<(&'static str, &'static str)> {
    crate::metrics::rows()
}

/// The keys that `worker.toml` in the folder `system` sets, as `nice` or `log.level`.
///
/// # Errors
/// What the program would say of the file, also where that is only a warning.
pub fn keys_set(system: &Path) -> Result<Vec<String>, String> {
    let environment = Environment {
        hostname: "node".into(),
        system: system.to_owned(),
        ..Environment::default()
    };
    let (config, warnings) = Config::load(&Arguments::default(), &environment).map_err(|error| error.to_string())?;
    if let Some(warning) = warnings.first() {
        return Err(warning.to_string());
    }
    let tables = config.effective();
    let values = tables
        .iter()
        .flat_map(|table| table.values.iter().map(move |value| (table.name, value)));
    Ok(values
        .filter(|(_, value)| matches!(value.origin, SettingOrigin::File { .. }))
        .map(|(table, value)| match table {
            "" => value.name.clone(),
            table => format!("{table}.{}", value.name),
        })
        .collect())
}
