// SPDX-License-Identifier: GPL-3.0-or-later

//! `check-config`: what a worker would work with, and where each value comes from. The output can serve as a file.
//!
//! ```text
//! manager = "http://render-manager:8080/"  # command line
//! worker_name = "node-07"  # /etc/flamenco/flamenco-worker.toml:2
//! ```

use std::io::{self, Write};

use crate::config::{Config, EffectiveValue, Environment, ShownValue};
use crate::home::{self, HomeError};
use crate::manager::TlsError;
use crate::printable;
use crate::setup::{connection_options, sandbox};

/// Why a worker would not start, although each value by itself can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckConfigError {
    #[error(transparent)]
    TlsFiles(#[from] TlsError),
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// Reads what a worker reads at its start beside the configuration.
///
/// # Errors
/// What a worker would not start with.
pub(super) fn check(config: &Config, environment: &Environment) -> Result<(), CheckConfigError> {
    home::locate(config, environment)?;
    if let Some(url) = &config.manager {
        connection_options(url, Some(url), config)?;
    }
    Ok(())
}

/// Prints every value that holds.
///
/// # Errors
/// What the output says.
pub(super) fn show(config: &Config, environment: &Environment, out: &mut impl Write) -> io::Result<()> {
    match &config.file {
        Some(file) => writeln!(
            out,
            "# read from {}",
            printable::escape_line(&file.display().to_string())
        )?,
        None => writeln!(out, "# no file was found")?,
    }
    if let (None, Ok(home)) = (&config.home, home::locate(config, environment)) {
        writeln!(
            out,
            "# the home is {}",
            printable::escape_line(&home.display().to_string())
        )?;
    }
    if config.manager.is_none() {
        writeln!(
            out,
            "# no Manager is configured: a worker searches its networks for one"
        )?;
    }
    if let Some(filter) = &config.log.filter {
        writeln!(
            out,
            "# the log is filtered by FLAMENCO_LOG: {}",
            printable::escape_line(filter)
        )?;
    }
    for table in config.effective() {
        if !table.name.is_empty() && !table.values.is_empty() {
            writeln!(out, "\n[{}]", table.name)?;
        }
        for value in &table.values {
            line(value, out)?;
        }
    }
    policy(config, environment, out)
}

/// What the rules of `[sandbox]` come to here, which is no part of a file.
fn policy(config: &Config, environment: &Environment, out: &mut impl Write) -> io::Result<()> {
    let home = home::locate(config, environment).unwrap_or_default();
    let Some(sandbox) = sandbox(config, environment, &home) else {
        return Ok(());
    };
    writeln!(out, "\n# what tasks may do here, by [sandbox]:")?;
    for line in sandbox.describe() {
        writeln!(out, "#   {}", printable::escape_line(&line))?;
    }
    Ok(())
}

fn line(effective: &EffectiveValue<'_>, out: &mut impl Write) -> io::Result<()> {
    let (name, origin) = (
        &effective.name,
        printable::escape_line(&effective.origin.to_string()).into_owned(),
    );
    match &effective.value {
        ShownValue::Toml(value) => writeln!(out, "{name} = {value}  # {origin}"),
        ShownValue::Unset => writeln!(out, "# {name} is not set"),
        ShownValue::Withheld => writeln!(out, "# {name} is set, and may be secret  # {origin}"),
    }
}
