// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that does not answer, and homes that take no socket.

use std::fs;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{asked, said, status, until_asked};
use test_bed::{Farm, open_files};

#[test]
fn j11_a_stopped_worker_is_said_to_be_and_answers_when_it_goes_on() {
    let (_farm, node) = Farm::with_awake_node();
    until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    node.signal(Signal::SIGSTOP);
    let output = status(&node.home(), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let pid = node.pid();
    let expected = format!("flamenco-worker: worker {pid} is stopped: `kill -CONT {pid}` lets it go on\n");
    assert_eq!(said(&output), expected);
    let seen = asked(&node.home());
    assert_eq!((&seen["state"], &seen["pid"]), (&json!("stuck"), &json!(pid)));
    assert_eq!(seen["activity"], Value::Null);
    node.signal(Signal::SIGCONT);
    until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    node.finish();
}

#[test]
fn j13_a_home_that_takes_no_socket_is_told_by_what_is_in_it() {
    let (farm, mut node) = Farm::with_node();
    fs::create_dir_all(node.home().join("flamenco-worker.socket/in the way")).unwrap();
    farm.start(&mut node);
    node.until("it to be said", || node.log().contains("no socket in the home"));
    let output = status(&node.home(), &[]);
    let begin = format!("worker {} runs and cannot be asked what it does: ", node.pid());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).starts_with(&begin), "{output:?}");
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let seen = asked(&node.home());
    assert_eq!(
        (&seen["state"], &seen["activity"]),
        (&json!("unknown"), &json!("running"))
    );
    assert_eq!((&seen["task"]["id"], &seen["pid"]), (&json!(task), &json!(node.pid())));
    assert!(said(&status(&node.home(), &[])).contains(" runs task and cannot be asked more: "));
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(node.stop(), 0);
    assert_eq!(node.log().matches("no socket in the home").count(), 1);
    assert_eq!(asked(&node.home())["state"], "not running");
    node.nothing_left();
}

#[test]
fn j14_who_connects_and_reads_nothing_keeps_nobody_from_anything() {
    let (farm, node) = Farm::with_awake_node();
    until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    let descriptors = || open_files(node.pid()).len();
    let before = descriptors();
    let socket = node.home().join("flamenco-worker.socket");
    let mut connected: Vec<_> = (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let task = farm.script("true");
    farm.completed(&task);
    assert!(asked(&node.home())["pid"] == json!(node.pid()));
    node.until("each connection to be closed", || descriptors() <= before);
    // One of them asks in a way that nobody does.
    std::io::Write::write_all(&mut connected[0], b"GET / HTTP/1.1\r\n\r\n").ok();
    drop(connected);
    node.finish();
}
