// SPDX-License-Identifier: GPL-3.0-or-later

//! A short run of `bench chaos`: everything goes wrong at random, and nothing may be lost, done twice or left behind.

use std::process::Command;

#[test]
fn a_short_chaos_loses_nothing() {
    let run = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["chaos", "--seed", "1", "--tasks", "40"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout);
    let aside = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{aside}");
    assert!(said.contains("40 tasks completed"), "{said}");
}
