// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds what is linked into the program against `deny.toml`: licences, bans and sources.

#![expect(clippy::disallowed_methods, reason = "cargo-deny is a program")]

use std::process::Command;

#[test]
fn what_is_linked_has_a_licence_and_a_source_that_deny_toml_allows() {
    if test_needs::missing("cargo-deny") {
        return;
    }
    let words = ["--color=never", "check", "licenses", "bans", "sources"];
    let run = Command::new("cargo-deny").args(words).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
