// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs and configurations that cannot take over. The worker stays what it is, and says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{OwnProgram, WAITS, WORKER, go, introductions, program, ran_once, refused, reloaded, takeovers};
use test_bed::{Farm, lives, logged, start_through};

/// A script for a shell.
fn shell(script: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{script}\n").into_bytes()
}

/// The head of a program for a machine that hardly anybody has.
fn foreign() -> Vec<u8> {
    let mut program = fs::read(WORKER).unwrap();
    program.truncate(4096);
    // e_machine: Motorola 68000.
    program[18..20].copy_from_slice(&4_u16.to_le_bytes());
    program
}

#[test]
fn l4_a_program_that_cannot_take_over_does_not_and_the_render_goes_on() {
    let (own, task) = OwnProgram::running(WAITS);
    let node = &own.node;
    let before = (node.pid(), node.children(), program(node));
    let cases: [(&[u8], u32, &str); 7] = [
        (&shell("echo of no use >&2; exit 1"), 0o755, "of no use"),
        (
            &shell("kill -SEGV $$"),
            0o755,
            "was killed by SIGSEGV as soon as it was started",
        ),
        (
            &shell("kill -9 $PPID; exec sleep 1000"),
            0o755,
            "ended without a word|it died before the program ran",
        ),
        (&shell("exec true"), 0o755, "is no worker that can take over"),
        (&fs::read(WORKER).unwrap(), 0o644, "cannot be run: Permission denied"),
        (&foreign(), 0o755, "cannot be run: Exec format error"),
        (b"no program at all\n", 0o755, "cannot be run: Exec format error"),
    ];
    for (bytes, mode, why) in cases {
        own.replace(bytes, mode);
        let said = refused(node);
        assert!(why.split('|').any(|why| said.contains(why)), "{said}, not {why}");
        logged(
            node,
            &format!("everything stays as it was: {}", said.lines().next().unwrap()),
        );
    }
    fs::remove_file(&own.path).unwrap();
    assert!(refused(node).contains("cannot be run: No such file"));
    fs::create_dir(&own.path).unwrap();
    assert!(refused(node).contains("cannot be run: "));
    fs::remove_dir(&own.path).unwrap();
    node.until("nobody else to be there", || node.children() == before.1);
    assert_eq!((node.pid(), node.children(), program(node)), before);
    assert_eq!(takeovers(node), 0);
    own.restore();
    reloaded(node);
    assert!(lives(before.2));
    go(node);
    ran_once(&own.farm, &task);
    own.node.finish();
}

/// Waits for as long as it may take to answer.
#[test]
fn l4_a_program_that_does_not_answer_is_given_up_and_leaves_nothing() {
    let (own, task) = OwnProgram::running(WAITS);
    own.replace(
        &shell("trap '' TERM; setsid sleep 1000 & while :; do sleep 1000; done"),
        0o755,
    );
    let (code, said) = super::reload(&own.node);
    assert!(code == 1 && said.contains("has not answered within"), "{code} {said}");
    own.node.until("one guard alone", || own.node.children().len() == 1);
    go(&own.node);
    ran_once(&own.farm, &task);
    own.node.finish();
}

#[test]
fn l4_a_configuration_that_cannot_be_used_is_refused_with_its_place() {
    let (farm, mut node) = Farm::with_node();
    let home = node.home();
    node.config.top = vec![format!("home = {home:?}")];
    start_through(&mut node, ["env", "-u", "FLAMENCO_HOME"]);
    farm.awake();
    let task = farm.running(WAITS);
    let pid = program(&node);
    let cases = [
        ("nice = 50", "flamenco-worker.toml:2:8: `nice` must be between"),
        ("nice = ", "flamenco-worker.toml:2:"),
        ("no_such_key = 1", "flamenco-worker.toml:2:1"),
    ];
    for (line, why) in cases {
        node.config.top = vec![format!("home = {home:?}"), line.to_owned()];
        node.write_config();
        let said = refused(&node);
        assert!(said.contains(why), "{said}, not {why}");
    }
    let other = node.folder.join("other");
    node.config.top = vec![format!("home = {other:?}")];
    node.write_config();
    let said = refused(&node);
    assert!(
        said.contains(&format!("the home would be {}", other.display())),
        "{said}"
    );
    assert!(!other.exists() && lives(pid));
    node.config.top = vec![format!("home = {home:?}")];
    node.write_config();
    reloaded(&node);
    go(&node);
    ran_once(&farm, &task);
    assert_eq!((takeovers(&node), introductions(&farm)), (1, (1, 0)));
    node.finish();
}

/// The kernel takes it, but not when it matters.
#[test]
fn l4_one_that_cannot_be_executed_in_the_end_leaves_the_worker_what_it_is() {
    let (own, task) = OwnProgram::running(WAITS);
    let before = (own.node.children(), program(&own.node));
    let mute = format!("[ \"$1\" = __flamenco-successor ] && chmod 644 \"$0\"; exec {WORKER:?} \"$@\"");
    for _ in 0..2 {
        own.replace(&shell(&mute), 0o755);
        assert!(refused(&own.node).contains("cannot be executed: Permission denied"));
        assert_eq!(mode(&own.path), 0o644);
        logged(&own.node, "this process goes on as it was");
    }
    assert_eq!((own.node.children(), program(&own.node)), before);
    own.restore();
    reloaded(&own.node);
    go(&own.node);
    ran_once(&own.farm, &task);
    assert_eq!(introductions(&own.farm), (1, 0));
    own.node.childless();
    own.node.finish();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
