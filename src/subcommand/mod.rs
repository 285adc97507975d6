// SPDX-License-Identifier: GPL-3.0-or-later

//! The subcommands. They run instead of a worker, also beside one that lives in the same home.
//!
//! ```text
//! check-config ─► configuration ─────────╮
//! doctor       ─► configuration, host ───┼─► stdout; nothing is changed
//! history      ─► home ─► spool ─────────┤
//! status       ─► home ─► socket ────────╯
//! reload       ─► home ─► socket: the worker becomes its successor
//! pause, resume ─► home ─► socket
//! drain, sleep, wake, stop ─► home ─► control ─► a signal to the worker
//! -find-manager ─► the networks ─► stdout
//! ```

mod check_config;
mod control;
mod doctor;
mod find_manager;
mod history;
mod pause;
mod reload;
mod running_worker;
mod status;
mod table;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use self::control::ControlCommand;
pub(crate) use self::find_manager::find_manager;
use self::history::HistoryError;
use crate::chain::chain;
use crate::cli::{Arguments, Subcommand};
use crate::config::{Config, Environment};
use crate::departure::Departure;
use crate::home::{self, SearchError};
use crate::printable::{self, EscapingWriter};

/// Runs a subcommand.
///
/// # Errors
/// How the process is to end. Why is said on stderr.
pub(crate) fn run(subcommand: &Subcommand, arguments: &Arguments) -> Result<(), Departure> {
    match subcommand {
        Subcommand::History(wanted) => {
            let home = home(arguments)?;
            shown(|out| history::show(wanted, &home, out))
        }
        Subcommand::Status(wanted) => status::tell(*wanted, &home(arguments)?),
        Subcommand::CheckConfig => check_config(arguments),
        // Also with a configuration that cannot be used: that is one of its findings.
        Subcommand::Doctor(wanted) => {
            let report = doctor::examine(arguments).map_err(|error| failed(&error))?;
            shown(|out| Ok(report.write(*wanted, out)?))?;
            report.is_fit().then_some(()).ok_or(Departure::Failure)
        }
        Subcommand::Reload => reload::reload(&home(arguments)?),
        Subcommand::Pause(wanted) => pause::pause(&home(arguments)?, wanted.length),
        Subcommand::Resume => pause::resume(&home(arguments)?),
        Subcommand::Drain => send(&home(arguments)?, ControlCommand::Drain),
        Subcommand::Sleep => send(&home(arguments)?, ControlCommand::Sleep),
        Subcommand::Wake => send(&home(arguments)?, ControlCommand::Wake),
        Subcommand::Stop => send(&home(arguments)?, ControlCommand::Stop),
    }
}

/// Shows the configuration also when a worker would not start with it: what was read tells why.
fn check_config(arguments: &Arguments) -> Result<(), Departure> {
    let environment = Environment::capture();
    let (config, warnings) = Config::load(arguments, &environment).map_err(|error| unusable(&error))?;
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    shown(|out| Ok(check_config::show(&config, &environment, out)?))?;
    check_config::check(&config, &environment).map_err(|error| unusable(&chain(&error)))
}

/// The home of the worker that the subcommand is about.
fn home(arguments: &Arguments) -> Result<PathBuf, Departure> {
    let environment = Environment::capture();
    // The worker itself reports the warnings.
    let (config, _) = Config::load(arguments, &environment).map_err(|error| unusable(&error))?;
    home::search(&config, &environment).map_err(|error| match error {
        SearchError::Nowhere(nowhere) => unusable(&chain(&nowhere)),
        several @ SearchError::Several(_) => failed(&several),
    })
}

/// What a subcommand writes to: standard output, made harmless to terminals.
type Stdout = BufWriter<EscapingWriter<StdoutLock<'static>>>;

/// Runs what writes to standard output.
fn shown(show: impl FnOnce(&mut Stdout) -> Result<(), HistoryError>) -> Result<(), Departure> {
    let mut out = BufWriter::new(EscapingWriter::new(io::stdout().lock()));
    match show(&mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(()),
        Err(HistoryError::Output(error)) => written(Err(error)),
        Err(error) => Err(failed(&error)),
    }
}

/// What comes of writing to standard output. Where that was all there was to do, nothing is done if it cannot be.
///
/// # Errors
/// How the process is to end. Why is said on stderr.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Departure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(&HistoryError::Output(error))),
        // The reader has seen enough, as in `| head`.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn send(home: &Path, command: ControlCommand) -> Result<(), Departure> {
    let pid = control::send(home, command).map_err(|error| failed(&error))?;
    // The order is given, whether that can be said or not.
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

/// Writes to standard error. It does not matter if that is closed.
fn say(text: &impl Display) {
    writeln!(
        io::stderr(),
        "flamenco-worker: {}",
        printable::escape_text(&text.to_string())
    )
    .ok();
}
