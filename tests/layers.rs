// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds the table of rooms against the code: imports point down only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may import. `app` is the one that builds everything; `lib` is the map.
const TABLE: &[(&str, &str)] = &[
    ("main", "app cli departure process report signals subcommand"),
    ("lib", ""),
    ("abort", ""),
    ("blocking", ""),
    ("chain", ""),
    ("random", ""),
    ("cli", "departure"),
    (
        "app",
        "abort blocking cli command config departure home logging manager node printable process protocol report setup signals spool systemd task timings worker chain",
    ),
    ("bounded", ""),
    ("clock", ""),
    ("departure", ""),
    ("files", ""),
    ("document", ""),
    ("printable", ""),
    (
        "subcommand",
        "abort cli clock command config departure files home manager mounts node printable process setup spool timings chain",
    ),
    ("signals", "abort departure"),
    ("systemd", "chain printable"),
    ("timings", ""),
    ("trees", ""),
    ("logging", "bounded chain config printable clock"),
    ("config", "cli departure document timings files"),
    ("mounts", ""),
    ("home", "blocking chain config clock document files"),
    ("node", "blocking files mounts timings"),
    ("setup", "config manager node"),
    ("protocol", "bounded"),
    (
        "manager",
        "blocking bounded clock protocol home timings abort files chain random",
    ),
    (
        "spool",
        "blocking clock manager protocol home timings trees files chain",
    ),
    ("outcome", "abort process"),
    (
        "report",
        "blocking outcome spool manager protocol process timings abort files chain",
    ),
    ("process", "abort chain clock files mounts timings"),
    (
        "command",
        "blocking clock outcome process report protocol abort timings trees files mounts",
    ),
    (
        "task",
        "blocking command outcome report spool protocol abort process trees mounts",
    ),
    (
        "worker",
        "bounded outcome task report spool manager node protocol process home abort departure signals systemd timings chain random",
    ),
];

#[test]
fn imports_point_down_only() {
    let table: BTreeMap<_, BTreeSet<_>> = TABLE
        .iter()
        .map(|(room, below)| (*room, below.split_whitespace().collect()))
        .collect();
    let mut wrong = Vec::new();
    let mut read = 0;
    for file in files(Path::new("src")) {
        let room = room_of(&file);
        let allowed = table
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{} is in no room of the table", file.display()));
        for (line, other) in imports(&fs::read_to_string(&file).unwrap()) {
            read += 1;
            if other != room && !allowed.contains(other.as_str()) {
                wrong.push(format!("{}:{line}: {room} may not import {other}", file.display()));
            }
        }
    }
    assert!(read > 50, "only {read} imports found: the reader is broken");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_way_up() {
    let below: BTreeMap<_, Vec<_>> = TABLE
        .iter()
        .map(|(room, below)| (*room, below.split_whitespace().collect()))
        .collect();
    for (room, _) in TABLE {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&str> = below[room].clone();
        while let Some(next) = todo.pop() {
            assert_ne!(next, *room, "{room} imports itself by way of others");
            if seen.insert(next) {
                todo.extend(&below[next]);
            }
        }
    }
}

/// The files of `src` that may name SIGKILL: the one that sends it, and the one that reads it in a status.
const SIGKILL: [&str; 2] = ["src/process/kill.rs", "src/process/wait_status.rs"];

#[test]
fn every_sigkill_is_sent_from_one_file() {
    let names_it = |file: &PathBuf| code(&fs::read_to_string(file).unwrap()).any(|(_, code)| code.contains("SIGKILL"));
    let found: Vec<_> = files(Path::new("src")).into_iter().filter(names_it).collect();
    assert_eq!(found, SIGKILL.map(PathBuf::from));
}

#[test]
fn the_reader_sees_imports_in_every_form_and_not_in_comments_or_tests() {
    let text = "use crate::abort::Abort;\n//! crate::worker\nlet x = crate::timings::Timings::default();\nuse flamenco_worker::app;\n#[cfg(test)]\nmod tests { use crate::task; }\n";
    let found: Vec<_> = imports(text)
        .into_iter()
        .map(|(line, room)| format!("{line} {room}"))
        .collect();
    assert_eq!(found, ["1 abort", "3 timings", "4 app"]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        if path.is_dir() && !is_test {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `src/worker/awake.rs` is in `worker`, `src/abort.rs` in `abort`.
fn room_of(file: &Path) -> String {
    let first = file.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(first.as_os_str())
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// The lines of a file without comments and tests, each with its number.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// The rooms that a file names, each with its line; its tests may name any.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, code) in code(text) {
        for start in ["crate::", "use flamenco_worker::"] {
            for rest in code.split(start).skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !name.is_empty() {
                    found.push((line, name));
                }
            }
        }
    }
    found
}
