// SPDX-License-Identifier: GPL-3.0-or-later

//! Where our own log lines go: standard error, in the format that suits what it is.
//!
//! ```text
//! tracing ─► filter ─► LineFormatter (one event, one line) ─► StderrWriter (never blocks for long, never fails)
//!                        terminal  06:29:45 warn  message  key=value      colours, local time
//!                        journal   <4>message key=value                   systemd has the time
//!                        plain     2026-11-24T06:29:45.123+01:00 warn message key=value
//! ```
//!
//! Standard error and not standard output, where the Go worker logs: that one is for answers (`-version`,
//! `-help`), and to a service manager both are the same. `RUST_LOG` is not read: on a render node it is meant for other
//! programs.

mod line;
mod stderr;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::Level;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::line::LineFormatter;
use self::stderr::{Destination, StderrWriter};
use crate::config::{Environment, LogSettings};

/// The format of a line, by what standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogFormat {
    /// A terminal, for a person.
    Terminal { colours: bool },
    /// systemd's journal, which has the time already and wants the priority in front.
    Journal,
    /// A file, or a pipe to another supervisor.
    Plain,
}

/// Changes how much is logged while the process runs.
#[derive(Debug)]
pub(crate) struct LogLevelHandle(Handle<EnvFilter, Registry>);

impl LogLevelHandle {
    /// Logs as much as the settings say from now on.
    ///
    /// # Errors
    /// When the log is gone.
    pub(crate) fn set(&self, log: &LogSettings) -> Result<(), reload::Error> {
        self.0.reload(filter(log))
    }
}

/// Sends every log line of this process to its standard error from now on.
///
/// # Errors
/// When it was called before.
pub(crate) fn init(log: &LogSettings, environment: &Environment) -> Result<LogLevelHandle, SetGlobalDefaultError> {
    let format = detect_format(environment);
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(LineFormatter::new(format))
        .with_writer(StderrWriter::new(Destination::StandardError));
    let (filter, handle) = reload::Layer::new(filter(log));
    let subscriber = Registry::default().with(filter).with(layer);
    set_global_default(subscriber).map(|()| LogLevelHandle(handle))
}

fn detect_format(environment: &Environment) -> LogFormat {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
        let colours = !dumb && environment.get("NO_COLOR").is_none();
        return LogFormat::Terminal { colours };
    }
    // This is systemd's own check, see sd_journal_stream_fd(3): a service may have sent its output elsewhere since.
    let stream = environment.get("JOURNAL_STREAM").map(|stream| stream.to_string_lossy());
    match (stream, fstat(stderr.as_fd())) {
        (Some(stream), Ok(found)) if stream == format!("{}:{}", found.st_dev, found.st_ino) => LogFormat::Journal,
        _ => LogFormat::Plain,
    }
}

fn filter(log: &LogSettings) -> EnvFilter {
    let directives = match &log.filter {
        Some(filter) => filter.clone(),
        None => directives(log.level),
    };
    EnvFilter::builder().parse_lossy(directives)
}

/// The filter for a level. Libraries are one step quieter than we are: they log their internals at `info` already, which
/// helps only in a search for their faults.
fn directives(level: Level) -> String {
    let libraries = match level {
        Level::TRACE => "debug",
        Level::DEBUG => "info",
        _ => "warn",
    };
    let ours = level.to_string().to_lowercase();
    format!("{libraries},flamenco_worker={ours}")
}

#[cfg(test)]
mod tests;
