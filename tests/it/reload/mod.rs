// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that becomes its successor while it has something to do: what runs does not notice, the Manager hears what it is
//! to hear and nothing else, and nothing is left of what was before.

mod changes;
mod configuration;
mod disk;
mod heard;
mod kills;
mod orders;
mod renders;
mod states;
mod stops;
mod successors;
mod takers;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use standin_manager::{Endpoint, TaskStatus};
use test_bed::{Farm, Node, file, number, start_as, until};

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// What a successor says first.
const TAKES_OVER: &str = "taking over from the worker that this process was";

/// A script that has said so, and ends when it may.
const WAITS: &str = "echo $$ > pid; echo running; until [ -e go ]; do sleep 0.02; done; echo done";

/// `flamenco-worker reload` under way.
fn asking(home: &Path) -> Child {
    Command::new(WORKER)
        .arg("reload")
        .current_dir("/")
        .env("FLAMENCO_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Its exit code, and what it has said.
fn answer(asking: Child) -> (i32, String) {
    let output = asking.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn reload(node: &Node) -> (i32, String) {
    answer(asking(&node.home()))
}

/// Reloads a worker, which can do so at once.
fn reloaded(node: &Node) {
    let pid = node.pid();
    let (code, said) = reload(node);
    let start = format!("worker {pid} goes on as flamenco-worker ");
    assert!(code == 0 && said.starts_with(&start), "{code} {said}\n{}", node.log());
}

/// Asks for a reload that nothing comes of, and says why.
fn refused(node: &Node) -> String {
    let (code, said) = reload(node);
    assert_eq!(code, 1, "{said}\n{}", node.log());
    let start = format!("flamenco-worker: worker {} goes on as it was: ", node.pid());
    assert!(said.starts_with(&start), "{said}");
    said[start.len()..].trim_end().to_owned()
}

/// How many successors there were.
fn takeovers(node: &Node) -> usize {
    node.log().matches(TAKES_OVER).count()
}

/// Sends a SIGHUP, and waits for the successor.
fn hang_up(node: &Node) {
    let before = takeovers(node);
    node.signal(Signal::SIGHUP);
    node.until("a successor", || takeovers(node) > before);
}

/// Lets the scripts go on that wait for it.
fn go(node: &Node) {
    fs::write(node.folder.join("go"), "").unwrap();
}

/// The pid that a script has noted.
fn program(node: &Node) -> i32 {
    number(&node.folder.join("pid"))
}

/// What a program has printed, as the Manager has it.
fn printed(farm: &Farm, task: &str) -> Vec<String> {
    let log = farm.log(task);
    let lines = log.lines().filter(|line| line.starts_with("pid="));
    let lines = lines.filter_map(|line| line.split_once(" > "));
    lines.map(|(_, text)| text.to_owned()).collect()
}

/// The task was run once, from its start to its end.
fn ran_once(farm: &Farm, task: &str) {
    farm.completed(task);
    assert_eq!(farm.outcomes(task), ["completed"]);
    let log = farm.log(task);
    assert_eq!(log.matches("going to run:").count(), 1, "{log}");
}

/// How often the Manager was told that this worker comes, and goes.
fn introductions(farm: &Farm) -> (usize, usize) {
    (
        farm.requests(Endpoint::SignOn).len(),
        farm.requests(Endpoint::SignOff).len(),
    )
}

/// The worker as it says itself.
fn status(node: &Node) -> Value {
    let output = crate::status::status(&node.home(), &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Waits until the worker says so of itself.
fn is(node: &Node, key: &str, value: &str) {
    until(
        &format!("{key} to be {value}"),
        || (status(node)[key] == value).then_some(()),
        || format!("{}\n{}", status(node), node.log()),
    );
}

/// A node whose worker is a program of its own, which can be replaced.
struct OwnProgram {
    farm: Farm,
    node: Node,
    path: PathBuf,
}

impl OwnProgram {
    /// With a worker that is awake.
    fn awake(timings: &[(&'static str, &'static str)]) -> Self {
        let (farm, mut node) = Farm::with_node();
        node.config.timings.extend(timings);
        let path = node.folder.join("flamenco-worker");
        install(Path::new(WORKER), &path);
        start_as(&mut node, &[path.clone().into()]);
        farm.awake();
        Self { farm, node, path }
    }

    /// With a task that runs.
    fn running(script: &str) -> (Self, String) {
        let own = Self::awake(&[]);
        let task = own.farm.running(script);
        (own, task)
    }

    /// By one that can take over, as it says, and does so by `script`.
    fn replace_by_one_that_takes_over_as(&self, script: &str) {
        let script = format!("#!/bin/sh\n[ \"$1\" = __flamenco-successor ] && exec {WORKER:?} \"$@\"\n{script}\n");
        self.replace(script.as_bytes(), 0o755);
    }

    /// As packages do it: under another name, then over it.
    fn replace(&self, with: &[u8], mode: u32) {
        let new = self.path.with_extension("new");
        fs::write(&new, with).unwrap();
        fs::set_permissions(&new, PermissionsExt::from_mode(mode)).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    /// By the real one.
    fn restore(&self) {
        let new = self.path.with_extension("new");
        install(Path::new(WORKER), &new);
        fs::rename(new, &self.path).unwrap();
    }
}

/// One more name of a program, or a copy where that is another file system.
fn install(program: &Path, at: &Path) {
    if fs::hard_link(program, at).is_err() {
        fs::copy(program, at).unwrap();
    }
}

/// Whether a task waits to be run.
fn is_queued(farm: &Farm, task: &str) -> bool {
    farm.manager.task(task).unwrap().status == TaskStatus::Queued
}

/// A file that a script writes whole.
fn noted(node: &Node, name: &str) -> String {
    file(&node.folder.join(name)).trim().to_owned()
}
