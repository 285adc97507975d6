// SPDX-License-Identifier: GPL-3.0-or-later

//! The lower half of `--help`, which the manual page has too: examples, files, variables, signals and exit codes.

use std::fmt::Write;

use crate::departure::EXIT_CODES;

/// A piece of the help.
pub struct Section {
    /// The heading in the help.
    pub heading: &'static str,
    /// The heading in a manual page, where the names are fixed by tradition.
    pub manual: &'static str,
    /// What is below the heading.
    pub body: SectionBody,
}

/// What is below the heading of a [`Section`].
pub enum SectionBody {
    /// To be shown as it stands.
    Lines(&'static str),
    /// A word or two, each with its meaning.
    Rows(Vec<(String, &'static str)>),
}

const EXAMPLES: &str = "  flamenco-worker -manager http://render-manager:8080/
  flamenco-worker -manager render-manager:8080 -restart-exit-code 47
  FLAMENCO_HOME=/var/lib/flamenco/gpu1 flamenco-worker --config /etc/flamenco/gpu1.toml";

const FILES: &str = "  ./flamenco-worker.toml, ./flamenco-worker.yaml
  $XDG_CONFIG_HOME/flamenco/flamenco-worker.toml, .yaml  (~/.config where it is not set)
  /etc/flamenco/flamenco-worker.toml, .yaml, /etc/flamenco/worker.toml
  What is typed goes before the environment, that before the file.";

const HOME: &str = "  $FLAMENCO_HOME, else `home` in the configuration, $STATE_DIRECTORY,
  $XDG_DATA_HOME/flamenco or ~/.local/share/flamenco. One worker per home.
  A command to which none is named takes that of the one worker that runs here.";

const ENVIRONMENT: &[(&str, &str)] = &[
    ("FLAMENCO_HOME", "the home directory"),
    (
        "FLAMENCO_WORKER_NAME",
        "the name shown by the Manager; the host's name without it",
    ),
    (
        "FLAMENCO_LOG",
        "a level (error, warn, info, debug, trace), or filters: info,flamenco_worker::spool=trace",
    ),
    (
        "FLAMENCO_METRICS",
        "where Prometheus finds /metrics: 127.0.0.1:9464, or unix:/run/...",
    ),
    ("NO_COLOR", "no colours in the log"),
];

const SIGNALS: &[(&str, &str)] = &[
    (
        "TERM, INT",
        "stop the task, sign off and end; a second one gives no grace, a third ends at once",
    ),
    ("QUIT", "the same after the running task is finished"),
    ("USR1, USR2", "sleep after the running task; wake up"),
    ("HUP", "as `reload`; as TERM for a worker in a terminal that goes away"),
];

/// All sections, in order.
pub fn sections() -> Vec<Section> {
    let rows =
        |rows: &[(&str, &'static str)]| SectionBody::Rows(rows.iter().map(|&(a, b)| (a.to_owned(), b)).collect());
    let codes = EXIT_CODES.iter().map(|&(code, meaning)| (code.to_string(), meaning));
    let restart = ("CODE".to_owned(), "the Manager asked for a restart");
    let section = |heading, manual, body| Section { heading, manual, body };
    vec![
        section("Examples", "EXAMPLES", SectionBody::Lines(EXAMPLES)),
        section(
            "Configuration, the first of these that is there",
            "FILES",
            SectionBody::Lines(FILES),
        ),
        section(
            "Home, where the identity and unsent reports of this worker are kept",
            "HOME",
            SectionBody::Lines(HOME),
        ),
        section("Environment", "ENVIRONMENT", rows(ENVIRONMENT)),
        section("Signals", "SIGNALS", rows(SIGNALS)),
        section(
            "Exit codes",
            "EXIT STATUS",
            SectionBody::Rows(codes.chain([restart]).collect()),
        ),
    ]
}

/// The end of `-help`. Headings look like those of clap, which takes the escapes out where they do not belong.
pub(super) fn after_help() -> String {
    let mut text = "One dash works as well as two, and `-flag=value` as well as `-flag value`.".to_owned();
    for Section { heading, body, .. } in sections() {
        // Writing to a text cannot fail.
        write!(text, "\n\n\x1b[1m\x1b[4m{heading}:\x1b[0m\n").ok();
        text += &match body {
            SectionBody::Lines(lines) => lines.to_owned(),
            SectionBody::Rows(rows) => aligned(&rows),
        };
    }
    text
}

fn aligned(rows: &[(String, &str)]) -> String {
    let width = rows.iter().map(|(word, _)| word.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(word, said)| format!("  {word:width$}  {said}"));
    lines.collect::<Vec<_>>().join("\n")
}
