// SPDX-License-Identifier: GPL-3.0-or-later

//! One worker process, from its configuration to the proof that nothing of it is left.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::machine::{Process, children, processes, until};
use crate::terminal::Terminal;
use crate::worker::{equip, mark_of, worker};

/// A file of ours, in a form tests can change.
#[derive(Clone, Default)]
pub struct Config {
    /// Lines of `flamenco-worker.toml` before the tables.
    pub top: Vec<String>,
    /// Entries of `[timings]`, on top of the short ones of every test.
    pub timings: Vec<(&'static str, &'static str)>,
}

/// A render node: one worker process, its home, its files.
pub struct Node {
    pub name: String,
    pub url: String,
    pub config: Config,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
    pub folder: PathBuf,
    process: Option<Child>,
    /// A worker of it was killed, and what that left is the next one's to remove.
    was_killed: bool,
}

/// Short where waiting is not what is tested; graces stay long enough for a busy machine.
const TIMINGS: &[(&str, &str)] = &[
    ("first_may_i_run", "50ms"),
    ("may_i_run", "100ms"),
    ("may_i_run_hinted", "100ms"),
    ("idle_min", "50ms"),
    ("idle_max", "200ms"),
    ("asleep_poll", "100ms"),
    ("backoff_min", "50ms"),
    ("backoff_max", "300ms"),
    ("asleep_backoff_max", "200ms"),
    ("log_flush", "100ms"),
    ("blender_grace", "2s"),
    ("blender_firm_grace", "500ms"),
    ("grace", "2s"),
    ("linger", "300ms"),
    ("reregister_after", "300ms"),
    ("lock_timeout", "1ms"),
];

impl Node {
    /// Not started yet; the folder is there.
    pub fn new(name: &str, folder: PathBuf, url: String) -> Self {
        Self {
            name: name.to_owned(),
            url,
            config: Config::default(),
            arguments: ["-restart-exit-code", "47", "-debug"].map(OsString::from).into(),
            environment: Vec::new(),
            folder,
            process: None,
            was_killed: false,
        }
    }

    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.join("worker.log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn set(&mut self, timing: &'static str, value: &'static str) -> &mut Self {
        self.config.timings.push((timing, value));
        self
    }

    /// Its configuration as the test has it now.
    pub fn write_config(&self) {
        let mut timings: Vec<_> = TIMINGS.to_vec();
        for (name, value) in &self.config.timings {
            timings.retain(|(old, _)| old != name);
            timings.push((name, value));
        }
        let mut text = self.config.top.join("\n");
        text.push_str("\n[timings]\n");
        for (name, value) in timings {
            writeln!(text, "{name} = \"{value}\"").ok();
        }
        fs::write(self.folder.join("flamenco-worker.toml"), text).unwrap();
    }

    /// The command that starts this node's worker.
    pub fn command(&self) -> Command {
        self.write_config();
        let mut command = Command::new(worker().unwrap());
        equip(&mut command, &self.folder, &self.log_file(), &self.name, &self.url).unwrap();
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command
    }

    pub fn start(&mut self) -> &mut Self {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.process = Some(self.command().spawn().unwrap());
        self
    }

    /// Starts the worker through another command line, a shell's for example.
    pub fn start_with(&mut self, command: &mut Command) -> &mut Self {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
        self
    }

    /// Starts the worker in a terminal, through another program if need be. What it writes is also its log.
    pub fn start_in(&mut self, terminal: &Terminal, through: &[&str]) -> &mut Self {
        let worker = self.command();
        let words = through
            .iter()
            .map(OsString::from)
            .chain([worker.get_program().to_owned()]);
        let words: Vec<_> = words.chain(worker.get_args().map(OsString::from)).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder);
        command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        terminal.copy_to(&self.log_file());
        terminal.lend(&mut command);
        self.process = Some(command.spawn().unwrap());
        self
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().expect("the node was started").id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The same signal as before, late enough to be one of its own.
    pub fn signal_again(&self, signal: Signal) {
        std::thread::sleep(Duration::from_millis(150));
        self.signal(signal);
    }

    /// Waits for a fact, and shows its log if it does not become true.
    pub fn until(&self, what: &str, fact: impl Fn() -> bool) {
        until(what, || fact().then_some(()), || self.log());
    }

    pub fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Waits for the process to end: its exit code, or minus the signal that killed it.
    pub fn ended(&mut self) -> i32 {
        let log = self.log_file();
        let process = self.process.as_mut().expect("the node was started");
        let status = until(
            "the worker to end",
            || process.try_wait().unwrap(),
            || fs::read_to_string(&log).unwrap_or_default(),
        );
        self.process = None;
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// kill -9, and gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.ended(), -9);
        self.was_killed = true;
    }

    /// What every program of this node carries in its environment.
    pub fn mark(&self) -> String {
        format!("FLAMENCO_WORKER_MARK={}", mark_of(&self.home()).unwrap())
    }

    /// The living processes of this node's tasks, guards included.
    pub fn marked(&self) -> Vec<Process> {
        // The mark is made of the home: a worker that ended before it had one has started nothing.
        if !self.home().exists() {
            return Vec::new();
        }
        let mark = mark_of(&self.home()).unwrap();
        processes()
            .into_iter()
            .filter(|process| process.bears_mark(&mark))
            .collect()
    }

    /// The end of a test: the worker stops cleanly (if it still runs) and nothing of it is left.
    pub fn finish(mut self) {
        if self.process.is_some() {
            if self.was_killed {
                self.swept();
            }
            assert_eq!(self.stop(), 0, "{}", self.log());
        }
        self.nothing_left();
    }

    /// Waits until a start has removed what the run before it left.
    pub fn swept(&self) {
        until(
            "the temporary directories to be gone",
            || self.temporary().iter().all(|path| !path.exists()).then_some(()),
            || self.log(),
        );
    }

    /// No process of its tasks. A temporary directory may be left where the worker was killed.
    pub fn nothing_left_but_files(&self) {
        let dump = || format!("{:?}\n{}", self.marked(), self.log());
        until(
            "every process of the node to be gone",
            || self.marked().is_empty().then_some(()),
            dump,
        );
    }

    /// No process of its tasks, no temporary directory.
    pub fn nothing_left(&self) {
        self.nothing_left_but_files();
        let left: Vec<_> = self.temporary().into_iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "temporary directories are left: {left:?}");
    }

    /// The temporary directories that its tasks have had so far, as its log has them.
    pub fn temporary(&self) -> Vec<PathBuf> {
        let log = self.log();
        let said = log
            .lines()
            .filter_map(|line| Some(line.split_once("temporary directory is ")?.1));
        said.map(|path| PathBuf::from(path.split(' ').next().unwrap_or(path)))
            .collect()
    }

    /// Waits until the spool holds an outcome of this task that the Manager does not have yet.
    pub fn outcome_on_disk(&self, task: &str) {
        let report = self.home().join("spool").join(task).join("report.json");
        let written = || fs::read_to_string(&report).is_ok_and(|text| text.contains("completed"));
        until("the outcome to be on disk", || written().then_some(()), || self.log());
    }

    /// The children of the worker process, zombies included.
    pub fn children(&self) -> Vec<i32> {
        children(self.pid())
    }

    /// Waits until the worker has no child, not even a zombie.
    pub fn childless(&self) {
        until(
            "the worker to have no child",
            || self.children().is_empty().then_some(()),
            || self.log(),
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}
