// SPDX-License-Identifier: GPL-3.0-or-later

//! What Flamenco's own worker did not deliver: noticed, counted and said.

use std::fs;
use std::path::Path;
use std::process::Command;

use test_bed::Farm;

/// Has SQLite do this in the file of updates that Flamenco's own worker has in a home.
fn sqlite(home: &Path, statements: &str) {
    fs::create_dir_all(home).unwrap();
    let file = home.join("flamenco-worker.sqlite");
    let done = Command::new("sqlite3")
        .args(["-bail", "-batch"])
        .arg(&file)
        .arg(statements)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS goose (id integer); CREATE TABLE IF NOT EXISTS task_updates \
                     (id integer NOT NULL, created_at datetime NOT NULL, task_id varchar(36) DEFAULT '' NOT NULL, \
                     payload BLOB NOT NULL, PRIMARY KEY (id));";

/// So many updates, with large payloads among them.
fn updates(number: u32) -> String {
    format!(
        "{TABLE} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) INSERT INTO task_updates \
         SELECT i, '2026-11-30', 'task', randomblob(i * 37 % 9000 + 1) FROM n;"
    )
}

#[test]
fn j8_updates_that_the_go_worker_did_not_deliver_are_counted_and_said_with_what_to_do() {
    if test_needs::missing("sqlite3") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    sqlite(&node.home(), TABLE);
    farm.start(&mut node);
    assert_eq!(node.stop(), 0);
    assert!(!node.log().contains("Flamenco's own worker"), "{}", node.log());
    // As a clean end leaves them.
    sqlite(&node.home(), &updates(1234));
    farm.start(&mut node);
    let said = node.log();
    assert!(
        said.contains("updates=1234") && said.contains("run that one once with -flush"),
        "{said}"
    );
    assert_eq!(node.stop(), 0);
    let told = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .args(["-manager", &node.url, "doctor", "-json"])
        .env("FLAMENCO_HOME", node.home())
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("1234 updates that Flamenco's own worker did not deliver"),
        "{told}"
    );
    // As a kill leaves them: what is new is in the log beside the file, of which more is written than was committed.
    fs::remove_file(node.home().join("flamenco-worker.sqlite")).unwrap();
    let kept = node.folder.join("kept").display().to_string();
    let file = node.home().join("flamenco-worker.sqlite").display().to_string();
    let copy = format!("cp {file} {kept}; cp {file}-wal {kept}-wal");
    let script = format!(
        "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=2; {TABLE} PRAGMA wal_checkpoint; {} \
         DELETE FROM task_updates WHERE id <= 34; BEGIN; DELETE FROM task_updates;\n.shell {copy}\nROLLBACK;",
        updates(1234)
    );
    fs::write(node.folder.join("script"), script).unwrap();
    sqlite(&node.home(), &format!(".read {}", node.folder.join("script").display()));
    for (from, to) in [("kept", ""), ("kept-wal", "-wal")] {
        fs::rename(node.folder.join(from), format!("{file}{to}")).unwrap();
    }
    farm.start(&mut node);
    assert!(node.log().contains("updates=1200"), "{}", node.log());
    node.finish();
}
