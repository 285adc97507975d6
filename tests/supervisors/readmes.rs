// SPDX-License-Identifier: GPL-3.0-or-later

//! What the READMEs tell to do, done literally.

use std::process::Command;

use test_needs::{missing, not_root, skipped};

/// Follows one of them; `programs` have to be there.
fn followed(supervisor: &str, programs: &[&str]) {
    if not_root()
        || ["unshare", "awk", "useradd"]
            .iter()
            .chain(programs)
            .any(|program| missing(program))
    {
        return;
    }
    let overlay = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.contains("\toverlay\n") {
        return skipped("the kernel has no overlay file system");
    }
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisors/follow"))
        .args([supervisor, env!("CARGO_BIN_EXE_flamenco-worker")])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn followed_literally_supervisords_makes_a_worker() {
    followed("supervisord", &["supervisord"]);
}

#[test]
fn followed_literally_runits_makes_two_workers() {
    followed("runit", &["runsvdir", "chpst"]);
}

#[test]
fn followed_literally_s6s_makes_two_workers() {
    followed("s6", &["s6-svscan"]);
}

#[test]
fn followed_literally_openrcs_makes_two_workers() {
    followed("openrc", &["supervise-daemon", "setpriv"]);
}
