// SPDX-License-Identifier: GPL-3.0-or-later

//! Reads a file into a configuration: every key of it, and everything that is wrong at once.

use std::collections::HashMap;
use std::ops::Range;

use super::error::{ConfigError, Warning};
use super::formats::blank;
use super::keys::{TABLES, table_named};
use super::search::FileFormat;
use super::table::{Key, Table, full_name};
use super::{Config, SettingOrigin, headers};
use crate::document::{Diagnostic, Location, Problem, SourceFile, TableEntry, TreeNode, Value, toml, yaml};
use crate::timings::{GROWING, TimingKey, Timings};
use crate::units::duration_text;

/// The Go worker's keys.
const LEGACY_KEYS: [&str; 5] = [
    "manager_url",
    "task_types",
    "worker_name",
    "restart_exit_code",
    "oom_score_adjust",
];
/// Keys that count as not set where they are empty, as in the Go worker.
const EMPTY_IS_ABSENT: [&str; 2] = ["manager", "worker_name"];

/// The keys above the first table.
const TOP: &Table = &TABLES[0];

/// Reads a file into `config`.
///
/// # Errors
/// Everything that is wrong in the file. The values that make sense are in `config` all the same.
pub(crate) fn read(
    source: &SourceFile,
    format: FileFormat,
    config: &mut Config,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let mut reader = ConfigReader {
        source,
        format,
        config,
        warnings,
        problems: Vec::new(),
        seen: HashMap::new(),
    };
    match format {
        FileFormat::Toml => {
            let entries = toml::parse(source).map_err(|problems| ConfigError { problems })?;
            reader.top(&entries);
            reader.growing_timings();
            reader.whole_identity();
        }
        FileFormat::Yaml => {
            if let Some(node) = yaml::parse(source)? {
                reader.legacy(&node);
            }
        }
    }
    match reader.problems {
        problems if problems.is_empty() => Ok(()),
        problems => Err(ConfigError { problems }),
    }
}

/// One file on its way into a configuration.
struct ConfigReader<'a> {
    source: &'a SourceFile,
    format: FileFormat,
    config: &'a mut Config,
    warnings: &'a mut Vec<Warning>,
    problems: Vec<Problem>,
    /// The bytes of each value that was read, by the full name of its key.
    seen: HashMap<String, Range<usize>>,
}

impl ConfigReader<'_> {
    fn top(&mut self, entries: &[TableEntry]) {
        for entry in entries {
            match table_named(&entry.key).filter(|table| !table.name.is_empty()) {
                Some(table) if table.name == headers::NAME => self.table(entry, Self::header),
                Some(table) => self.table(entry, |reader, entry| reader.key(table, &entry.key, entry)),
                None => self.key(TOP, with_go_name(&entry.key), entry),
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
        match TOP
            .key(with_go_name(&entry.key))
            .filter(|_| LEGACY_KEYS.contains(&entry.key.as_str()))
        {
            Some(key) => self.known(key, entry),
            None => self.unknown(entry, TOP, &LEGACY_KEYS),
        }
    }

    fn key(&mut self, table: &Table, name: &str, entry: &TableEntry) {
        match table.key(name) {
            Some(key) => self.known(key, entry),
            None => self.unknown(entry, table, &names(table)),
        }
    }

    fn known(&mut self, key: Key, entry: &TableEntry) {
        if key.old_name() == Some(&entry.key) {
            let place = self.source.location(&entry.key_span);
            let old = Problem::new(format!("`{}` is called `{}` now", entry.key, key.name())).at(place);
            self.warnings
                .push(old.advise("it is read all the same; write the new name"));
        }
        if !(EMPTY_IS_ABSENT.contains(&key.name()) && blank(&entry.node)) {
            self.set(&key.full_name(), entry, |config, node| key.read(config, node));
        }
    }

    fn header(&mut self, entry: &TableEntry) {
        match headers::name(entry) {
            Ok(name) => self.set(&full_name("headers", name.as_str()), entry, |config, node| {
                config.headers.insert(&name, headers::value(node)?);
                config.secret_files.extend(headers::file_of(node));
                Ok(())
            }),
            Err(diagnostic) => self.report(&entry.key, &diagnostic),
        }
    }

    fn table(&mut self, entry: &TableEntry, each: impl Fn(&mut Self, &TableEntry)) {
        match entry.node.table() {
            Ok(entries) => entries.iter().for_each(|entry| each(self, entry)),
            Err(diagnostic) => self.report(&entry.key, &diagnostic),
        }
    }

    /// Reads one value and remembers where it is, or reports what is wrong with it.
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
            match self.format {
                FileFormat::Toml => self.problems.push(twice),
                FileFormat::Yaml => self.warnings.push(twice),
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

    fn unknown(&mut self, entry: &TableEntry, table: &Table, known: &[&str]) {
        let place = self.source.location(&entry.key_span);
        let problem = Problem::new(format!("unknown key `{}`", entry.key)).at(place);
        let problem = match nearest(&entry.key, known.iter().copied()) {
            Some(other) => problem.advise(format!("did you mean `{other}`?")),
            None => problem.advise(
                belongs_elsewhere(&entry.key, table).unwrap_or_else(|| format!("known here: {}", known.join(", "))),
            ),
        };
        match self.format {
            FileFormat::Toml => self.problems.push(problem),
            FileFormat::Yaml => self.warnings.push(problem),
        }
    }

    /// Where a value that is fine was set.
    fn origin(&self, span: &Range<usize>) -> SettingOrigin {
        let Location { path, line, .. } = self.source.location(span);
        SettingOrigin::File { path, line }
    }

    /// Reports a certificate without its key, and a key without its certificate.
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

    /// Reports a pause that starts longer than it may become.
    fn growing_timings(&mut self) {
        for (less, more) in GROWING {
            let (Some(less), Some(more)) = (Timings::key(less), Timings::key(more)) else {
                continue;
            };
            let (short, long) = ((less.get)(&self.config.timings), (more.get)(&self.config.timings));
            let written = |key: &TimingKey| self.seen.get(&format!("timings.{}", key.name));
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

/// The name of a key here. The Go worker's name of the Manager's URL is good in both files.
fn with_go_name(key: &str) -> &str {
    if key == "manager_url" { "manager" } else { key }
}

/// The names in a table; above the first one those of the tables too.
fn names(table: &Table) -> Vec<&'static str> {
    let keys = (table.keys)().into_iter().map(Key::name);
    let tables = TABLES
        .iter()
        .map(|table| table.name)
        .filter(|name| table.name.is_empty() && !name.is_empty());
    keys.chain(tables).collect()
}

/// Advice against the most common slip in TOML: a key below the wrong `[table]`, or above the right one.
fn belongs_elsewhere(name: &str, table: &Table) -> Option<String> {
    let has_it = |other: &&Table| other.name != table.name && (other.keys)().iter().any(|key| key.name() == name);
    match TABLES.iter().find(has_it)?.name {
        "" => Some(format!("`{name}` belongs above the first [table]")),
        home => Some(format!("`{name}` belongs in the table [{home}]")),
    }
}

/// The one of `known` that was most likely meant by `word`, if one is near enough.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).clamp(1, 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
