// SPDX-License-Identifier: GPL-3.0-or-later

//! A short soak: the long one is `cargo run --release -p bench -- soak`.

use std::io::Write;
use std::process::Command;

#[test]
fn a5_a17_m4_trees_of_random_shape_are_paused_and_ended_at_random_moments_and_nothing_survives() {
    let soak = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["soak", "100"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&soak.stdout).into_owned();
    // Seed and totals, past the capture of the test runner.
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(soak.status.success(), "{said}{}", String::from_utf8_lossy(&soak.stderr));
}
