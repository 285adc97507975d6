// SPDX-License-Identifier: GPL-3.0-or-later

//! The history: what ran here, looked at beside a living worker and after it, without a Manager.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use test_bed::{Farm, Node, bash, exec, logged, until};

/// Runs `flamenco-worker history` for a node; its exit code, stdout and stderr.
pub(crate) fn history(node: &Node, arguments: &[&str]) -> (i32, String, String) {
    let output = command(node, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn command(node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"));
    command
        .arg("history")
        .args(arguments)
        .current_dir(&node.folder)
        .envs(node.environment.iter().cloned())
        .env("FLAMENCO_HOME", node.home())
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// The records of a node's history.
fn records(node: &Node, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<_> = [&["--json"], arguments].concat();
    let (code, out, err) = history(node, &arguments);
    assert_eq!((code, err.as_str()), (0, ""));
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the first record of the history is as wanted.
fn recorded(node: &Node, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(
        &format!("the history to show {what}"),
        || records(node, &[]).into_iter().find(&wanted),
        || format!("{:?}\n{}", records(node, &[]), node.log()),
    )
}

#[test]
fn history_tells_how_each_task_ended_beside_the_running_worker() {
    let (farm, node) = Farm::with_awake_node();
    let well = farm.task(&[bash("echo one; sleep 100 & echo two"), exec("true", json!([]))]);
    farm.completed(&well);
    let badly = farm.script("exit 3");
    farm.failed(&badly);
    let killed = farm.script("kill -SEGV $$");
    farm.failed(&killed);
    let running = farm.running("echo running; while :; do sleep 0.02; done");

    let well = recorded(&node, "a delivered task", |record| {
        record["task"] == well.as_str() && record["report"] == "delivered"
    });
    assert_eq!((&well["cause"], &well["name"]), (&json!("completed"), &json!("task")));
    assert!(well["begun"].as_str() < well["ended"].as_str());
    let programs = well["programs"].as_array().unwrap();
    assert_eq!(programs.len(), 2, "one for each command");
    assert_eq!(
        (&programs[0]["exit_code"], &programs[0]["strays"]),
        (&json!(0), &json!(["sleep"]))
    );
    assert!(programs[0]["peak_memory"].as_u64().unwrap() > 100_000);
    assert_eq!(well["said"]["lines"], said(&farm, well["task"].as_str().unwrap()).len());

    let badly = recorded(&node, "a failure", |record| record["task"] == badly.as_str());
    assert_eq!(
        (&badly["cause"], &badly["programs"][0]["exit_code"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(badly["why"], "command exited abnormally with code 3");
    let killed = recorded(&node, "a crash", |record| record["task"] == killed.as_str());
    assert_eq!(
        (&killed["programs"][0]["signal"], &killed["programs"][0]["oom"]),
        (&json!(11), &json!(false))
    );
    let now = recorded(&node, "the running task", |record| record["task"] == running.as_str());
    assert_eq!(now["cause"], "running");

    let job = farm.manager.task(&running).unwrap().job;
    farm.manager.cancel_job(&job).unwrap();
    recorded(&node, "the aborted task", |record| {
        record["task"] == running.as_str() && record["cause"] == "aborted"
    });

    let (code, table, _) = history(&node, &[]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!((code, lines.len()), (0, 5), "{table}");
    assert!(lines[0].starts_with("WHEN"), "{table}");
    for (line, words) in lines[1..].iter().zip(["completed", "failed", "SIGSEGV", "aborted"]) {
        assert!(line.contains(words), "{table}");
    }
    node.finish();
}

#[test]
fn history_of_one_task_shows_its_end_and_its_log_without_a_worker_or_a_manager() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.script("echo first; echo last; exit 4");
    farm.failed(&task);
    let said = said(&farm, &task);
    assert_eq!(node.stop(), 0);
    farm.manager.stop();
    let before = files(&node);
    let (code, text, err) = history(&node, &[&task[..6]]);
    assert_eq!((code, err.as_str()), (0, ""));
    for word in [
        &task,
        "Outcome  failed",
        "Why      command exited abnormally with code 4",
        "exit 4",
    ] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    assert!(text.ends_with(&format!("\n\n{}\n", said.join("\n"))), "{text}");
    assert_eq!(files(&node), before, "a look changes nothing");
    node.finish();
}

#[test]
fn history_of_a_task_whose_worker_was_killed_says_that_it_was_cut_off() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.running("echo running; while :; do sleep 0.02; done");
    node.kill();
    let record = &records(&node, &[])[0];
    assert_eq!(
        (&record["cause"], &record["report"]),
        (&json!("cut-off"), &json!("waiting"))
    );
    node.nothing_left_but_files();
}

#[test]
fn history_says_what_it_cannot_show() {
    let (_farm, node) = Farm::with_node();
    let (code, _, err) = history(&node, &[]);
    assert_eq!(code, 1);
    assert!(err.contains("no worker's home") && err.contains("node/home"), "{err}");

    std::fs::create_dir(node.home()).unwrap();
    assert_eq!(
        history(&node, &[]),
        (0, "No task has run here yet.\n".into(), String::new())
    );
    assert_eq!(records(&node, &[]).len(), 0);
    let (code, _, err) = history(&node, &["3b24"]);
    assert_eq!(code, 1);
    assert!(err.contains("no task whose id begins with \"3b24\""), "{err}");

    for number in 1..=2 {
        let id = format!("3b241101-e2bb-4255-8caf-00000000000{number}");
        let folder = node.home().join("spool").join(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let task = json!({ "begun": number, "task": { "uuid": id, "job": "j", "name": "a\u{1b}[2Jb" } });
        std::fs::write(folder.join("task.json"), task.to_string()).unwrap();
    }
    let (code, _, err) = history(&node, &["3b24"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("several tasks begin with") && err.contains("000000000002"),
        "{err}"
    );
    assert!(
        !history(&node, &[]).1.contains('\u{1b}'),
        "a name cannot move the cursor"
    );

    let damaged = node.home().join("spool/3b241101-e2bb-4255-8caf-000000000001/task.json");
    std::fs::write(&damaged, "{").unwrap();
    let (code, table, err) = history(&node, &[]);
    assert_eq!((code, table.lines().count()), (0, 2), "the others are shown: {table}");
    assert!(err.contains("passed over") && err.contains("000000000001"), "{err}");
}

#[test]
fn history_ends_quietly_when_its_reader_has_seen_enough() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.script("seq 1 200000");
    farm.completed(&task);
    assert_eq!(node.stop(), 0);
    let mut child = command(&node, &[&task])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    node.finish();
}

/// The lines that the worker said of a task; the Manager adds some of its own.
fn said(farm: &Farm, task: &str) -> Vec<String> {
    let log = farm.log(task);
    let ours = log.lines().filter(|line| !line.starts_with("20"));
    ours.map(str::to_owned).collect()
}

/// Every file below the home, with its contents.
pub(crate) fn files(node: &Node) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![node.home()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push((entry.path(), std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_failed_task_is_a_warning_with_the_line_that_says_why_and_the_way_to_its_log() {
    let (farm, node) = Farm::with_awake_node();
    // Where it is, or that there is none.
    logged(&node, "ffmpeg");
    let task =
        farm.script("echo 'Error: Cannot read file'; echo 'Error: Not freed memory blocks: 1'; echo bye; exit 3");
    farm.failed(&task);
    let id = &task[..8];
    logged(
        &node,
        &format!(
            "warn  task task failed: command exited abnormally with code 3. It said: \"Error: Cannot read file\". \
             `flamenco-worker history {id}` shows its log"
        ),
    );
    assert_eq!(
        node.log().matches("warn  task task failed").count(),
        1,
        "{}",
        node.log()
    );
    let (code, out, _) = history(&node, &[id]);
    assert!(code == 0 && out.contains("> Error: Cannot read file"), "{out}");
    node.finish();
}

#[test]
fn history_shows_a_log_whose_folder_moves_meanwhile() {
    let (farm, node) = Farm::with_awake_node();
    for _ in 0..10 {
        let task = farm.script("echo here; exit 3");
        farm.failed(&task);
        loop {
            let (code, out, err) = history(&node, &[&task]);
            assert!(code == 0 && out.contains("> here"), "{out}{err}");
            if !out.contains("not sent yet") {
                break;
            }
        }
    }
    node.finish();
}
