// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds what is linked into the program against `deny.toml`: licences, bans and sources. `cargo deny` does this and more
//! where it is installed; this needs nothing but cargo.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "cargo is a program")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

struct Rules {
    licences: Vec<String>,
    banned: Vec<String>,
    registries: Vec<String>,
}

impl Rules {
    fn read() -> Self {
        let text = std::fs::read_to_string("deny.toml").unwrap();
        let rules: toml::Table = text.parse().unwrap();
        let texts = |table: &str, key: &str| -> Vec<String> {
            let list = rules[table][key].as_array().unwrap().iter();
            list.map(|entry| entry.get("name").unwrap_or(entry).as_str().unwrap().to_owned())
                .collect()
        };
        Self {
            licences: texts("licenses", "allow"),
            banned: texts("bans", "deny"),
            registries: texts("sources", "allow-registry"),
        }
    }

    /// What is wrong with a package of `cargo metadata`.
    fn complaint(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        let source = package["source"].as_str();
        let known = |source: &str| {
            self.registries
                .iter()
                .any(|known| source == format!("registry+{known}"))
        };
        if self.banned.iter().any(|banned| banned == name) {
            Some(format!("{name} is banned"))
        } else if !allowed(licence, &self.licences) {
            Some(format!("{name}: its licence, {licence}, is not on the list"))
        } else if !source.is_none_or(known) {
            Some(format!("{name} comes from {source:?}"))
        } else {
            None
        }
    }
}

/// Whether a licence expression (SPDX, or the slash of old) can be met with these.
fn allowed(expression: &str, licences: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, licences) && rest.is_empty()
}

fn either(words: &mut &[&str], licences: &[String]) -> bool {
    let mut one = both(words, licences);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        one |= both(words, licences);
    }
    one
}

fn both(words: &mut &[&str], licences: &[String]) -> bool {
    let mut all = single(words, licences);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        all &= single(words, licences);
    }
    all
}

fn single(words: &mut &[&str], licences: &[String]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let inner = either(words, licences);
            *words = words.strip_prefix(&[")"]).unwrap_or_default();
            inner
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            licences.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            licences.iter().any(|known| known == licence)
        }
        [] => false,
    }
}

/// The packages that are linked into the program, on any target of Linux.
fn linked() -> Vec<Value> {
    let cargo = |words: &[&str]| {
        let output = Command::new(env!("CARGO")).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let linux = "--target=x86_64-unknown-linux-gnu";
    let tree = [
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
        linux,
    ];
    let tree = cargo(&tree);
    let names: BTreeSet<String> = tree
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version=1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let id = |package: &Value| {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        format!("{} v{}", text("name"), text("version"))
    };
    packages
        .filter(|package| names.contains(&id(package)))
        .cloned()
        .collect()
}

#[test]
fn what_is_linked_has_a_licence_and_a_source_that_deny_toml_allows() {
    let rules = Rules::read();
    let packages = linked();
    assert!(
        packages.len() > 50,
        "only {} packages: they are not found",
        packages.len()
    );
    let complaints: Vec<_> = packages.iter().filter_map(|package| rules.complaint(package)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn an_expression_is_met_by_one_side_of_or_and_by_both_of_and() {
    let licences = ["MIT", "Apache-2.0", "BSD-3-Clause"].map(str::to_owned);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-2.0-only", false),
        ("GPL-2.0-only OR MIT", true),
        ("MIT AND GPL-2.0-only", false),
        ("(Apache-2.0 OR GPL-2.0-only) AND BSD-3-Clause", true),
        ("(GPL-2.0-only OR CC0-1.0) AND MIT", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("Unlicense/MIT", true),
        ("", false),
        ("MIT )", false),
    ] {
        assert_eq!(allowed(expression, &licences), met, "{expression}");
    }
}
