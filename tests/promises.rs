// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds `promises.md` against the tests: every row has a test that bears its id, every such test has a row; and `SECURITY.md`:
//! every row names tests that are there.
//! `cargo test --test promises -- --nocapture` prints the table.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where tests are.
const ROOTS: &[&str] = &["src", "tests", "contrib"];

/// `C3`, ordered by letter and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row(char, u32);

impl Row {
    fn parse(word: &str) -> Option<Self> {
        let letter = word.chars().next().filter(char::is_ascii_alphabetic)?;
        let number = word.get(1..)?.parse().ok()?;
        Some(Self(letter.to_ascii_uppercase(), number))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

#[test]
fn every_promise_is_kept_by_a_test_that_bears_its_id() {
    let rows = rows(&fs::read_to_string("tests/promises.md").unwrap());
    let mut keepers: BTreeMap<Row, Vec<String>> = BTreeMap::new();
    for file in ROOTS.iter().flat_map(|root| sources(Path::new(root))) {
        for test in tests(&fs::read_to_string(&file).unwrap()) {
            for row in rows_of(&test) {
                keepers.entry(row).or_default().push(test.clone());
            }
        }
    }
    for (row, promise) in &rows {
        println!("{row:<4} {promise}");
        for test in keepers.get(row).into_iter().flatten() {
            println!("       {test}");
        }
    }
    let without: Vec<_> = rows.keys().filter(|row| !keepers.contains_key(row)).collect();
    assert!(without.is_empty(), "no test keeps {without:?}");
    let unknown: Vec<_> = keepers.iter().filter(|(row, _)| !rows.contains_key(row)).collect();
    assert!(unknown.is_empty(), "not in promises.md: {unknown:?}");
}

#[test]
fn what_is_said_of_security_is_held_by_tests_that_are_there() {
    let files = ROOTS.iter().flat_map(|root| sources(Path::new(root)));
    let there: BTreeSet<String> = files
        .flat_map(|file| tests(&fs::read_to_string(file).unwrap()))
        .collect();
    // These are made by a macro, a line each.
    let refused = fs::read_to_string("tests/it/sandbox/hostile.rs").unwrap();
    let is_there = |name: &str| there.contains(name) || refused.contains(&format!("\n    {name}: \""));
    let document = fs::read_to_string("SECURITY.md").unwrap();
    let claims: Vec<_> = claims(&document).collect();
    assert!(
        claims.len() > 10,
        "only {} rows found: the reader is broken",
        claims.len()
    );
    for (claim, named) in claims {
        assert!(!named.is_empty(), "no test is named for: {claim}");
        for test in named {
            assert!(
                is_there(test),
                "there is no test {test}, which SECURITY.md names for: {claim}"
            );
        }
    }
}

#[test]
fn the_table_and_the_names_are_read() {
    let table = "| A task cannot | Test |\n| --- | --- |\n| fly | `n1_a`, `n2_b` |\ntext\n| run | none |\n";
    let read: Vec<_> = claims(table).collect();
    assert_eq!(read, [("fly", vec!["n1_a", "n2_b"]), ("run", vec![])]);
    let table = "| id | when | then |\n| --- | --- | --- |\n| C3 | it is back | nothing is fetched |\n";
    let read = rows(table);
    assert_eq!(read.len(), 1);
    assert_eq!(read[&Row('C', 3)], "it is back: nothing is fetched");
    let source = "#[test]\nfn b11_c20_a_test() {\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn d4_other() {\nfn c5_helper() {";
    assert_eq!(tests(source), ["b11_c20_a_test", "d4_other"]);
    assert_eq!(
        rows_of("b11_c20_a_test").collect::<Vec<_>>(),
        [Row('B', 11), Row('C', 20)]
    );
    assert_eq!(rows_of("every_promise_c3").count(), 0);
}

/// Lines like `| C3 | when | then |`.
fn rows(table: &str) -> BTreeMap<Row, String> {
    let cells = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, when, then] = cells.as_slice() else {
            return None;
        };
        Some((Row::parse(id)?, format!("{when}: {then}")))
    });
    cells.collect()
}

/// The rows of all tables of two columns, but for their heads: what is said, and the tests that are named for it.
fn claims(document: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    document.lines().filter_map(|line| {
        let [claim, named] = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .split(" | ")
            .collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let is_row = named != "Test" && !claim.starts_with("---");
        is_row.then(|| (claim, named.split('`').skip(1).step_by(2).collect()))
    })
}

/// The names of functions below a `#[test]` or a `#[...::test(...)]`.
fn tests(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || (line.starts_with("#[") && line.contains("::test")) {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//"))
            && std::mem::take(&mut marked)
        {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
        }
    }
    found
}

/// The ids at the front of a test's name.
fn rows_of(test: &str) -> impl Iterator<Item = Row> {
    test.split('_').map_while(Row::parse)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}
