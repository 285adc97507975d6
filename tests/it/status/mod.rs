// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker status`, beside a real worker.

mod killed;
mod unwell;
mod watched;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use standin_manager::{CommandSpec, JobSpec, TaskSpec, When, WorkerStatus};

use test_bed::{Farm, Node, as_user, own_user, start_as, until};

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// The command that asks for the status of the worker in `home`, elsewhere than that one works.
fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(WORKER);
    command
        .arg("status")
        .args(words)
        .current_dir("/")
        .env("FLAMENCO_HOME", home);
    command
}

pub(crate) fn status(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().unwrap()
}

/// The object for programs.
fn asked(home: &Path) -> Value {
    let output = status(home, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub(crate) fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// Waits until the object for programs is as `fact` wants it.
pub(crate) fn until_asked(node: &Node, what: &str, fact: impl Fn(&Value) -> bool) -> Value {
    let fits = || Some(asked(&node.home())).filter(|seen| fact(seen));
    until(what, fits, || format!("{}\n{}", asked(&node.home()), node.log()))
}

/// What renders two frames, each when its file is there, as Blender says it.
const RENDERER: &str = r#"#!/bin/bash
for frame in 1 2; do
    until [ -e "$1/frame$frame" ]; do sleep 0.02; done
    echo "Saved: '$1/x000$frame.png'"
    echo " Time: 00:00.01 (Saving: 00:00.00)"
done
until [ -e "$1/end" ]; do sleep 0.02; done
"#;

/// A task that renders two of three frames, and ends when it may.
fn render(farm: &Farm, node: &Node) -> String {
    let renderer = node.folder.join("renderer");
    fs::write(&renderer, RENDERER).unwrap();
    fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
    let parameters = json!({ "exe": renderer, "exeArgs": "", "blendfile": node.folder, "args": ["-f", "1..3"] });
    let command = CommandSpec::new("blender-render", parameters).steps(3);
    let task = TaskSpec::new("shot\n010").kind("blender").command(command);
    farm.job(JobSpec::new("job").task(task)).remove(0)
}

#[test]
fn an_idle_worker_says_who_it_is_and_one_that_sleeps_why() {
    let (farm, mut node) = Farm::with_awake_node();
    let home = node.home();
    let idle = until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    assert_eq!((&idle["state"], &idle["task"]), (&json!("awake"), &Value::Null));
    assert_eq!((&idle["pid"], &idle["name"]), (&json!(node.pid()), &json!("node")));
    assert_eq!(idle["home"], json!(home));
    assert_eq!(idle["manager"], json!(node.url));
    assert!(
        idle["version"].as_str().unwrap().starts_with("0.1.0 (commit "),
        "{idle}"
    );
    for time in ["time", "started", "last_contact"] {
        let time = idle[time].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{idle}");
    }
    let line = said(&status(&home, &[]));
    let begin = format!("node (pid {}, 0.1.0): idle, no task yet; Manager answered ", node.pid());
    assert!(line.starts_with(&begin) && line.ends_with(" s ago\n"), "{line}");
    farm.ask(WorkerStatus::Asleep, When::Now);
    let asleep = until_asked(&node, "a worker that sleeps", |seen| seen["state"] == "asleep");
    assert_eq!(asleep["why"], "asked by the Manager");
    assert!(said(&status(&home, &[])).contains(": asleep: asked by the Manager; Manager"));
    assert_eq!(node.stop(), 0);
    let keys = |seen: &Value| seen.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&asked(&home)), keys(&idle), "whether a worker runs or not");
    node.nothing_left();
}

#[test]
fn a_task_is_told_with_each_of_its_frames_until_it_is_over() {
    let (farm, node) = Farm::with_awake_node();
    let task = render(&farm, &node);
    let frame = |number| move |seen: &Value| seen["task"]["done"] == json!(number);
    let first = until_asked(&node, "the first frame", frame(0));
    assert_eq!(
        (&first["activity"], &first["task"]["unit"]),
        (&json!("running"), &json!("frame"))
    );
    assert_eq!((&first["task"]["id"], &first["task"]["of"]), (&json!(task), &json!(3)));
    assert_eq!(first["task"]["mean_seconds"], Value::Null);
    for number in [1, 2] {
        fs::write(node.folder.join(format!("frame{number}")), "").unwrap();
        let seen = until_asked(&node, "the next frame", frame(number));
        // The first took the start of the program, too.
        assert_eq!(seen["task"]["mean_seconds"].is_number(), number == 2, "{seen}");
        assert_eq!(seen["task"]["expected_end"].is_string(), number == 2, "{seen}");
        assert_eq!(seen["task"]["since"], first["task"]["since"]);
    }
    let line = said(&status(&node.home(), &[]));
    // What comes from elsewhere stays in its line.
    assert!(
        line.contains("rendering frame 3 of 3 of shot\\n010, ") && line.contains(" left; Manager"),
        "{line}"
    );
    fs::write(node.folder.join("end"), "").unwrap();
    farm.completed(&task);
    let after = until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    assert!(
        after["last_task_ended"].is_string() && after["task"].is_null(),
        "{after}"
    );
    node.finish();
}

#[test]
fn a_manager_that_is_away_and_what_waits_for_it_are_said() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    farm.manager.stop();
    fs::write(node.folder.join("go"), "").unwrap();
    // A script runs where the worker was started.
    let waits = until_asked(&node, "an update that waits", |seen| {
        seen["updates_waiting"] == json!(1)
    });
    let trouble = until_asked(&node, "a trouble", |seen| seen["trouble"].is_string());
    assert!(trouble["trouble"].as_str().unwrap().contains(&node.url), "{trouble}");
    assert!(waits["last_contact"].is_string());
    let line = said(&status(&node.home(), &[]));
    assert!(line.contains(", 1 update waiting; no answer from http://"), "{line}");
    assert_eq!(node.stop(), 0);
    node.nothing_left();
}

#[test]
fn j10_where_no_worker_runs_that_is_said_and_a_code_of_its_own_says_it_too() {
    let (_farm, mut node) = Farm::with_awake_node();
    let socket = node.home().join("flamenco-worker.socket");
    until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    assert!(socket.exists());
    // One that is killed leaves its socket, the next one takes its place, and one that ends well removes it.
    node.kill();
    assert!(socket.exists());
    not_running(&node.home());
    node.start();
    until_asked(&node, "an idle worker", |seen| seen["activity"] == "idle");
    assert_eq!(node.stop(), 0);
    assert!(!socket.exists());
    not_running(&node.home());
    not_running(&node.home().join("nowhere"));
    node.nothing_left();
}

fn not_running(home: &Path) {
    let output = status(home, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    let expected = format!("flamenco-worker: no worker runs in the home {}\n", home.display());
    assert_eq!(said(&output), expected);
    let output = status(home, &["--json"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(3), 0), "{output:?}");
    assert_eq!(asked(home)["state"], "not running");
}

#[test]
fn j10_homes_of_any_depth_beside_each_other_are_told_apart() {
    let (farm, mut deep) = Farm::with_node();
    let home = deep.folder.join("deep".repeat(50)).join("er".repeat(100));
    deep.environment.push(("FLAMENCO_HOME".into(), home.clone().into()));
    farm.start(&mut deep);
    let mut other = farm.node("other");
    other.start();
    let pid = |home: &Path| {
        let seen = asked(home);
        // What the lock says would be no answer.
        (seen["state"] == "awake").then(|| seen["pid"].clone())
    };
    other.until("both to answer", || {
        pid(&other.home()) == Some(json!(other.pid())) && pid(&home) == Some(json!(deep.pid()))
    });
    assert_eq!(deep.stop(), 0);
    not_running(&home);
    assert_eq!(pid(&other.home()), Some(json!(other.pid())));
    other.finish();
}

#[test]
fn j10_another_users_worker_does_not_answer_and_is_not_taken_for_none() {
    let (farm, mut node) = Farm::with_node();
    let Some(owner) = own_user(&farm, &node) else { return };
    let mut words: Vec<_> = as_user(owner).into_iter().map(Into::into).collect();
    words.push(WORKER.into());
    start_as(&mut node, &words);
    farm.awake();
    let ask = |user: u32| {
        let words = as_user(user);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args([WORKER, "status"]).current_dir("/");
        command
            .env("FLAMENCO_HOME", node.home())
            .env("HOME", "/")
            .output()
            .unwrap()
    };
    let ours = |output: &Output| said(output).contains("): idle");
    node.until("its user to be answered", || ours(&ask(owner)));
    assert!(ours(&status(&node.home(), &[])), "root may ask");
    for mode in [0o700, 0o755] {
        fs::set_permissions(node.home(), PermissionsExt::from_mode(mode)).unwrap();
        let output = ask(owner + 1);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            said(&output).contains("is another user's: turn to its worker as that user"),
            "{output:?}"
        );
    }
    node.finish();
}
