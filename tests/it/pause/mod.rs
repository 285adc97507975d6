// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker pause` and `resume`: an idle worker takes no task, and one that runs stands still, goes back, or is the
//! last one.

mod endings;
mod idle;
mod still;

use std::process::Command;

use serde_json::Value;
use standin_manager::TaskStatus;
use test_bed::{Farm, Node, number, until};

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// A script that notes its process, and works until it may end.
const WORKS: &str = "echo $$ > pid; echo running; until [ -e go ]; do sleep 0.02; done; echo done";

/// Runs a command for the worker of this node: its exit code, and what it has said.
fn command(node: &Node, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(WORKER);
    command
        .args(words)
        .current_dir("/")
        .env("FLAMENCO_HOME", node.home())
        .env("TZ", "UTC");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// What the worker has answered, which is to do that.
fn told(node: &Node, words: &[&str]) -> String {
    let (code, said) = command(node, words);
    assert_eq!(code, 0, "{said}\n{}", node.log());
    let said = said.trim_end();
    let start = format!("worker {} ", node.pid());
    said.strip_prefix(&start).unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn pause(node: &Node) {
    told(node, &["pause"]);
}

fn resume(node: &Node) {
    assert_eq!(told(node, &["resume"]), "goes on");
}

/// A farm whose node has these settings of `[presence]`, and runs this script.
fn running(presence: &str, script: &str) -> (Farm, Node, String) {
    let (farm, mut node) = Farm::with_node();
    node.config.top.push(format!("[presence]\n{presence}"));
    farm.start(&mut node);
    let task = farm.running(script);
    (farm, node, task)
}

/// Lets the scripts go on that wait for it.
fn go(node: &Node) {
    std::fs::write(node.folder.join("go"), "").unwrap();
}

/// The process that a script has noted.
fn program(node: &Node) -> i32 {
    number(&node.folder.join("pid"))
}

/// Whether a signal has stopped it.
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// Waits until it stands still.
fn stands_still(node: &Node) {
    let pid = program(node);
    node.until("the program to stand still", || is_stopped(pid));
}

/// The worker as it says itself.
fn status(node: &Node) -> Value {
    let output = crate::status::status(&node.home(), &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Waits until the worker says so of itself.
fn is(node: &Node, pointer: &str, value: &str) {
    until(
        &format!("{pointer} to be {value}"),
        || (status(node).pointer(pointer)? == value).then_some(()),
        || format!("{}\n{}", status(node), node.log()),
    );
}

fn is_queued(farm: &Farm, task: &str) -> bool {
    farm.manager.task(task).unwrap().status == TaskStatus::Queued
}

/// The task was run once, from its start to its end.
fn ran_once(farm: &Farm, task: &str) {
    farm.completed(task);
    assert_eq!(farm.outcomes(task), ["completed"]);
    let log = farm.log(task);
    assert_eq!(log.matches("going to run:").count(), 1, "{log}");
}
