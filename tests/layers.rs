// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds ARCHITECTURE.md and CONTRIBUTING.md against the code: the table of rooms, and every function and type they name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The documents whose references are held against the code.
const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Which rooms a room may import: the table of ARCHITECTURE.md.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(DOCUMENTS[0]).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, room, about, below, _] = cells[..] else {
            return None;
        };
        let room = room.strip_prefix('`')?.strip_suffix('`')?;
        assert!(!about.is_empty(), "nothing is said of {room}");
        Some((room.to_owned(), below.split_whitespace().map(str::to_owned).collect()))
    });
    rows.collect()
}

#[test]
fn imports_are_those_of_the_table() {
    let mut unused = table();
    let table = unused.clone();
    let mut wrong = Vec::new();
    for file in files(Path::new("src")) {
        let room = room_of(&file);
        let allowed = table
            .get(&room)
            .unwrap_or_else(|| panic!("{} is in no room of the table", file.display()));
        for (line, other) in imports(&fs::read_to_string(&file).unwrap()) {
            unused.get_mut(&room).unwrap().remove(&other);
            if other != room && !allowed.contains(&other) {
                wrong.push(format!("{}:{line}: {room} may not import {other}", file.display()));
            }
        }
    }
    let unused = unused.iter().filter(|(_, rooms)| !rooms.is_empty());
    wrong.extend(unused.map(|(room, rooms)| format!("{room} does not import {rooms:?} any more")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_way_up_and_no_room_that_is_gone() {
    let table = table();
    for (room, below) in &table {
        let file = Path::new("src").join(room);
        assert!(
            file.is_dir() || file.with_extension("rs").exists(),
            "there is no {room}"
        );
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&String> = below.iter().collect();
        while let Some(next) = todo.pop() {
            assert_ne!(next, room, "{room} imports itself by way of others");
            if seen.insert(next) {
                todo.extend(&table[next]);
            }
        }
    }
}

#[test]
fn what_the_documents_name_is_there() {
    let mut wrong = Vec::new();
    let mut read = 0;
    for document in DOCUMENTS {
        for (line, file, name) in references(&fs::read_to_string(document).unwrap()) {
            read += 1;
            let path = if file.starts_with("tests/") {
                PathBuf::from(&file)
            } else {
                Path::new("src").join(&file)
            };
            if !fs::read_to_string(path).is_ok_and(|text| defines(&text, &name)) {
                wrong.push(format!("{document}:{line}: {file} has no {name}"));
            }
        }
    }
    assert!(read > 50, "only {read} references found: the reader is broken");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_sees_references_and_what_defines_a_name() {
    let text = "see `worker/mod.rs: run`,\nand `a.rs` or `x: y`; `b.rs: C`";
    let found: Vec<_> = references(text)
        .into_iter()
        .map(|(line, file, name)| format!("{line} {file} {name}"))
        .collect();
    assert_eq!(found, ["1 worker/mod.rs run", "2 b.rs C"]);
    assert!(defines("    pub async fn run(&self) {", "run") && defines("macro_rules! table {", "table"));
    assert!(!defines("fn runs() {}\n// fn run\nlet run = 1;", "run"));
}

#[test]
fn the_reader_sees_imports_in_every_form_and_not_in_comments_or_tests() {
    let text = "use crate::abort::Abort;\nuse crate::{clock, files::read};\n//! crate::worker\nlet x = crate::timings::Timings::default();\nuse flamenco_worker::app;\nuse picture::shrink;\n#[cfg(test)]\nmod tests;\nuse crate::home;\n#[cfg(test)]\nmod other { use crate::task; }\n";
    let found: Vec<_> = imports(text)
        .into_iter()
        .map(|(line, room)| format!("{line} {room}"))
        .collect();
    assert_eq!(
        found,
        [
            "1 abort",
            "2 clock",
            "2 files",
            "4 timings",
            "5 app",
            "6 picture",
            "9 home"
        ]
    );
}

/// The files of `src` that may name SIGKILL: the one that sends it, and the one that reads it in a status.
const SIGKILL: [&str; 2] = ["src/process/kill.rs", "src/process/wait_status.rs"];

#[test]
fn every_sigkill_is_sent_from_one_file() {
    let names_it = |file: &PathBuf| code(&fs::read_to_string(file).unwrap()).any(|(_, code)| code.contains("SIGKILL"));
    let found: Vec<_> = files(Path::new("src")).into_iter().filter(names_it).collect();
    assert_eq!(found, SIGKILL.map(PathBuf::from));
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

/// The lines of a file without comments and tests, each with its number. Tests come last in a file, but for a `mod tests;`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let next = text.lines().skip(1).chain([""]);
    text.lines()
        .zip(next)
        .take_while(|(line, next)| !line.starts_with("#[cfg(test)]") || next.ends_with(';'))
        .map(|(line, _)| line)
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// The rooms that a file names, each with its line; its tests may name any.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, code) in code(text) {
        // A room that is a package.
        if code.starts_with("use picture::") {
            found.push((line, "picture".to_owned()));
        }
        for start in ["crate::", "use flamenco_worker::"] {
            for rest in code.split(start).skip(1) {
                let names = match rest.strip_prefix('{') {
                    Some(group) => group.split('}').next(),
                    None => rest.split([',', ';']).next(),
                };
                for name in names.unwrap_or_default().split(',') {
                    let name = name.trim_start();
                    let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                    found.push((line, name[..end.unwrap_or(name.len())].to_owned()));
                }
            }
        }
    }
    found
}

/// What a text names as `file: name`, each with its line.
fn references(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            if let Some((file, name)) = quoted.split_once(": ")
                && file.ends_with(".rs")
            {
                found.push((index + 1, file.to_owned(), name.to_owned()));
            }
        }
    }
    found
}

/// Whether a source file defines a function, a type, a constant or a macro of this name.
fn defines(text: &str, name: &str) -> bool {
    const KEYWORDS: [&str; 8] = [
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "macro_rules!",
    ];
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .any(|code| {
            let mut words = code
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!'))
                .filter(|word| !word.is_empty());
            std::iter::from_fn(|| words.next().map(str::to_owned))
                .collect::<Vec<_>>()
                .windows(2)
                .any(|pair| KEYWORDS.contains(&pair[0].as_str()) && pair[1] == name)
        })
}
