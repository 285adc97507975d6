// SPDX-License-Identifier: GPL-3.0-or-later

//! Tells the program which commit it was built from, when that commit was made and for which target.
//! Where git is not there (a source archive) the words are `unknown`; a packager can set
//! `FLAMENCO_WORKER_COMMIT` and `FLAMENCO_WORKER_DATE` instead.

#![expect(clippy::disallowed_methods, reason = "a build script runs git")]

use std::path::Path;
use std::process::Command;

fn main() {
    let commit = word("FLAMENCO_WORKER_COMMIT", &["rev-parse", "--short=8", "HEAD"]);
    let date = word("FLAMENCO_WORKER_DATE", &["show", "-s", "--format=%cs", "HEAD"]);
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".into());
    println!("cargo::rustc-env=FLAMENCO_WORKER_COMMIT={commit}");
    println!("cargo::rustc-env=FLAMENCO_WORKER_DATE={date}");
    println!("cargo::rustc-env=FLAMENCO_WORKER_TARGET={target}");
    println!("cargo::rerun-if-changed=packaging/build.rs");
    // The reflog grows with each commit and each checkout; naming a file that is not there would
    // rebuild the crate each time.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/logs/HEAD");
    }
}

fn word(variable: &str, arguments: &[&str]) -> String {
    println!("cargo::rerun-if-env-changed={variable}");
    if let Ok(given) = std::env::var(variable) {
        return given;
    }
    Command::new("git")
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".into(), |text| text.trim().to_owned())
}
