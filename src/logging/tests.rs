// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs::File;
use std::io::{Read, Seek};

use tracing::Level;

use super::*;

/// What `act` logs, in a format.
fn logged(format: LogFormat, level: Level, act: impl FnOnce()) -> String {
    let mut file = tempfile::tempfile().unwrap();
    let destination = Destination::Descriptor(File::try_clone(&file).unwrap().into());
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(LineFormatter::new(format))
        .with_writer(StderrWriter::new(destination, LogFormat::Plain));
    let log = LogSettings { level, filter: None };
    let subscriber = Registry::default().with(filter(&log)).with(layer);
    tracing::subscriber::with_default(subscriber, act);
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn terminal(colours: bool) -> LogFormat {
    LogFormat::Terminal(LineStyle { colours, unicode: true })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot reach the Manager")]
struct Unreachable(#[source] std::io::Error);

fn an_event() {
    let error = Unreachable(std::io::ErrorKind::ConnectionRefused.into());
    let error: &(dyn std::error::Error + 'static) = &error;
    tracing::warn!(error, tries = 3, path = "/a b", name = "x", "no \x1b[31manswer");
}

const FIELDS: &str = "error=\"cannot reach the Manager: connection refused\" tries=3 path=\"/a b\" name=x";

#[test]
fn a_line_for_a_file_has_the_whole_time() {
    let text = logged(LogFormat::Plain, Level::INFO, an_event);
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(rest, format!("warn  no \\u001b[31manswer {FIELDS}\n"));
}

#[test]
fn i15_a_control_character_is_escaped_the_same_way_wherever_it_stands_in_a_line() {
    let text = logged(LogFormat::Journal, Level::INFO, || {
        let name = "a\x1b b";
        let _span = tracing::info_span!("task", ?name).entered();
        tracing::info!(name, debug = ?name, "{name} {name:?}");
    });
    let quoted = "\"a\\u001b b\"";
    assert_eq!(
        text,
        format!("<6>a\\u001b b {quoted} name={quoted} debug={quoted} name={quoted}\n")
    );
}

#[test]
fn a_line_for_the_journal_has_a_priority_and_no_time() {
    assert_eq!(
        logged(LogFormat::Journal, Level::INFO, an_event),
        format!("<4>no \\u001b[31manswer {FIELDS}\n")
    );
    let text = logged(LogFormat::Journal, Level::TRACE, || tracing::trace!("a\nb"));
    assert_eq!(text, "<7>a\\nb\n");
}

#[test]
fn a_line_for_a_terminal_has_colours_only_where_they_are_wanted() {
    let text = logged(terminal(false), Level::INFO, an_event);
    assert_eq!(text[8..], format!(" warn  no \\u001b[31manswer  {FIELDS}\n"));
    let text = logged(terminal(true), Level::INFO, || tracing::error!(a = 1, "b\nc"));
    assert!(
        text.ends_with(" \x1b[31merror\x1b[0m b\\nc  \x1b[2ma=1\x1b[0m\n"),
        "{text:?}"
    );
}

#[test]
fn a_span_is_told_after_the_fields_and_others_are_named() {
    let text = logged(LogFormat::Journal, Level::INFO, || {
        let _span = tracing::info_span!("task", task = 7).entered();
        tracing::info!(frame = 1, "rendering");
        tracing::warn!(target: "hyper", "odd");
    });
    assert_eq!(text, "<6>rendering frame=1 task=7\n<4>odd task=7 (hyper)\n");
}

#[test]
fn libraries_are_quieter_than_we_are() {
    let act = || {
        tracing::trace!("t");
        tracing::debug!("d");
        tracing::info!("i");
        tracing::warn!("w");
        tracing::debug!(target: "hyper::client", "hd");
        tracing::info!(target: "hyper::client", "hi");
    };
    let lines = |level| logged(LogFormat::Journal, level, act).lines().count();
    let levels = [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    assert_eq!(levels.map(lines), [1, 2, 4, 6]);
}

#[test]
fn the_journal_is_known_by_its_stream_only() {
    // The harness's standard error is no terminal, or if it is there is nothing to test.
    if std::io::stderr().is_terminal() {
        return;
    }
    let found = nix::sys::stat::fstat(std::io::stderr()).unwrap();
    let mut environment = Environment::default();
    assert_eq!(detect_format(&environment), LogFormat::Plain);
    let stream = format!("{}:{}", found.st_dev, found.st_ino);
    environment.variables.insert("JOURNAL_STREAM".into(), stream.into());
    assert_eq!(detect_format(&environment), LogFormat::Journal);
    environment.variables.insert("JOURNAL_STREAM".into(), "1:2".into());
    assert_eq!(detect_format(&environment), LogFormat::Plain);
}
