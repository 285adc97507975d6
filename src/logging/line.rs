// SPDX-License-Identifier: GPL-3.0-or-later

//! Makes one line of one event: the level as a short word, the message, then the fields. Some of their text comes from a
//! Manager, a program or a file name; whatever it is, the line stays one line and steers no terminal.

use std::error::Error;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::LogFormat;
use super::live_line::LineStyle;
use crate::chain::chain;
use crate::{bounded, clock, printable};

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// How many bytes of a message are written, and of its fields: some of their text comes from outside.
const LONGEST: usize = 4 << 10;

/// Makes a line of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineFormatter {
    format: LogFormat,
}

impl LineFormatter {
    /// For lines of this format.
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format }
    }

    /// The whole line with its end.
    pub(super) fn line(self, level: Level, message: &str, fields: &str) -> String {
        let (dim, reset) = match self.format {
            LogFormat::Terminal(LineStyle { colours: true, .. }) => (DIM, RESET),
            LogFormat::Terminal(_) | LogFormat::DumbTerminal | LogFormat::Journal | LogFormat::Plain => ("", ""),
        };
        let now = clock::now();
        let (front, gap) = match self.format {
            LogFormat::Terminal(_) | LogFormat::DumbTerminal => {
                let colour = if reset.is_empty() { "" } else { colour(level) };
                let time = now.strftime("%H:%M:%S");
                (format!("{dim}{time}{reset} {colour}{:<5}{reset} ", word(level)), "  ")
            }
            LogFormat::Journal => (format!("<{}>", priority(level)), " "),
            LogFormat::Plain => (
                format!("{} {:<5} ", now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"), word(level)),
                " ",
            ),
        };
        let message = bounded::shorten(message, LONGEST);
        let fields = bounded::shorten(fields.trim_start(), LONGEST);
        let fields = match &*fields {
            "" => String::new(),
            fields => format!("{gap}{dim}{fields}{reset}"),
        };
        format!("{front}{message}{fields}\n")
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// The priority that syslog has for a level, see sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<S, N> FormatEvent<S, N> for LineFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = EventText::default();
        event.record(&mut text);
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span
                .extensions()
                .get::<FormattedFields<N>>()
                .filter(|fields| !fields.is_empty())
            {
                write!(text.fields, " {}", printable::escape_debug_too(fields.as_str()))?;
            }
        }
        // Events of libraries name the library.
        let target = event.metadata().target();
        if !target.starts_with("flamenco_worker") {
            write!(text.fields, " ({target})")?;
        }
        writer.write_str(&self.line(*event.metadata().level(), &text.message, &text.fields))
    }
}

/// The message of an event and all else it has.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn keep(&mut self, field: &Field, text: &str) {
        let text = printable::escape_debug_too(text);
        if field.name() == "message" {
            self.message = text.into_owned();
        } else {
            // Writing to a text cannot fail.
            write!(self.fields, " {}={text}", field.name()).ok();
        }
    }
}

impl Visit for EventText {
    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain || field.name() == "message" {
            self.keep(field, value);
        } else {
            self.keep(field, &format!("{value:?}"));
        }
    }

    /// An error has all its causes in the line, because it is logged once only.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.keep(field, &format!("{:?}", chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, &format!("{value:?}"));
    }
}
