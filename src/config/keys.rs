// SPDX-License-Identifier: GPL-3.0-or-later

//! What the keys of a file mean.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use super::problem::{ConfigError, Problem, Source, Warning, nearest};
use super::search::Kind;
use super::timings;
use super::tree::{Complaint, Entry, Node, Value};
use super::units::duration_text;
use super::values::{
    absolute, blank, free_space, history_tasks, level, manager, paths, restart_exit_code, small_integer,
    task_log_limit, task_types, worker_name,
};
use super::{Config, Tls, headers, toml, yaml};

/// The Go worker's keys.
const LEGACY_KEYS: [&str; 5] = [
    "manager_url",
    "task_types",
    "worker_name",
    "restart_exit_code",
    "oom_score_adjust",
];
const TOP_KEYS: [&str; 15] = [
    "manager",
    "manager_url",
    "worker_name",
    "task_types",
    "restart_exit_code",
    "home",
    "oom_score_adjust",
    "nice",
    "push",
    "tls",
    "headers",
    "log",
    "node",
    "timings",
    "spool",
];
const TLS_KEYS: [&str; 3] = ["ca_file", "client_certificate", "client_key"];
const LOG_KEYS: [&str; 1] = ["level"];
const NODE_KEYS: [&str; 5] = ["mounted", "readable", "writable", "free_space", "strikes"];
const SPOOL_KEYS: [&str; 2] = ["task_log_limit", "history_tasks"];

/// Reads a file into `config`.
///
/// # Errors
/// Everything that is wrong in it.
pub(crate) fn read(
    source: &Source,
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
    source: &'a Source,
    kind: Kind,
    config: &'a mut Config,
    warnings: &'a mut Vec<Warning>,
    problems: Vec<Problem>,
    /// Where each key's value is.
    seen: HashMap<String, Range<usize>>,
}

impl Reading<'_> {
    fn top(&mut self, entries: &[Entry]) {
        for entry in entries {
            match entry.key.as_str() {
                "home" => self.set("home", entry, absolute, |config, home| config.home = Some(home)),
                "nice" => self.set("nice", entry, small_integer(-20..20), |config, nice| {
                    config.nice = Some(nice)
                }),
                "push" => self.set("push", entry, Node::boolean, |config, push| config.push = push),
                "tls" => self.table(entry, Self::tls),
                "headers" => self.table(entry, Self::header),
                "log" => self.table(entry, Self::log),
                "node" => self.table(entry, Self::node),
                "timings" => self.table(entry, Self::timings),
                "spool" => self.table(entry, Self::spool),
                _ => self.shared(entry, &TOP_KEYS),
            }
        }
    }

    fn legacy(&mut self, node: &Node) {
        if node.value == Value::Nothing {
            return;
        }
        let Value::Table(entries) = &node.value else {
            self.problems.push(
                Problem::new("keys and values are expected here")
                    .at(self.source.place(&node.span))
                    .advise("write lines like `manager_url: http://manager.example:8080/`"),
            );
            return;
        };
        for entry in entries {
            // A key without a value leaves the default, as in the Go worker.
            if entry.node.value != Value::Nothing || !LEGACY_KEYS.contains(&entry.key.as_str()) {
                self.shared(entry, &LEGACY_KEYS);
            }
        }
    }

    /// The keys both files have.
    fn shared(&mut self, entry: &Entry, known: &[&str]) {
        match entry.key.as_str() {
            // Empty is as good as not there, as in the Go worker.
            "manager" | "manager_url" | "worker_name" if blank(&entry.node) => {}
            "manager" | "manager_url" if known.contains(&entry.key.as_str()) => {
                self.set("manager", entry, manager, |config, url| config.manager = Some(url));
            }
            "worker_name" => self.set("worker_name", entry, worker_name, |config, name| {
                config.worker_name = name
            }),
            "task_types" => self.set("task_types", entry, task_types, |config, types| {
                config.task_types = types
            }),
            "restart_exit_code" => self.set("restart_exit_code", entry, restart_exit_code, |config, code| {
                config.restart_exit_code = code;
            }),
            "oom_score_adjust" => self.set("oom_score_adjust", entry, small_integer(0..1001), |config, score| {
                config.oom_score_adjust = Some(score);
            }),
            _ => self.unknown(entry, "", known),
        }
    }

    fn tls(&mut self, entry: &Entry) {
        let field: fn(&mut Tls) -> &mut Option<PathBuf> = match entry.key.as_str() {
            "ca_file" => |tls| &mut tls.ca_file,
            "client_certificate" => |tls| &mut tls.client_certificate,
            "client_key" => |tls| &mut tls.client_key,
            _ => return self.unknown(entry, "tls.", &TLS_KEYS),
        };
        self.set(&format!("tls.{}", entry.key), entry, absolute, |config, path| {
            *field(&mut config.tls) = Some(path);
        });
    }

    fn header(&mut self, entry: &Entry) {
        match headers::name(entry) {
            Ok(name) => self.set(&format!("headers.{name}"), entry, headers::value, |config, value| {
                config.headers.insert(name, value);
            }),
            Err(complaint) => self.complain(&entry.key, &complaint),
        }
    }

    fn log(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            "level" => self.set("log.level", entry, level, |config, level| config.log.level = level),
            _ => self.unknown(entry, "log.", &LOG_KEYS),
        }
    }

    fn node(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            "mounted" => self.set("node.mounted", entry, paths, |config, paths| {
                config.node.mounted = paths
            }),
            "readable" => self.set("node.readable", entry, paths, |config, paths| {
                config.node.readable = paths
            }),
            "writable" => self.set("node.writable", entry, paths, |config, paths| {
                config.node.writable = paths
            }),
            "free_space" => self.set("node.free_space", entry, free_space, |config, bytes| {
                config.node.free_space = bytes;
            }),
            "strikes" => self.set("node.strikes", entry, small_integer(0..101), |config, strikes| {
                config.node.strikes = strikes.unsigned_abs();
            }),
            _ => self.unknown(entry, "node.", &NODE_KEYS),
        }
    }

    fn spool(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            "task_log_limit" => self.set("spool.task_log_limit", entry, task_log_limit, |config, bytes| {
                config.spool.task_log_limit = bytes;
            }),
            "history_tasks" => self.set("spool.history_tasks", entry, history_tasks, |config, tasks| {
                config.spool.history_tasks = tasks;
            }),
            _ => self.unknown(entry, "spool.", &SPOOL_KEYS),
        }
    }

    fn timings(&mut self, entry: &Entry) {
        let Some(key) = timings::key(&entry.key) else {
            let known: Vec<&str> = timings::KEYS.iter().map(|key| key.name).collect();
            return self.unknown(entry, "timings.", &known);
        };
        let read = |node: &Node| key.read(&node.text_or_number()?).map_err(|what| node.complain(what));
        self.set(&format!("timings.{}", key.name), entry, read, |config, time| {
            *(key.field)(&mut config.timings) = time;
        });
    }

    fn table(&mut self, entry: &Entry, each: fn(&mut Self, &Entry)) {
        match entry.node.table() {
            Ok(entries) => entries.iter().for_each(|entry| each(self, entry)),
            Err(complaint) => self.complain(&entry.key, &complaint),
        }
    }

    /// One value: read, kept, and its place remembered; or a problem.
    fn set<T>(
        &mut self,
        name: &str,
        entry: &Entry,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
        keep: impl FnOnce(&mut Config, T),
    ) {
        if self.seen.insert(name.to_owned(), entry.node.span.clone()).is_some() {
            let twice = Problem::new(format!("`{}` is here a second time", entry.key))
                .at(self.source.place(&entry.key_span))
                .advise("take one of them out; of several the Go worker takes the last");
            match self.kind {
                Kind::Toml => self.problems.push(twice),
                Kind::Yaml => self.warnings.push(twice),
            }
        }
        match read(&entry.node) {
            Ok(value) => {
                keep(self.config, value);
                self.config.set_origin(name, self.source.origin(&entry.key_span));
            }
            Err(complaint) => self.complain(&entry.key, &complaint),
        }
    }

    fn complain(&mut self, key: &str, complaint: &Complaint) {
        let place = if complaint.hide {
            self.source.place_of_secret(&complaint.span)
        } else {
            self.source.place(&complaint.span)
        };
        self.problems
            .push(Problem::new(format!("`{key}` {}", complaint.what)).at(place));
    }

    fn unknown(&mut self, entry: &Entry, table: &str, known: &[&str]) {
        let place = self.source.place(&entry.key_span);
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

    /// A certificate is nothing without its key, and the other way round.
    fn whole_identity(&mut self) {
        let [certificate, key] = ["client_certificate", "client_key"].map(|key| self.seen.get(&format!("tls.{key}")));
        let (there, missing, span) = match (certificate, key) {
            (Some(span), None) => ("client_certificate", "client_key", span),
            (None, Some(span)) => ("client_key", "client_certificate", span),
            (Some(_), Some(_)) | (None, None) => return,
        };
        let problem = Problem::new(format!("`{there}` needs `{missing}` beside it")).at(self.source.place(span));
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
                    .at(self.source.place(span)),
                );
            }
        }
    }
}

/// The most common slip in TOML: a key below a `[table]` that it is not of, or above the one it is of.
fn belongs_elsewhere(key: &str, table: &str) -> Option<String> {
    if !table.is_empty() && TOP_KEYS.contains(&key) {
        return Some(format!("`{key}` belongs above the first [table]"));
    }
    let home = if timings::key(key).is_some() {
        "timings"
    } else if SPOOL_KEYS.contains(&key) {
        "spool"
    } else if TLS_KEYS.contains(&key) {
        "tls"
    } else if LOG_KEYS.contains(&key) {
        "log"
    } else {
        return None;
    };
    Some(format!("`{key}` belongs in the table [{home}]"))
}
