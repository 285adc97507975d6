// SPDX-License-Identifier: GPL-3.0-or-later

//! Errands: done instead of working, beside a living worker and never as it.
//!
//! ```text
//! Errand ─► configuration ─► where the home is ─┬─► what is there ─► stdout (looks, says, changes nothing)
//!                                               └─► control ─► a signal to the worker
//! ```

mod history;
mod table;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use crate::cli::{Arguments, Errand};
use crate::config::{Config, Environment};
use crate::control::{self, Command};
use crate::departure::Departure;
use crate::home;
use crate::manager::chain;

/// Runs an errand.
///
/// # Errors
/// How the process is to end when it did not succeed; why is said on stderr.
pub fn run(errand: &Errand, arguments: &Arguments) -> Result<(), Departure> {
    let environment = Environment::capture();
    let (config, _said_by_the_worker) = Config::load(arguments, &environment).map_err(|error| unusable(&error))?;
    let home = home::locate(&config, &environment).map_err(|error| unusable(&chain(&error)))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match errand {
        Errand::History(history) => history::show(history, &home, &mut out),
        Errand::Drain => return tell(&home, Command::Drain),
        Errand::Sleep => return tell(&home, Command::Sleep),
        Errand::Wake => return tell(&home, Command::Wake),
        Errand::Stop => return tell(&home, Command::Stop),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(()),
        // Who reads has seen enough: `| head`.
        Err(history::HistoryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            say(&chain(&error));
            Err(Departure::Failure)
        }
    }
}

fn tell(home: &Path, command: Command) -> Result<(), Departure> {
    match control::tell(home, command) {
        Ok(pid) => {
            writeln!(io::stdout(), "worker {pid} will {}", command.effect()).ok();
            Ok(())
        }
        Err(error) => {
            say(&chain(&error));
            Err(Departure::Failure)
        }
    }
}

fn unusable(error: &impl Display) -> Departure {
    say(error);
    Departure::BadConfiguration
}

/// A closed stderr is nobody's loss.
fn say(text: &impl Display) {
    writeln!(io::stderr(), "flamenco-worker: {text}").ok();
}
