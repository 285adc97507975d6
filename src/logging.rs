// SPDX-License-Identifier: GPL-3.0-or-later

//! Where our own log lines go: standard error, in the form that suits what it is.
//!
//! ```text
//! tracing ─► filter ─► Lines (one event, one line) ─► Stderr (never blocks for long, never fails)
//!                        terminal  06:29:45 warn  message  key=value      colours, local time
//!                        journal   <4>message key=value                   systemd has the time
//!                        plain     2026-11-24T06:29:45.123+01:00 warn message key=value
//! ```
//!
//! Standard error and not standard output, where the Go worker logs: that one is for answers (`-version`,
//! `-help`), and to a service manager both are the same. `RUST_LOG` is not looked at: on a render node it is
//! somebody else's.

mod lines;
mod stderr;

use std::io::IsTerminal;
use std::os::fd::AsFd;

use tracing::Level;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::lines::Lines;
use self::stderr::{Stderr, Target};
use crate::config::{Environment, LogSettings};

/// What standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A person looks at it.
    Terminal { colours: bool },
    /// systemd's journal: it has the time, and wants the priority in front.
    Journal,
    /// A file, a pipe, another supervisor.
    Plain,
}

/// How much is logged; can be turned while the process runs.
#[derive(Debug)]
pub struct Volume(Handle<EnvFilter, Registry>);

impl Volume {
    /// # Errors
    /// When the log is gone.
    pub fn set(&self, log: &LogSettings) -> Result<(), reload::Error> {
        self.0.reload(filter(log))
    }
}

/// Sends every log line of this process to its standard error, from now on.
///
/// # Errors
/// When it was called before.
pub fn init(log: &LogSettings, environment: &Environment) -> Result<Volume, SetGlobalDefaultError> {
    let form = form(environment);
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(Lines::new(form))
        .with_writer(Stderr::new(Target::StandardError));
    let (filter, handle) = reload::Layer::new(filter(log));
    let subscriber = Registry::default().with(filter).with(layer);
    tracing::subscriber::set_global_default(subscriber).map(|()| Volume(handle))
}

fn form(environment: &Environment) -> Form {
    let stderr = std::io::stderr();
    if stderr.is_terminal() {
        let dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
        let colours = !dumb && environment.get("NO_COLOR").is_none();
        return Form::Terminal { colours };
    }
    // systemd's own check: a service may have sent its output elsewhere since. See sd_journal_stream_fd(3).
    let stream = environment.get("JOURNAL_STREAM").map(|stream| stream.to_string_lossy());
    match (stream, nix::sys::stat::fstat(stderr.as_fd())) {
        (Some(stream), Ok(found)) if stream == format!("{}:{}", found.st_dev, found.st_ino) => Form::Journal,
        _ => Form::Plain,
    }
}

fn filter(log: &LogSettings) -> EnvFilter {
    let directives = match &log.filter {
        Some(filter) => filter.clone(),
        None => directives(log.level),
    };
    EnvFilter::builder().parse_lossy(directives)
}

/// Libraries tell of their inner life at `info` already; what they have to say is of use when we look for
/// their faults, one step behind our own.
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
