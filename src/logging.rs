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

use nix::sys::stat::fstat;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

use self::line::LineFormatter;
use self::live_line::LineStyle;
use self::stderr::{Destination, StderrWriter};
use crate::config::{Environment, LogSettings};
use crate::{departure, printable};

pub(crate) use self::live_line::LiveLine;

/// The format of a line, by what standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogFormat {
    /// A terminal, for a person: there may be a live line below the log.
    Terminal(LineStyle),
    /// A terminal without the means for one, and for colours.
    DumbTerminal,
    /// systemd's journal, which has the time already and wants the priority in front.
    Journal,
    /// A file, or a pipe to another supervisor.
    Plain,
}

impl LogFormat {
    fn is_terminal(self) -> bool {
        matches!(self, Self::Terminal(_) | Self::DumbTerminal)
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

    /// For a handler of signals that ends the process.
    pub(crate) fn eraser(&self) -> LineEraser {
        LineEraser(self.0.clone())
    }
}

/// Takes away the live line that stands in the terminal, from within a handler of signals.
#[derive(Debug, Clone)]
pub(crate) struct LineEraser(StderrWriter);

impl LineEraser {
    /// Takes it away where that can be done at once: it asks and writes, async-signal-safe, and neither locks nor waits.
    pub(crate) fn erase(&self) {
        self.0.erase();
    }
}

/// Says what the log still has to say, when the process ends and this is let go.
#[derive(Debug)]
pub(crate) struct LastLines(StderrWriter);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// The log of this process.
#[derive(Debug)]
pub(crate) struct Log {
    /// `None` elsewhere than in a terminal that can erase what was written, and that a write to never waits for.
    pub(crate) live_line: Option<LiveLineHandle>,
    writer: StderrWriter,
}

impl Log {
    /// To be held until nothing more is logged.
    pub(crate) fn last_lines(&self) -> LastLines {
        LastLines(self.writer.clone())
    }
}

/// Sends every log line of this process to its standard error from now on.
///
/// # Errors
/// When it was called before.
pub(crate) fn init(log: &LogSettings, environment: &Environment) -> Result<Log, SetGlobalDefaultError> {
    let format = detect_format(environment);
    let writer = StderrWriter::new(destination(format), format);
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(LineFormatter::new(format))
        .with_writer(writer.clone());
    let subscriber = Registry::default().with(filter(log)).with(layer);
    set_global_default(subscriber)?;
    let live_line = writer.can_draw().then(|| LiveLineHandle(writer.clone()));
    say_of_panic(writer.clone(), format);
    Ok(Log { live_line, writer })
}

/// Has a panic end this process, as [`departure::end_on_panic`]: for one that has no log, or none yet.
pub(crate) fn end_on_panic() {
    let stderr = Destination::StandardError(io::stderr());
    say_of_panic(StderrWriter::new(stderr, LogFormat::Plain), LogFormat::Plain);
}

/// It does not go the way of a line of the log: what panics may be on that way.
fn say_of_panic(writer: StderrWriter, format: LogFormat) {
    let formatter = LineFormatter::new(format);
    departure::end_on_panic(move |panic| {
        let message = format!("a fault in flamenco-worker ends it: {}", printable::escape_line(panic));
        writer.last_line(&formatter.line(Level::ERROR, &message, ""));
    });
}

fn detect_format(environment: &Environment) -> LogFormat {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        if is_dumb(environment) {
            return LogFormat::DumbTerminal;
        }
        return LogFormat::Terminal(LineStyle {
            colours: environment.get("NO_COLOR").is_none(),
            unicode: speaks_unicode(environment),
        });
    }
    // This is systemd's own check, see sd_journal_stream_fd(3): a service may have sent its output elsewhere since.
    let stream = environment.get("JOURNAL_STREAM").map(|stream| stream.to_string_lossy());
    match (stream, fstat(stderr.as_fd())) {
        (Some(stream), Ok(found)) if stream == format!("{}:{}", found.st_dev, found.st_ino) => LogFormat::Journal,
        _ => LogFormat::Plain,
    }
}

fn destination(format: LogFormat) -> Destination {
    let stderr = io::stderr();
    let terminal = format.is_terminal().then(|| terminal::open_again(stderr.as_fd()));
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

fn filter(log: &LogSettings) -> Targets {
    // It could be read when the configuration was checked.
    let chosen = log.filter.as_deref().and_then(|filter| filter.parse().ok());
    chosen.unwrap_or_else(|| by_level(log.level.into()))
}

/// The filter for a level. Libraries are one step quieter than we are: they log their internals at `info` already, which
/// helps only in a search for their faults.
fn by_level(ours: LevelFilter) -> Targets {
    let libraries = match ours {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        LevelFilter::DEBUG => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    Targets::new()
        .with_default(libraries)
        .with_target("flamenco_worker", ours)
}

#[cfg(test)]
mod tests;
