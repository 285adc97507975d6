// SPDX-License-Identifier: GPL-3.0-or-later

//! One event, one line: the level as a short word, the message, then its fields. Whatever is in them (some of it was
//! said by a Manager, a program or a file name), it stays one line and steers no terminal.

use std::error::Error;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::Form;
use crate::{bounded, clock, printable};

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// So much of a message is written, and as much of its fields, in bytes: others have a say in both.
const LONGEST: usize = 4 << 10;

/// How an event becomes a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    form: Form,
}

impl Lines {
    pub(super) fn new(form: Form) -> Self {
        Self { form }
    }

    /// All of the line, its end included.
    fn line(self, level: Level, message: &str, fields: &str) -> String {
        let (dim, reset) = match self.form {
            Form::Terminal { colours: true } => (DIM, RESET),
            Form::Terminal { colours: false } | Form::Journal | Form::Plain => ("", ""),
        };
        let now = clock::now();
        let (front, gap) = match self.form {
            Form::Terminal { .. } => {
                let colour = if reset.is_empty() { "" } else { colour(level) };
                let time = now.strftime("%H:%M:%S");
                (format!("{dim}{time}{reset} {colour}{:<5}{reset} ", word(level)), "  ")
            }
            Form::Journal => (format!("<{}>", priority(level)), " "),
            Form::Plain => (
                format!("{} {:<5} ", now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"), word(level)),
                " ",
            ),
        };
        let message = bounded::text(message, LONGEST);
        let fields = bounded::text(fields.trim_start(), LONGEST);
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

/// syslog's, as sd-daemon(3) has them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span
                .extensions()
                .get::<FormattedFields<N>>()
                .filter(|fields| !fields.is_empty())
            {
                write!(parts.fields, " {}", printable::line(fields.as_str()))?;
            }
        }
        // Whose words they are, where they are not ours.
        let target = event.metadata().target();
        if !target.starts_with("flamenco_worker") {
            write!(parts.fields, " ({target})")?;
        }
        writer.write_str(&self.line(*event.metadata().level(), &parts.message, &parts.fields))
    }
}

/// The message of an event and all else it has.
#[derive(Default)]
struct Parts {
    message: String,
    fields: String,
}

impl Parts {
    fn keep(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = printable::line(text).into_owned();
        } else {
            // Into a String it cannot fail.
            let _ = write!(self.fields, " {}={}", field.name(), printable::line(text));
        }
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain || field.name() == "message" {
            self.keep(field, value);
        } else {
            self.keep(field, &format!("{value:?}"));
        }
    }

    /// With all its causes: an error is told once, where it ends.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Into a String it cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.keep(field, &format!("{text:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, &format!("{value:?}"));
    }
}
