// SPDX-License-Identifier: GPL-3.0-or-later

//! One run of the demonstration, and the proof that nothing of it is left.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use test_bed::{Process, processes, until_within};

/// More than any of it takes on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A demonstration that runs, without Blender and FFmpeg. Dropped, it is killed.
pub(crate) struct Demo {
    child: Child,
    began: Instant,
    output: TempDir,
    /// All temporary files, and part of the environment of whatever it starts.
    temporary: TempDir,
    lines: Option<Receiver<String>>,
    said: String,
}

/// How it ended.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) said: String,
    pub(crate) complained: String,
    pub(crate) pictures: usize,
    log: String,
}

impl Demo {
    /// `None`, said aloud, if there is no worker to show.
    pub(crate) fn start(words: &[&str]) -> Option<Self> {
        let program = Path::new(env!("CARGO_BIN_EXE_demo"));
        let worker = program.with_file_name("flamenco-worker");
        if !worker.exists() {
            // Only the whole workspace builds it: `cargo test --workspace`.
            test_needs::skipped_with_remedy("flamenco-worker is not built", "cargo test --workspace");
            return None;
        }
        let (output, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut child = Command::new(program)
            .args(words)
            .arg("--output")
            .arg(output.path())
            .env("FLAMENCO_DEMO_WORKER", &worker)
            .env("PATH", temporary.path())
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            // Once nobody wants them any more, the pipe is closed.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).count()
        });
        Some(Self {
            child,
            began: Instant::now(),
            output,
            temporary,
            lines: Some(lines),
            said: String::new(),
        })
    }

    /// Waits for a line with this text, and returns it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let lines = self.lines.as_ref().unwrap();
        loop {
            match lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("\"{text}\" is not said: {}", self.said)
                }
            }
        }
    }

    pub(crate) fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        until_within(LIMIT, what, fact, || self.said.clone())
    }

    /// Lines of a worker's log with this text.
    pub(crate) fn log_count(&self, log: &str, text: &str) -> usize {
        let log = fs::read_to_string(self.output.path().join(log)).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// As `| head` does: the next line breaks the pipe.
    pub(crate) fn stop_reading(&mut self) {
        self.lines = None;
    }

    /// Waits for its end, and looks for what is left: processes that know its temporary directory, and files in there.
    pub(crate) fn end(mut self) -> End {
        for line in self.lines.take().into_iter().flatten() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        let status = until_within(
            LIMIT,
            "its end",
            || self.child.try_wait().unwrap(),
            || self.said.clone(),
        );
        let mut complained = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut complained)
            .unwrap();
        let files = fs::read_dir(self.output.path()).unwrap().flatten();
        let of_kind = |kind: &'static str| move |path: &PathBuf| path.extension().is_some_and(|it| it == kind);
        let paths: Vec<_> = files.map(|entry| entry.path()).collect();
        let logs = paths.iter().filter(|path| of_kind("log")(path));
        let end = End {
            code: status.code(),
            took: self.began.elapsed(),
            said: self.said.clone(),
            complained,
            pictures: paths.iter().filter(|path| of_kind("png")(path)).count(),
            log: logs.filter_map(|log| fs::read_to_string(log).ok()).collect(),
        };
        let files: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().flatten().collect();
        assert!(files.is_empty(), "temporary files are left: {files:?}: {end}");
        let temporary = self.temporary.path().to_string_lossy();
        let knows = |it: &Process| it.environment.contains(&*temporary) || it.command.contains(&*temporary);
        let left: Vec<_> = processes().into_iter().filter(knows).collect();
        assert!(left.is_empty(), "processes are left: {left:?}: {end}");
        end
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        // Reaped is all we want.
        self.child.wait().ok();
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            took,
            said,
            complained,
            pictures,
            log,
        } = self;
        writeln!(f, "exit code {code:?} after {took:?}, {pictures} pictures; it said:")?;
        writeln!(f, "{said}{complained}\nThe workers' logs:\n{log}")
    }
}

/// One call of the Manager's API; null if there is no body.
pub(crate) fn call(url: &str, method: &str, path: &str, body: &str) -> Value {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("{method} /api/v3/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let content = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{content}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}
