// SPDX-License-Identifier: GPL-3.0-or-later

//! Where a secret could be said: whatever the worker writes, shows and starts is read for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use standin_manager::{Endpoint, Fault, FaultKind};
use test_bed::{Farm, Node, children, logged, open_files, start_through, worker};

use crate::metrics::Monitored;

/// Values of headers.
const TOKENS: [&str; 2] = ["first-s3cret-of-a-proxy", "second-s3cret-of-a-proxy"];

/// All that is said, and by what.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn add(&mut self, from: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((from.into(), bytes.into()));
    }

    /// What a subcommand says about this node, on both of its outputs.
    fn subcommand(&mut self, node: &Node, words: &[&str]) {
        let mut command = Command::new(worker().unwrap());
        command.args(words).current_dir(&node.folder);
        command.env("FLAMENCO_HOME", node.home()).env("FLAMENCO_LOG", "trace");
        let output = command.output().unwrap();
        self.add(words.join(" "), [output.stdout, output.stderr].concat());
    }

    /// What a process, and all below it, were started with.
    fn processes(&mut self, pid: i32) {
        for file in ["cmdline", "environ", "comm"] {
            let path = format!("/proc/{pid}/{file}");
            // Root sees all of them; others see the programs.
            self.add(path.clone(), fs::read(path).unwrap_or_default());
        }
        children(pid).into_iter().for_each(|child| self.processes(child));
    }

    /// All files below a folder, but for those in which a secret has its place.
    fn files(&mut self, folder: &Path, places: &[PathBuf]) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                self.files(&path, places);
            } else if kind.is_file() && !places.contains(&path) {
                self.add(path.display().to_string(), fs::read(&path).unwrap_or_default());
            }
        }
    }

    /// Whoever said it is named; the secret is not.
    fn is_free_of(&self, secrets: &[String]) {
        let says = |text: &[u8], secret: &String| text.windows(secret.len()).any(|part| part == secret.as_bytes());
        let mut told = self.0.iter();
        let first = told.find(|(_, text)| secrets.iter().any(|secret| says(text, secret)));
        assert_eq!(first.map(|(from, _)| from), None);
    }
}

/// The secret of a file with credentials.
fn secret_of(credentials: &Path) -> String {
    let text = fs::read_to_string(credentials).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("worker_secret: "))
        .unwrap();
    line.trim_matches('"').to_owned()
}

/// A node with tokens, one of them in the file that is named, and a Manager that refuses this and that.
fn with_tokens(farm: &Farm) -> (Node, Monitored, PathBuf) {
    // What goes wrong is told in many words.
    for (endpoint, code) in [
        (Endpoint::Register, 401),
        (Endpoint::SignOn, 407),
        (Endpoint::FetchTask, 500),
    ] {
        let answer = FaultKind::Status {
            code,
            headers: Vec::new(),
            body: "what?".to_owned(),
        };
        farm.fault(Fault::at(endpoint, answer).times(1));
    }
    let mut node = farm.node("node");
    let token = node.folder.join("token");
    fs::write(&token, TOKENS[1]).unwrap();
    node.config.top = vec![
        format!("headers.X-First = {:?}", TOKENS[0]),
        format!("headers.X-Second = {{ file = {token:?} }}"),
    ];
    let monitored = Monitored::at_socket(&mut node);
    node.arguments.push("-trace".into());
    node.environment.push(("FLAMENCO_LOG".into(), "trace".into()));
    node.start();
    farm.awake();
    (node, monitored, token)
}

#[test]
fn n32_tokens_and_credentials_are_in_nothing_that_is_written_shown_or_started() {
    let farm = Farm::new();
    let (node, monitored, token) = with_tokens(&farm);
    let task = farm.running(
        "env; tr '\\0' '\\n' < /proc/$$/environ; ls -l /proc/$$/fd; cat /proc/$$/cmdline; echo; echo running; \
         until [ -e go ]; do sleep 0.02; done",
    );
    let mut heard = Heard::default();
    heard.processes(node.pid());
    // A successor has them from its predecessor.
    heard.subcommand(&node, &["reload"]);
    logged(&node, "taking over from the worker that this process was");
    heard.processes(node.pid());
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["history"],
        &["doctor"],
        &["doctor", "--json"],
        &["check-config"],
        &["check-config", "--no-such-option"],
    ] {
        heard.subcommand(&node, words);
    }
    heard.add("/metrics", monitored.get("/metrics"));
    let open = open_files(node.pid());
    assert!(
        open.iter().all(|file| !file.to_string_lossy().contains("memfd")),
        "{open:?}"
    );
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    heard.subcommand(&node, &["history", &task]);
    heard.add("the log of the task", farm.log(&task));
    let credentials = node.home().join("flamenco-worker-credentials.yaml");
    let secret = secret_of(&credentials);
    let places = [token, credentials, node.folder.join("flamenco-worker.toml")];
    heard.files(&node.folder.clone(), &places);
    let secrets: Vec<_> = TOKENS.map(str::to_owned).into_iter().chain([secret]).collect();
    heard.is_free_of(&secrets);
    node.finish();
}

#[test]
fn n32_a_key_that_cannot_be_read_as_one_is_not_shown() {
    let (_farm, mut node) = Farm::with_node();
    let (certificate, key) = (node.folder.join("own.pem"), node.folder.join("own.key"));
    let broken = format!(
        "-----BEGIN PRIVATE KEY-----\n{}!\n-----END PRIVATE KEY-----\n",
        TOKENS[0]
    );
    fs::write(&certificate, "none").unwrap();
    fs::write(&key, broken).unwrap();
    node.url = "https://localhost:1/".to_owned();
    node.config.top = vec![
        format!("tls.client_certificate = {certificate:?}"),
        format!("tls.client_key = {key:?}"),
    ];
    start_through(&mut node, ["env", "FLAMENCO_LOG=trace"]);
    assert_eq!(node.ended(), 78, "{}", node.log());
    let mut heard = Heard::default();
    for words in [["doctor"], ["check-config"]] {
        heard.subcommand(&node, &words);
    }
    heard.files(&node.folder, &[key]);
    heard.is_free_of(&[TOKENS[0].to_owned()]);
}
