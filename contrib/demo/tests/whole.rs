// SPDX-License-Identifier: GPL-3.0-or-later

//! The demonstration from beginning to end, with its own renderer and the worker that was built beside it.

#![expect(clippy::disallowed_methods, reason = "the demonstration is a program")]

use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn the_demonstration_renders_walks_through_the_actions_and_leaves_nothing_but_pictures() {
    let demo = Path::new(env!("CARGO_BIN_EXE_demo"));
    let worker = demo.with_file_name("flamenco-worker");
    if !worker.exists() {
        // Only the whole workspace builds it: `cargo test --workspace`.
        writeln!(
            std::io::stderr(),
            "SKIPPED: the demonstration: {} is not built",
            worker.display()
        )
        .unwrap();
        return;
    }
    let output = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let run = Command::new(demo)
        .arg("--output")
        .arg(output.path())
        .env("FLAMENCO_DEMO_WORKER", &worker)
        .env("PATH", empty.path())
        .env("TMPDIR", empty.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let log = std::fs::read_to_string(output.path().join("worker.log")).unwrap_or_default();
    assert!(
        run.status.success(),
        "{said}\n{}\n{log}",
        String::from_utf8_lossy(&run.stderr)
    );
    for step in ["Restart", "Send to Sleep", "Wake Up", "Shut Down"] {
        assert!(said.contains(step), "{step} is not shown: {said}");
    }
    let pictures = std::fs::read_dir(output.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "png"));
    assert!(pictures.count() >= 6, "{said}");
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "temporary files are left"
    );
}
