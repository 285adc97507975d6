// SPDX-License-Identifier: GPL-3.0-or-later

//! The doctor: says of each thing that is not well what it saw and what to do, and changes nothing.

mod groups;
mod manager;
mod presence;
mod programs;
mod sandbox;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use standin_manager::{Endpoint, Seen};
use tokio::time::Instant;

use crate::history::files;
use crate::small_disk::may_mount;
use test_bed::{Farm, Node, exec, processes};
use test_needs::missing;

/// What the doctor answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) findings: Vec<Value>,
}

impl Answer {
    /// The doctor's answer about a node, of which `--json` says the same as the lines for people do.
    pub(crate) fn of(node: &Node) -> Self {
        Self::through(&[], node)
    }

    /// The same through another program: a command line that ends where the doctor's begins.
    fn through(before: &[&str], node: &Node) -> Self {
        let mut command = command(before, node, &["doctor", "--json"]);
        let doctor = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mark = format!("doctor-{}", doctor.id());
        let output = doctor.wait_with_output().unwrap();
        let left: Vec<_> = processes()
            .into_iter()
            .filter(|process| process.bears_mark(&mark))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let mut record: Value = serde_json::from_str(&text).unwrap();
        let verdict = record["verdict"].take();
        let code = output.status.code().unwrap();
        assert_eq!(verdict == "fail", code == 1, "{text}");
        Self {
            code,
            findings: serde_json::from_value(record["findings"].take()).unwrap(),
        }
    }

    /// What was found under a name, its advice after an arrow.
    fn seen(&self, verdict: &str, name: &str) -> String {
        let found = self.findings.iter().filter(|finding| finding["name"] == name);
        let with_verdict = found.clone().find(|finding| finding["verdict"] == verdict);
        let Some(finding) = with_verdict else {
            panic!("no {verdict} of {name}: {:#?}", self.findings)
        };
        let advice = finding["advice"].as_str();
        assert_eq!(advice.is_none(), verdict == "ok", "{finding}");
        format!(
            "{} -> {}",
            finding["seen"].as_str().unwrap(),
            advice.unwrap_or_default()
        )
    }

    /// That it was found, in words with this among them.
    #[track_caller]
    pub(crate) fn says(&self, verdict: &str, name: &str, part: &str) {
        let seen = self.seen(verdict, name);
        assert!(seen.contains(part), "{part:?} is not in {seen:?}");
    }

    /// What was seen, with whatever verdict.
    fn told(&self, name: &str) -> String {
        let finding = self.findings.iter().find(|finding| finding["name"] == name).unwrap();
        finding["seen"].as_str().unwrap().to_owned()
    }

    /// The names of what fails.
    fn fails(&self) -> Vec<&str> {
        let failing = self.findings.iter().filter(|finding| finding["verdict"] == "fail");
        failing.map(|finding| finding["name"].as_str().unwrap()).collect()
    }
}

fn command(before: &[&str], node: &Node, errand: &[&str]) -> Command {
    let worker = node.command();
    let words = before.iter().copied().map(OsString::from);
    let mut words = words
        .chain([worker.get_program().to_owned()])
        .chain(worker.get_args().map(ToOwned::to_owned));
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(errand)
        .current_dir(&node.folder)
        .stdin(Stdio::null());
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// A node whose programs are what the test says, and no others.
fn node(farm: &Farm) -> Node {
    let mut node = farm.node("node");
    let programs = node.folder.join("bin");
    fs::create_dir(&programs).unwrap();
    node.environment.push(("PATH".into(), programs.into()));
    program(&node, "blender", "echo 'Blender 4.2.1'");
    program(&node, "ffmpeg", "echo 'ffmpeg version 6.1 Copyright'");
    node
}

fn program(node: &Node, name: &str, script: &str) -> PathBuf {
    let path = node.folder.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A node that has worked, and has been told to leave.
fn retired(farm: &Farm) -> Node {
    let mut node = node(farm);
    farm.start(&mut node);
    assert_eq!(node.stop(), 0);
    node
}

#[test]
fn g4_all_is_well_and_asking_leaves_no_trace() {
    let farm = Farm::new();
    let node = retired(&farm);
    let row = || format!("{:?}", farm.manager.workers());
    let (workers, there, asked) = (row(), files(&node), farm.manager.requests().len());
    let answer = Answer::of(&node);
    assert_eq!((answer.code, answer.fails()), (0, vec![]));
    for (name, part) in [
        ("configuration", "flamenco-worker.toml can be used"),
        ("manager.address", "is at 127.0.0.1:"),
        ("manager.answer", "has version 3."),
        ("manager.clock", "agree"),
        ("manager.credentials", &farm.worker()),
        ("manager.push", "can be listened to"),
        ("worker", "none runs here; the last one was pid"),
        ("home", "can be written to and locked"),
        ("home.space", "MiB are free"),
        ("spool", "nothing waits"),
        ("limits.files", "files open"),
        ("blender", "bin/blender is Blender 4.2.1"),
        ("ffmpeg", "bin/ffmpeg is FFmpeg 6.1"),
    ] {
        answer.says("ok", name, part);
    }
    assert_eq!(row(), workers, "the Manager noticed");
    assert_eq!(files(&node), there);
    let calls: Vec<_> = farm.manager.requests().split_off(asked);
    assert!(calls.iter().all(harmless), "{calls:?}");
    node.finish();
}

/// A request that moves nothing at the Manager.
fn harmless(seen: &Seen) -> bool {
    let no_task = seen.task.as_deref() == Some("00000000-0000-0000-0000-000000000000");
    let nobody_asks = [Endpoint::Version, Endpoint::Push].contains(&seen.endpoint) && seen.worker.is_none();
    seen.method == "GET" && (nobody_asks || (seen.endpoint == Endpoint::MayIRun && no_task))
}

#[test]
fn g4_beside_a_worker_at_work_it_speaks_of_that_and_disturbs_nothing() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let limited = "ulimit -n 900; exec \"$@\"";
    let mut worker = command(&["/bin/sh", "-c", limited, "sh"], &node, &[]);
    node.start_with(&mut worker);
    farm.awake();
    let task = farm.task(&[exec("/bin/sh", json!(["-c", "echo running; while :; do :; done"]))]);
    farm.says(&task, "> running");
    let count = |endpoint| farm.requests(endpoint).len();
    let life = || {
        [
            Endpoint::Register,
            Endpoint::SignOn,
            Endpoint::SignOff,
            Endpoint::StateChanged,
        ]
        .map(count)
    };
    let (before, lock) = (life(), fs::read(node.home().join("flamenco-worker.lock")).unwrap());
    let answer = Answer::of(&node);
    assert_eq!(answer.code, 0, "{:#?}", answer.findings);
    let who = format!("the worker (pid {}) may have 900 files open", node.pid());
    answer.says("warn", "limits.files", &who);
    answer.says("ok", "worker", &format!("pid {} runs here since", node.pid()));
    answer.says("ok", "spool", "nothing waits");
    assert_eq!(life(), before);
    assert_eq!(fs::read(node.home().join("flamenco-worker.lock")).unwrap(), lock);
    let held = File::open(node.home().join("flamenco-worker.lock")).unwrap();
    assert!(held.try_lock().is_err(), "the worker has lost its lock");
    let asker: Vec<_> = farm.requests(Endpoint::MayIRun).into_iter().filter(harmless).collect();
    let connection = asker.first().expect("it asked").connection;
    let calls: Vec<_> = farm
        .manager
        .requests()
        .into_iter()
        .filter(|seen| seen.connection == connection)
        .collect();
    assert!(calls.iter().all(harmless), "{calls:?}");
    assert!(node.runs());
    assert_eq!(farm.outcomes(&task), Vec::<String>::new());
    node.finish();
}

#[test]
fn lines_and_json_say_the_same() {
    let farm = Farm::new();
    let node = retired(&farm);
    fs::remove_file(node.folder.join("bin/ffmpeg")).unwrap();
    let answer = Answer::of(&node);
    let output = command(&[], &node, &["doctor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    for finding in &answer.findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        let word = text("verdict").replace("fail", "FAIL");
        let line = lines.next().unwrap();
        assert!(line.starts_with(&format!("{word:4}  {} ", text("name"))), "{line}");
        // Numbers that are measured are others by now.
        assert!(text("name") == "home.space" || line.ends_with(text("seen")), "{line}");
        if finding["advice"] != Value::Null {
            assert_eq!(lines.next().unwrap().trim(), format!("-> {}", text("advice")));
        }
    }
    let count = |verdict: &str| {
        answer
            .findings
            .iter()
            .filter(|finding| finding["verdict"] == verdict)
            .count()
    };
    let total = format!("{} ok, {} warn, {} FAIL", count("ok"), count("warn"), count("fail"));
    assert_eq!(
        (lines.next(), lines.next(), lines.next()),
        (Some(""), Some(total.as_str()), None)
    );
    node.finish();
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_failure_and_the_rest_of_it_is_looked_at() {
    let farm = Farm::new();
    let mut node = node(&farm);
    node.config.top = vec!["push = false".into(), "nice = 50".into(), "worker_nam = \"x\"".into()];
    let answer = Answer::of(&node);
    assert_eq!((answer.code, answer.fails()), (1, vec!["configuration"]));
    answer.says(
        "fail",
        "configuration",
        "flamenco-worker.toml:2:8: `nice` must be between -20 and 19",
    );
    answer.says("fail", "configuration", "did you mean `worker_name`?");
    answer.says("ok", "manager.push", "turned off");
}

#[test]
fn a_home_that_cannot_be_written_to_or_is_full_is_told_apart() {
    let farm = Farm::new();
    let mut node = node(&farm);
    fs::create_dir(node.home()).unwrap();
    if missing("unshare") | missing("mount") || !may_mount() {
        return;
    }
    let path = format!(
        "{}:{}",
        node.folder.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    node.environment.push(("PATH".into(), path.into()));
    for (options, filling, part) in [
        ("ro", "", "mounted read-only"),
        (
            "size=64k",
            "cat /dev/zero >\"$FLAMENCO_HOME/x\" 2>&-;",
            "nothing can be written in it",
        ),
    ] {
        let script = format!("mount -t tmpfs -o {options} tmpfs \"$FLAMENCO_HOME\"; {filling} exec \"$@\"");
        let before = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ];
        let answer = Answer::through(&before, &node);
        answer.says("fail", "home", part);
        assert_eq!(answer.code, 1);
    }
}

#[test]
fn a_home_where_no_directory_can_be_made_is_told_with_whose_it_is() {
    let farm = Farm::new();
    let mut node = node(&farm);
    node.environment
        .push(("FLAMENCO_HOME".into(), "/proc/flamenco/home".into()));
    let answer = Answer::of(&node);
    assert_eq!(answer.fails(), ["home"]);
    answer.says("fail", "home", "/proc/flamenco/home is not there and cannot be made");
}

#[test]
fn what_waits_without_a_worker_and_what_is_damaged_is_told() {
    let farm = Farm::new();
    let node = node(&farm);
    let folder = node.home().join("spool/3b241101-e2bb-4255-8caf-000000000001");
    fs::create_dir_all(&folder).unwrap();
    let task = json!({ "begun": 1, "task": { "uuid": "t", "job": "j", "name": "n" } });
    fs::write(folder.join("task.json"), task.to_string()).unwrap();
    Answer::of(&node).says(
        "warn",
        "spool",
        "1 tasks wait for the Manager, and no worker sends them",
    );
    fs::write(folder.join("task.json"), "{").unwrap();
    Answer::of(&node).says("warn", "spool", "1 damaged");
}

#[test]
fn what_hangs_is_a_finding_and_nothing_of_it_is_left() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let pipe = node.folder.join("share");
    // Opened for reading it hangs until somebody writes, as a mount does whose server is gone.
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    node.config
        .top
        .push(format!("[node]\nreadable = [{pipe:?}, \"/proc\"]"));
    program(&node, "blender", "/bin/sleep 1000 & wait");
    let begun = Instant::now();
    let answer = Answer::of(&node);
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    assert_eq!(answer.fails(), ["storage", "blender"]);
    answer.says("fail", "storage", "did not answer within 3 s");
    answer.says("ok", "storage", "/proc can be read");
    answer.says("fail", "blender", "no answer to --version within 6 s");
    answer.says("ok", "ffmpeg", "FFmpeg 6.1");
}

#[test]
fn i22_pipes_in_the_home_keep_nothing_from_being_answered() {
    let farm = Farm::new();
    let node = node(&farm);
    fs::create_dir(node.home()).unwrap();
    let pipe = |name: &str| mkfifo(Path::new(&node.home().join(name)), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    pipe("flamenco-worker.lock");
    pipe("flamenco-worker-credentials.yaml");
    let answer = Answer::of(&node);
    assert_eq!(answer.fails(), ["manager.credentials"]);
    answer.says("fail", "manager.credentials", "a named pipe");
    answer.says("ok", "manager.answer", "has version");
    answer.says("ok", "ffmpeg", "FFmpeg 6.1");
}
