// SPDX-License-Identifier: GPL-3.0-or-later

//! Every kind of case once, with short pauses: the benchmark works. Its figures are not looked at.

use std::path::Path;
use std::process::Command;

/// The cases, and a row that each must have. `flood` is `paced` without a pace.
const ROWS: [(&str, &str); 11] = [
    ("actions", "running: Restart (after task is finished)"),
    ("work", "new job to its running program"),
    ("cancel", "a tree of 200 processes: cancel to last process dead"),
    ("between", "end of a task's program to the start of the next one's"),
    ("start", "start to first request"),
    ("status", "status of a worker that runs a task"),
    ("reload", "... at any moment of a reload"),
    ("idle", "requests per minute"),
    ("scrape", "... its size"),
    ("paced", "absent Manager: lines in the log"),
    ("many", "Send to Sleep, all at once: the last"),
];

#[test]
fn every_case_measures_something_and_leaves_nothing() {
    let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
    let worker = bench.with_file_name("flamenco-worker");
    if !worker.exists() {
        // Only the whole workspace builds it: `cargo test --workspace`.
        test_needs::skipped_with_remedy("flamenco-worker is not built", "cargo test --workspace");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let run = Command::new(bench)
        .arg("--smoke")
        .args(ROWS.map(|(case, _)| case))
        // Nothing is built in a test.
        .env_remove("CARGO")
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let complained = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}\n{complained}");
    for (case, row) in ROWS {
        assert!(said.contains(&format!("\n{case}: ")), "{case} is not there: {said}");
        let row = said.lines().find(|line| line.starts_with(&format!("| {row}")));
        let figure = row.and_then(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
        assert!(
            figure.is_some_and(|text| text == " all" || text.contains(char::is_numeric)),
            "{case}: {said}"
        );
    }
    assert!(!said.contains("LOST"), "{said}");
    assert_eq!(
        std::fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "files are left"
    );
}
