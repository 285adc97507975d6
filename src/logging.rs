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
mod live_line;
mod stderr;
mod terminal;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::stat::fstat;
use tracing::Level;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::line::LineFormatter;
use self::live_line::LineStyle;
use self::stderr::{Destination, Kind, StderrWriter};
use crate::config::{Environment, LogSettings};

pub(crate) use self::live_line::LiveLine;

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

/// The line below the log, in a terminal that has the means for one.
#[derive(Debug, Clone)]
pub(crate) struct LiveLineHandle(StderrWriter);

impl LiveLineHandle {
    /// Shows this from now on, in place of what was there. Never waits; returns whether the terminal has taken it.
    pub(crate) fn show(&self, line: Option<LiveLine>) -> bool {
        self.0.show(line)
    }

    /// Whether a line stands there, for a handler of signals that ends the process.
    pub(crate) fn is_drawn(&self) -> Arc<AtomicBool> {
        self.0.is_drawn()
    }
}

/// What of the log changes while the process runs.
#[derive(Debug)]
pub(crate) struct Log {
    /// How much is logged.
    pub(crate) level: LogLevelHandle,
    /// `None` elsewhere than in a terminal that can erase what was written.
    pub(crate) live_line: Option<LiveLineHandle>,
}

/// Sends every log line of this process to its standard error from now on.
///
/// # Errors
/// When it was called before.
pub(crate) fn init(log: &LogSettings, environment: &Environment) -> Result<Log, SetGlobalDefaultError> {
    let format = detect_format(environment);
    let kind = kind(format, environment);
    let writer = StderrWriter::new(destination(kind), kind);
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(LineFormatter::new(format))
        .with_writer(writer.clone());
    let (filter, handle) = reload::Layer::new(filter(log));
    let subscriber = Registry::default().with(filter).with(layer);
    set_global_default(subscriber)?;
    let live_line = matches!(kind, Kind::Terminal(_)).then(|| LiveLineHandle(writer.clone()));
    if live_line.is_some() {
        // What is said of a panic does not come through the log.
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            writer.make_way();
            next(panic);
        }));
    }
    Ok(Log {
        level: LogLevelHandle(handle),
        live_line,
    })
}

fn detect_format(environment: &Environment) -> LogFormat {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let colours = !is_dumb(environment) && environment.get("NO_COLOR").is_none();
        return LogFormat::Terminal { colours };
    }
    // This is systemd's own check, see sd_journal_stream_fd(3): a service may have sent its output elsewhere since.
    let stream = environment.get("JOURNAL_STREAM").map(|stream| stream.to_string_lossy());
    match (stream, fstat(stderr.as_fd())) {
        (Some(stream), Ok(found)) if stream == format!("{}:{}", found.st_dev, found.st_ino) => LogFormat::Journal,
        _ => LogFormat::Plain,
    }
}

fn kind(format: LogFormat, environment: &Environment) -> Kind {
    match format {
        LogFormat::Journal | LogFormat::Plain => Kind::Lines,
        LogFormat::Terminal { .. } if is_dumb(environment) => Kind::DumbTerminal,
        LogFormat::Terminal { colours } => Kind::Terminal(LineStyle {
            colours,
            unicode: speaks_unicode(environment),
        }),
    }
}

fn destination(kind: Kind) -> Destination {
    let stderr = io::stderr();
    let terminal = (kind != Kind::Lines).then(|| terminal::open_again(stderr.as_fd()));
    terminal
        .flatten()
        .map_or(Destination::StandardError(stderr), Destination::Descriptor)
}

fn is_dumb(environment: &Environment) -> bool {
    environment.get("TERM").is_none_or(|term| term == "dumb")
}

/// As the C library finds the letters of a terminal (setlocale(3)).
fn speaks_unicode(environment: &Environment) -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = names.into_iter().find_map(|name| environment.get(name));
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
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
