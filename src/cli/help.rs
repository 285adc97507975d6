// SPDX-License-Identifier: GPL-3.0-or-later

//! What there is to say beside the flags: the lower half of `--help`, and the same in the manual page.

use std::fmt::Write;

use crate::departure::EXIT_CODES;

/// A piece of the help.
pub struct Section {
    pub heading: &'static str,
    /// The same in a manual page, whose headings have names of old.
    pub manual: &'static str,
    pub body: Body,
}

pub enum Body {
    /// To be shown as it stands.
    Lines(&'static str),
    /// A word or two, and what is said of it.
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
    ("NO_COLOR", "no colours in the log"),
];

const SIGNALS: &[(&str, &str)] = &[
    (
        "TERM, INT",
        "stop the task, sign off and end; a second one gives no grace, a third ends at once",
    ),
    ("QUIT", "the same after the running task is finished"),
    ("USR1, USR2", "sleep after the running task; wake up"),
    (
        "HUP",
        "read the configuration again; as TERM for a worker in a terminal that goes away",
    ),
];

/// All of it, in order.
pub fn sections() -> Vec<Section> {
    let rows = |rows: &[(&str, &'static str)]| Body::Rows(rows.iter().map(|&(a, b)| (a.to_owned(), b)).collect());
    let codes = EXIT_CODES.iter().map(|&(code, meaning)| (code.to_string(), meaning));
    let restart = ("CODE".to_owned(), "the Manager asked for a restart");
    let section = |heading, manual, body| Section { heading, manual, body };
    vec![
        section("Examples", "EXAMPLES", Body::Lines(EXAMPLES)),
        section(
            "Configuration, the first of these that is there",
            "FILES",
            Body::Lines(FILES),
        ),
        section(
            "Home, where the identity and unsent reports of this worker are kept",
            "HOME",
            Body::Lines(HOME),
        ),
        section("Environment", "ENVIRONMENT", rows(ENVIRONMENT)),
        section("Signals", "SIGNALS", rows(SIGNALS)),
        section(
            "Exit codes",
            "EXIT STATUS",
            Body::Rows(codes.chain([restart]).collect()),
        ),
    ]
}

/// What `-help` ends with. Headings look as clap's own; it takes the escapes out where they do not belong.
pub(super) fn after_help() -> String {
    let mut text = "One dash works as well as two, and `-flag=value` as well as `-flag value`.".to_owned();
    for Section { heading, body, .. } in sections() {
        // Writing to a text cannot fail.
        let _written = write!(text, "\n\n\x1b[1m\x1b[4m{heading}:\x1b[0m\n");
        text += &match body {
            Body::Lines(lines) => lines.to_owned(),
            Body::Rows(rows) => aligned(&rows),
        };
    }
    text
}

fn aligned(rows: &[(String, &str)]) -> String {
    let width = rows.iter().map(|(word, _)| word.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(word, said)| format!("  {word:width$}  {said}"));
    lines.collect::<Vec<_>>().join("\n")
}
