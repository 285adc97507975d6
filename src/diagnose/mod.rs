// SPDX-License-Identifier: GPL-3.0-or-later

//! Errands: look, say, change nothing. They run beside a living worker and never as it.
//!
//! ```text
//! Errand ─► configuration ─► where the home is ─► what is there ─► stdout
//! ```

mod history;
mod table;

use std::fmt::Display;
use std::io::{self, Write};

use crate::cli::{Arguments, Errand};
use crate::config::{Config, Environment};
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
    let shown = match errand {
        Errand::History(history) => history::show(history, &home, &mut out),
    };
    match shown.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(()),
        // Who reads has seen enough: `| head`.
        Err(history::HistoryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
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
