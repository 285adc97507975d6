// SPDX-License-Identifier: GPL-3.0-or-later

//! What the keys of a file mean.

use std::collections::HashMap;
use std::ops::Range;

use super::definition::{self, KEYS, Key, full_name};
use super::error::{ConfigError, Warning};
use super::search::Kind;
use super::timings;
use super::units::duration_text;
use super::values::blank;
use super::{Config, SettingOrigin, headers};
use crate::document::{Diagnostic, Location, Problem, SourceFile, TableEntry, TreeNode, Value, toml, yaml};

/// The Go worker's keys.
const LEGACY_KEYS: [&str; 5] = [
    "manager_url",
    "task_types",
    "worker_name",
    "restart_exit_code",
    "oom_score_adjust",
];
/// Empty is as good as not there, as in the Go worker.
const EMPTY_IS_ABSENT: [&str; 2] = ["manager", "worker_name"];

/// Reads a file into `config`.
///
/// # Errors
/// Everything that is wrong in it.
pub(crate) fn read(
    source: &SourceFile,
    kind: Kind,
    config: &mut Config,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let mut reading = Reading {
        source,
        kind,
        config,
        warnings,
        problems: Vec::new(),
        seen: HashMap::new(),
    };
    match kind {
        Kind::Toml => {
            let entries = toml::parse(source).map_err(|problems| ConfigError { problems })?;
            reading.top(&entries);
            reading.growing_timings();
            reading.whole_identity();
        }
        Kind::Yaml => {
            if let Some(node) = yaml::parse(source)? {
                reading.legacy(&node);
            }
        }
    }
    match reading.problems {
        problems if problems.is_empty() => Ok(()),
        problems => Err(ConfigError { problems }),
    }
}

struct Reading<'a> {
    source: &'a SourceFile,
    kind: Kind,
    config: &'a mut Config,
    warnings: &'a mut Vec<Warning>,
    problems: Vec<Problem>,
    /// Where each key's value is.
    seen: HashMap<String, Range<usize>>,
}

impl Reading<'_> {
    fn top(&mut self, entries: &[TableEntry]) {
        for entry in entries {
            match entry.key.as_str() {
                "headers" => self.table(entry, Self::header),
                "timings" => self.table(entry, Self::timing),
                name => match definition::TABLES.iter().find(|(table, _)| *table == name) {
                    Some((table, _)) => self.table(entry, |reading, entry| reading.key(table, entry)),
                    None => self.key("", entry),
                },
            }
        }
    }

    fn legacy(&mut self, node: &TreeNode) {
        if node.value == Value::Nothing {
            return;
        }
        let Value::Table(entries) = &node.value else {
            self.problems.push(
                Problem::new("keys and values are expected here")
                    .at(self.source.location(&node.span))
                    .advise("write lines like `manager_url: http://manager.example:8080/`"),
            );
            return;
        };
        for entry in entries {
            // A key without a value leaves the default, as in the Go worker.
            if entry.node.value != Value::Nothing || !LEGACY_KEYS.contains(&entry.key.as_str()) {
                self.legacy_key(entry);
            }
        }
    }

    fn legacy_key(&mut self, entry: &TableEntry) {
        match definition::key("", named(&entry.key)).filter(|_| LEGACY_KEYS.contains(&entry.key.as_str())) {
            Some(key) => self.known(key, entry),
            None => self.unknown(entry, "", &LEGACY_KEYS),
        }
    }

    fn key(&mut self, table: &str, entry: &TableEntry) {
        let name = if table.is_empty() {
            named(&entry.key)
        } else {
            &entry.key
        };
        match definition::key(table, name) {
            Some(key) => self.known(key, entry),
            None => self.unknown(entry, table, &definition::names(table)),
        }
    }

    fn known(&mut self, key: &Key, entry: &TableEntry) {
        if !(EMPTY_IS_ABSENT.contains(&key.name) && blank(&entry.node)) {
            self.set(&key.full_name(), entry, |config, node| (key.read)(config, node));
        }
    }

    fn header(&mut self, entry: &TableEntry) {
        match headers::name(entry) {
            Ok(name) => self.set(&full_name("headers", name.as_str()), entry, |config, node| {
                headers::value(node).map(|value| drop(config.headers.insert(&name, value)))
            }),
            Err(diagnostic) => self.report(&entry.key, &diagnostic),
        }
    }

    fn timing(&mut self, entry: &TableEntry) {
        let new = timings::renamed(&entry.key);
        if let Some(new) = new {
            let place = self.source.location(&entry.key_span);
            let old = Problem::new(format!("`{}` is called `{new}` now", entry.key)).at(place);
            self.warnings
                .push(old.advise("it is read all the same; write the new name"));
        }
        let Some(key) = timings::key(new.unwrap_or(&entry.key)) else {
            let known: Vec<&str> = timings::KEYS.iter().map(|key| key.name).collect();
            return self.unknown(entry, "timings", &known);
        };
        self.set(&full_name("timings", key.name), entry, |config, node| {
            let time = key
                .read(&node.text_or_number()?)
                .map_err(|what| node.diagnostic(what))?;
            *(key.field)(&mut config.timings) = time;
            Ok(())
        });
    }

    fn table(&mut self, entry: &TableEntry, each: impl Fn(&mut Self, &TableEntry)) {
        match entry.node.table() {
            Ok(entries) => entries.iter().for_each(|entry| each(self, entry)),
            Err(diagnostic) => self.report(&entry.key, &diagnostic),
        }
    }

    /// One value: read, kept, and its place remembered; or a problem.
    fn set(
        &mut self,
        name: &str,
        entry: &TableEntry,
        read: impl FnOnce(&mut Config, &TreeNode) -> Result<(), Diagnostic>,
    ) {
        if self.seen.insert(name.to_owned(), entry.node.span.clone()).is_some() {
            let twice = Problem::new(format!("`{}` is here a second time", entry.key))
                .at(self.source.location(&entry.key_span))
                .advise("take one of them out; of several the Go worker takes the last");
            match self.kind {
                Kind::Toml => self.problems.push(twice),
                Kind::Yaml => self.warnings.push(twice),
            }
        }
        match read(self.config, &entry.node) {
            Ok(()) => self.config.set_origin(name, self.origin(&entry.key_span)),
            Err(diagnostic) => self.report(&entry.key, &diagnostic),
        }
    }

    fn report(&mut self, key: &str, diagnostic: &Diagnostic) {
        let place = if diagnostic.hide {
            self.source.location_of_secret(&diagnostic.span)
        } else {
            self.source.location(&diagnostic.span)
        };
        self.problems
            .push(Problem::new(format!("`{key}` {}", diagnostic.what)).at(place));
    }

    fn unknown(&mut self, entry: &TableEntry, table: &str, known: &[&str]) {
        let place = self.source.location(&entry.key_span);
        let problem = Problem::new(format!("unknown key `{}`", entry.key)).at(place);
        let problem = match nearest(&entry.key, known.iter().copied()) {
            Some(other) => problem.advise(format!("did you mean `{other}`?")),
            None => problem.advise(
                belongs_elsewhere(&entry.key, table).unwrap_or_else(|| format!("known here: {}", known.join(", "))),
            ),
        };
        match self.kind {
            Kind::Toml => self.problems.push(problem),
            Kind::Yaml => self.warnings.push(problem),
        }
    }

    /// Where a value that is fine was set.
    fn origin(&self, span: &Range<usize>) -> SettingOrigin {
        let Location { path, line, .. } = self.source.location(span);
        SettingOrigin::File { path, line }
    }

    /// A certificate is nothing without its key, and the other way round.
    fn whole_identity(&mut self) {
        let [certificate, key] = ["client_certificate", "client_key"].map(|key| self.seen.get(&format!("tls.{key}")));
        let (there, missing, span) = match (certificate, key) {
            (Some(span), None) => ("client_certificate", "client_key", span),
            (None, Some(span)) => ("client_key", "client_certificate", span),
            (Some(_), Some(_)) | (None, None) => return,
        };
        let problem = Problem::new(format!("`{there}` needs `{missing}` beside it")).at(self.source.location(span));
        self.problems.push(problem);
    }

    /// A pause that starts longer than it may become.
    fn growing_timings(&mut self) {
        for (less, more) in timings::GROWING {
            let (Some(less), Some(more)) = (timings::key(less), timings::key(more)) else {
                continue;
            };
            let (short, long) = (
                *(less.field)(&mut self.config.timings),
                *(more.field)(&mut self.config.timings),
            );
            let written = |key: &timings::TimingKey| self.seen.get(&format!("timings.{}", key.name));
            if let Some(span) = written(more).or_else(|| written(less)).filter(|_| short > long) {
                self.problems.push(
                    Problem::new(format!(
                        "`{}` ({}) must not be less than `{}` ({})",
                        more.name,
                        duration_text(long),
                        less.name,
                        duration_text(short)
                    ))
                    .at(self.source.location(span)),
                );
            }
        }
    }
}

/// The name a key has here; the Go worker's own is good in both files.
fn named(key: &str) -> &str {
    if key == "manager_url" { "manager" } else { key }
}

/// The most common slip in TOML: a key below a `[table]` that it is not of, or above the one it is of.
fn belongs_elsewhere(name: &str, table: &str) -> Option<String> {
    let homes = KEYS.iter().filter(|key| key.name == name).map(|key| key.table);
    let timing = timings::key(name).map(|_| "timings");
    match homes.chain(timing).find(|home| *home != table)? {
        "" => Some(format!("`{name}` belongs above the first [table]")),
        home => Some(format!("`{name}` belongs in the table [{home}]")),
    }
}

/// The one of `known` that `word` was most likely meant to be.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).clamp(1, 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
