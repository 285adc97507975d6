// SPDX-License-Identifier: GPL-3.0-or-later

//! Why this process ends, and with which exit code.

use std::fmt;
use std::num::NonZeroU8;
use std::panic;
use std::process::ExitCode;

use signal_hook::low_level;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The Manager asked for it, or a do-and-quit command succeeded.
    ShutDown,
    /// The Manager asked for it; the code is the operator's.
    Restart(RestartCode),
    /// SIGTERM, SIGINT or SIGQUIT was obeyed.
    Signalled,
    /// Something went wrong at run time, and was said in the log.
    Failure,
    /// A search for one Manager found none in time, or several.
    NoManager,
    /// `status` found no worker.
    NotRunning,
    /// Another worker uses this home.
    HomeInUse,
    /// The configuration, or the home directory it names, cannot be used.
    BadConfiguration,
}

/// What `clap` answers to a wrong command line, and so do we.
pub(crate) const USAGE_ERROR: u8 = 2;
/// What `systemctl status` and the scripts before it answer when nothing runs.
const NOT_RUNNING: u8 = 3;
/// What a Rust program that panicked ends with.
const PANIC: u8 = 101;
/// The third signal: 128 + SIGINT, as a shell counts.
pub(crate) const THIRD_SIGNAL: u8 = 130;

/// Every exit code but the operator's own, with its meaning.
pub const EXIT_CODES: [(u8, &str); 9] = [
    (
        0,
        "asked to end, by a signal or by the Manager; -flush: nothing is left",
    ),
    (1, "something failed; the log says what"),
    (USAGE_ERROR, "the command line is wrong"),
    (NOT_RUNNING, "`status`: no worker runs"),
    (69, "-find-manager: there is no Manager, or more than one"),
    (75, "another worker uses this home"),
    (78, "the configuration or the home directory cannot be used"),
    (PANIC, "a panic: a fault of this program"),
    (THIRD_SIGNAL, "a third signal"),
];

/// The operator's restart exit code: 1 to 255 and none that has a meaning of its own here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartCode(NonZeroU8);

/// A number that cannot be a restart exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartCodeError {
    /// It is no exit code at all.
    #[error("{0} is not an exit code: it must be between 1 and 255")]
    OutOfRange(i64),
    /// It has a meaning of its own here; which.
    #[error("{0} already means \"{1}\"; choose another one, 47 for example")]
    Reserved(i64, &'static str),
}

impl RestartCode {
    /// Checks `code`. `Ok(None)` is 0, which means "this worker cannot restart", as in the Go worker.
    ///
    /// # Errors
    /// It is no exit code, or one with a meaning of its own.
    pub fn parse(code: i64) -> Result<Option<Self>, RestartCodeError> {
        if code == 0 {
            return Ok(None);
        }
        let small = u8::try_from(code)
            .ok()
            .and_then(NonZeroU8::new)
            .ok_or(RestartCodeError::OutOfRange(code))?;
        match reserved(small.get()) {
            Some(meaning) => Err(RestartCodeError::Reserved(code, meaning)),
            None => Ok(Some(Self(small))),
        }
    }

    /// The number, 1 to 255.
    pub fn code(self) -> u8 {
        self.0.get()
    }
}

/// The codes that a worker itself ends with have their meaning. `status` is none, and 3 may be in use for a restart.
fn reserved(code: u8) -> Option<&'static str> {
    let mut codes = EXIT_CODES.iter().filter(|(code, _)| *code != NOT_RUNNING);
    let taken = codes.find(|(taken, _)| *taken == code);
    taken.map(|(_, meaning)| *meaning)
}

impl Departure {
    /// The exit code as a number.
    pub fn code(self) -> u8 {
        match self {
            Self::ShutDown | Self::Signalled => 0,
            Self::Restart(code) => code.code(),
            Self::Failure => 1,
            Self::NotRunning => NOT_RUNNING,
            Self::NoManager => 69,
            Self::HomeInUse => 75,
            Self::BadConfiguration => 78,
        }
    }
}

/// Has a panic end this process from now on, in whichever thread it is, and nothing unwinds: one of which a part is dead does not
/// go on. What it leaves is left as by a kill, for its guards and for the next start. `say` is told the panic in one line; it may
/// neither wait for long nor rely on a lock, which may be held further up the same stack.
pub(crate) fn end_on_panic(say: impl Fn(&str) + Send + Sync + 'static) {
    panic::set_hook(Box::new(move |panic| {
        say(&panic.to_string().replace('\n', " "));
        low_level::exit(i32::from(PANIC));
    }));
}

impl From<Departure> for ExitCode {
    fn from(departure: Departure) -> Self {
        Self::from(departure.code())
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShutDown => "shutting down",
            Self::Restart(_) => "restarting",
            Self::Signalled => "shutting down on a signal",
            Self::Failure => "failed",
            Self::NotRunning => "no worker runs",
            Self::NoManager => "no Manager found",
            Self::HomeInUse => "home in use",
            Self::BadConfiguration => "configuration unusable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e7_a_restart_code_is_1_to_255_and_none_of_ours() {
        assert_eq!(RestartCode::parse(0), Ok(None));
        assert_eq!(RestartCode::parse(47).map(|c| c.map(RestartCode::code)), Ok(Some(47)));
        assert_eq!(RestartCode::parse(3).map(|c| c.map(RestartCode::code)), Ok(Some(3)));
        assert_eq!(RestartCode::parse(255).map(|c| c.map(RestartCode::code)), Ok(Some(255)));
        for wrong in [-1, 256, 303] {
            assert_eq!(RestartCode::parse(wrong), Err(RestartCodeError::OutOfRange(wrong)));
        }
        for ours in [1, 2, 69, 75, 78, 101, 130] {
            assert!(matches!(RestartCode::parse(ours), Err(RestartCodeError::Reserved(code, _)) if code == ours));
        }
    }

    #[test]
    fn every_departure_but_a_restart_has_its_code_in_the_table() {
        use Departure::{BadConfiguration, Failure, HomeInUse, NoManager, NotRunning, ShutDown, Signalled};
        for departure in [
            ShutDown,
            Signalled,
            Failure,
            NotRunning,
            NoManager,
            HomeInUse,
            BadConfiguration,
        ] {
            let known = EXIT_CODES.iter().any(|(code, _)| *code == departure.code());
            assert!(known, "{departure}");
        }
    }
}
