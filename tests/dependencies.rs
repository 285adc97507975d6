// SPDX-License-Identifier: GPL-3.0-or-later

//! Holds what is linked into the program against `deny.toml`: licences, bans and sources; and what it takes of
//! glibc against the one that is promised.

#![expect(clippy::disallowed_methods, reason = "cargo-deny and readelf are programs")]

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

/// What has had another version before the one that a newer glibc links: their floor is that of its beginning.
const OLDER_THAN_THEY_LOOK: [&str; 24] = [
    "__libc_start_main",
    "dlsym",
    "exp2f",
    "fstat",
    "fstat64",
    "fstatat",
    "fstatat64",
    "lstat",
    "lstat64",
    "pow",
    "powf",
    "pthread_attr_getguardsize",
    "pthread_attr_getstack",
    "pthread_attr_setstacksize",
    "pthread_create",
    "pthread_detach",
    "pthread_getattr_np",
    "pthread_join",
    "pthread_key_create",
    "pthread_key_delete",
    "pthread_setname_np",
    "pthread_setspecific",
    "pthread_sigmask",
    "stat64",
];

/// A package is linked for minutes, and seldom. What would keep it from that is seen here.
#[test]
fn what_is_linked_is_in_the_glibc_that_is_promised() {
    if test_needs::missing("readelf") {
        return;
    }
    let packing = include_str!("../packaging/build");
    let floor = packing.lines().find_map(|line| line.strip_prefix("FLOOR=2.")).unwrap();
    let floor: u32 = floor.parse().unwrap();
    let words = ["--dyn-syms", "--wide", env!("CARGO_BIN_EXE_flamenco-worker")];
    let run = Command::new("readelf").args(words).output().unwrap();
    let table = String::from_utf8(run.stdout).unwrap();
    // `5: 0000000000000000 0 FUNC GLOBAL DEFAULT UND poll@GLIBC_2.2.5 (4)`; what is weak may be missing.
    let needed: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(4) == Some(&"GLOBAL"))
        .filter_map(|words| words.get(7)?.split_once("@GLIBC_2."))
        .collect();
    assert!(needed.len() > 50, "{table}");
    let newer: Vec<_> = needed
        .into_iter()
        .filter(|(name, since)| {
            let since = since.split('.').next().and_then(|since| since.parse::<u32>().ok());
            since > Some(floor) && !OLDER_THAN_THEY_LOOK.contains(name)
        })
        .collect();
    assert!(newer.is_empty(), "later than glibc 2.{floor}: {newer:?}");
}
