// SPDX-License-Identifier: GPL-3.0-or-later

//! Subcommands: done instead of working, beside a living worker and never as it.
//!
//! ```text
//! subcommand ─► configuration ─► where the home is ─┬─► what is there ─► stdout (looks, says, changes nothing)
//!                                               └─► control ─► a signal to the worker
//! ```

mod check_config;
mod control;
mod doctor;
mod history;
mod table;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use self::control::ControlCommand;
use self::history::HistoryError;
use crate::chain::chain;
use crate::cli::{Arguments, Subcommand};
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::home::{self, SearchError};
use crate::printable::{self, Printable};

/// Runs a subcommand.
///
/// # Errors
/// How the process is to end when it did not succeed; why is said on stderr.
pub fn run(subcommand: &Subcommand, arguments: &Arguments) -> Result<(), Departure> {
    match subcommand {
        Subcommand::History(wanted) => {
            let home = home(arguments)?;
            shown(|out| history::show(wanted, &home, out))
        }
        Subcommand::CheckConfig => check_config(arguments),
        // Also with a configuration that cannot be used: that is one of its findings.
        Subcommand::Doctor(wanted) => {
            let report = doctor::examine(arguments).map_err(|error| failed(&error))?;
            shown(|out| Ok(report.write(*wanted, out)?))?;
            report.is_fit().then_some(()).ok_or(Departure::Failure)
        }
        Subcommand::Drain => tell(&home(arguments)?, ControlCommand::Drain),
        Subcommand::Sleep => tell(&home(arguments)?, ControlCommand::Sleep),
        Subcommand::Wake => tell(&home(arguments)?, ControlCommand::Wake),
        Subcommand::Stop => tell(&home(arguments)?, ControlCommand::Stop),
    }
}

/// Shown also when a worker would not start with it: what was read is the way to why.
fn check_config(arguments: &Arguments) -> Result<(), Departure> {
    let environment = Environment::capture();
    let (config, warnings) = Config::load(arguments, &environment).map_err(|error| unusable(&error))?;
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    shown(|out| Ok(check_config::show(&config, &environment, out)?))?;
    check_config::check(&config, &environment).map_err(|error| unusable(&chain(&error)))
}

/// Where the worker lives that the subcommand is about.
fn home(arguments: &Arguments) -> Result<PathBuf, Departure> {
    let environment = Environment::capture();
    let (config, _said_by_the_worker) = Config::load(arguments, &environment).map_err(|error| unusable(&error))?;
    home::search(&config, &environment).map_err(|error| match error {
        SearchError::Nowhere(nowhere) => unusable(&chain(&nowhere)),
        several @ SearchError::Several(_) => failed(&several),
    })
}

/// Where a subcommand writes.
type Out = BufWriter<Printable<StdoutLock<'static>>>;

fn shown(show: impl FnOnce(&mut Out) -> Result<(), HistoryError>) -> Result<(), Departure> {
    let mut out = BufWriter::new(Printable::new(io::stdout().lock()));
    match show(&mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(()),
        // Who reads has seen enough: `| head`.
        Err(HistoryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn tell(home: &Path, command: ControlCommand) -> Result<(), Departure> {
    let pid = control::send(home, command).map_err(|error| failed(&error))?;
    writeln!(io::stdout(), "worker {pid} will {}", command.effect()).ok();
    Ok(())
}

fn failed(error: &(dyn Error + 'static)) -> Departure {
    say(&chain(error));
    Departure::Failure
}

fn unusable(error: &impl Display) -> Departure {
    say(error);
    Departure::BadConfiguration
}

/// A closed stderr is nobody's loss.
fn say(text: &impl Display) {
    writeln!(io::stderr(), "flamenco-worker: {}", printable::text(&text.to_string())).ok();
}
