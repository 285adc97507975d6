// SPDX-License-Identifier: GPL-3.0-or-later

//! The real binary against the stand-in Manager, each test on its own port, in its own folder.
//!
//! ```text
//! Farm ── StandIn (sockets) ◄── HTTP ── Node (the worker process) ── guards ── programs
//!  └─ wait: a fact, a deadline, a dump        └─ every test ends with `nothing_left`
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use standin_manager::{
    CommandSpec, Endpoint, JobSpec, Options, Seen, Snapshot, StandIn, Task, TaskSpec, TaskStatus, WorkerStatus,
};
use tempfile::TempDir;

/// How long a fact may take before a test gives up. Long, because the machine may be busy; never waited out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A Manager and a place for nodes.
pub(crate) struct Farm {
    pub(crate) manager: StandIn,
    pub(crate) folder: TempDir,
}

impl Farm {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("farm-").tempdir().unwrap();
        Self {
            manager: StandIn::start(options).unwrap(),
            folder,
        }
    }

    /// A node with its own home and configuration below the farm's folder; not started yet.
    pub(crate) fn node(&self, name: &str) -> Node {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        Node {
            name: name.to_owned(),
            url: self.manager.url(),
            config: Config::default(),
            arguments: vec!["-restart-exit-code".into(), "47".into()],
            environment: Vec::new(),
            folder,
            process: None,
        }
    }

    /// A node that has signed on and is awake.
    pub(crate) fn awake_node(&self) -> Node {
        self.awake_node_with(&[])
    }

    /// The same with some timings of its own.
    pub(crate) fn awake_node_with(&self, timings: &[(&'static str, &'static str)]) -> Node {
        let mut node = self.node("node");
        node.config.timings.extend(timings);
        node.start();
        self.awake();
        node
    }

    /// Waits until the (first) worker is awake.
    pub(crate) fn awake(&self) {
        self.status(WorkerStatus::Awake);
    }

    /// Waits until the first worker has this status.
    pub(crate) fn status(&self, status: WorkerStatus) {
        let what = format!("the worker to be {status:?}");
        self.wait(&what, |farm| {
            farm.workers()
                .next()
                .filter(|worker| worker.status == status)
                .map(|_| ())
        });
    }

    /// The id of the first worker.
    pub(crate) fn worker(&self) -> String {
        self.manager
            .workers()
            .first()
            .expect("a worker is registered")
            .id
            .clone()
    }

    /// Waits for a fact at the Manager.
    pub(crate) fn wait<T>(&self, what: &str, fact: impl FnMut(&Snapshot<'_>) -> Option<T>) -> T {
        self.manager
            .wait_for(PATIENCE, what, fact)
            .unwrap_or_else(|dump| panic!("{dump}\n{}", self.logs()))
    }

    /// Submits a job of one task with these commands; returns the task's id.
    pub(crate) fn task(&self, commands: &[CommandSpec]) -> String {
        let task = commands.iter().cloned().fold(TaskSpec::new("task"), TaskSpec::command);
        self.job(JobSpec::new("job").task(task)).remove(0)
    }

    /// Submits a job of one task that runs a bash script.
    pub(crate) fn script(&self, script: &str) -> String {
        self.task(&[bash(script)])
    }

    /// Submits a job; returns the ids of its tasks.
    pub(crate) fn job(&self, job: JobSpec) -> Vec<String> {
        let id = self.manager.submit(job).unwrap();
        self.manager.tasks(&id).into_iter().map(|task| task.id).collect()
    }

    /// Waits until a task has this status.
    pub(crate) fn reaches(&self, task: &str, status: TaskStatus) -> Task {
        let what = format!("task {task} to be {status:?}");
        self.wait(&what, |farm| {
            farm.task(task).filter(|task| task.status == status).cloned()
        })
    }

    /// Waits until the task has failed, softly or for good.
    pub(crate) fn failed(&self, task: &str) {
        self.wait(&format!("task {task} to have failed"), |farm| {
            farm.task(task)
                .filter(|task| matches!(task.status, TaskStatus::Failed | TaskStatus::SoftFailed))
                .map(|_| ())
        });
    }

    pub(crate) fn completed(&self, task: &str) -> Task {
        self.reaches(task, TaskStatus::Completed)
    }

    pub(crate) fn log(&self, task: &str) -> String {
        self.manager.task_log(task)
    }

    /// Waits until the task's log contains `text`.
    pub(crate) fn says(&self, task: &str, text: &str) {
        let what = format!("the log of {task} to say {text:?}");
        self.wait(&what, |farm| farm.log(task).contains(text).then_some(()));
    }

    /// Waits until so many requests in all came to an endpoint.
    pub(crate) fn asked(&self, endpoint: Endpoint, times: usize) {
        self.wait(&format!("{times} requests to {endpoint:?}"), |farm| {
            (farm.requests().iter().filter(|seen| seen.endpoint == endpoint).count() >= times).then_some(())
        });
    }

    /// The requests to one endpoint.
    pub(crate) fn requests(&self, endpoint: Endpoint) -> Vec<Seen> {
        self.manager
            .requests()
            .into_iter()
            .filter(|seen| seen.endpoint == endpoint)
            .collect()
    }

    /// The outcomes that were said of a task, as the words on the wire.
    pub(crate) fn outcomes(&self, task: &str) -> Vec<String> {
        let updates = self.requests(Endpoint::TaskUpdate).into_iter();
        let of_task = updates.filter(|seen| seen.task.as_deref() == Some(task));
        of_task
            .filter_map(|seen| {
                seen.json()
                    .and_then(|body| body["taskStatus"].as_str().map(str::to_owned))
            })
            .collect()
    }

    /// What the workers of this farm wrote, for a failure's sake.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            if let Ok(log) = fs::read_to_string(entry.path().join("worker.log")) {
                let _ = writeln!(text, "--- log of {}\n{log}", entry.file_name().to_string_lossy());
            }
        }
        text
    }
}

/// A file of ours, in a form tests can change.
#[derive(Clone, Default)]
pub(crate) struct Config {
    /// Lines of `flamenco-worker.toml` before the tables.
    pub(crate) top: Vec<String>,
    /// Entries of `[timings]`, on top of the short ones of every test.
    pub(crate) timings: Vec<(&'static str, &'static str)>,
}

/// A render node: one worker process, its home, its files.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) config: Config,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) folder: PathBuf,
    process: Option<Child>,
}

/// Short where waiting is not what is tested; graces stay long enough for a busy machine.
const TIMINGS: &[(&str, &str)] = &[
    ("first_may_i_run", "50ms"),
    ("may_i_run", "100ms"),
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
    ("denied", "300ms"),
    ("lock", "1ms"),
];

impl Node {
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("worker.log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn set(&mut self, timing: &'static str, value: &'static str) -> &mut Self {
        self.config.timings.push((timing, value));
        self
    }

    fn write_config(&self) {
        let mut timings: Vec<_> = TIMINGS.to_vec();
        for (name, value) in &self.config.timings {
            timings.retain(|(old, _)| old != name);
            timings.push((name, value));
        }
        let mut text = self.config.top.join("\n");
        text.push_str("\n[timings]\n");
        for (name, value) in timings {
            let _ = writeln!(text, "{name} = \"{value}\"");
        }
        fs::write(self.folder.join("flamenco-worker.toml"), text).unwrap();
    }

    /// The command that starts this node's worker.
    pub(crate) fn command(&self) -> Command {
        self.write_config();
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"));
        command
            .args(["-manager", &self.url, "-debug"])
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env("FLAMENCO_HOME", self.home())
            .env("FLAMENCO_WORKER_NAME", &self.name)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    pub(crate) fn start(&mut self) -> &mut Self {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.process = Some(self.command().spawn().unwrap());
        self
    }

    /// Starts the worker through another command line, a shell's for example.
    pub(crate) fn start_with(&mut self, command: &mut Command) -> &mut Self {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
        self
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().expect("the node was started").id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Waits for the process to end: its exit code, or minus the signal that killed it.
    pub(crate) fn ended(&mut self) -> i32 {
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
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// kill -9, and gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.ended(), -9);
    }

    /// What every program of this node carries in its environment.
    pub(crate) fn mark(&self) -> String {
        let home = fs::metadata(self.home()).unwrap();
        format!("FLAMENCO_WORKER_MARK={:x}-{:x}", home.dev(), home.ino())
    }

    /// The living processes of this node's tasks, guards included.
    pub(crate) fn marked(&self) -> Vec<Process> {
        let mark = self.mark();
        processes()
            .into_iter()
            .filter(|process| process.environment.split('\0').any(|entry| entry == mark))
            .collect()
    }

    /// The end of a test: the worker stops cleanly (if it still runs) and nothing of it is left.
    pub(crate) fn finish(mut self) {
        if self.process.is_some() {
            assert_eq!(self.stop(), 0, "{}", self.log());
        }
        self.nothing_left();
    }

    /// No process of its tasks. A temporary directory may be left where the worker was killed.
    pub(crate) fn nothing_left_but_files(&self) {
        let dump = || format!("{:?}\n{}", self.marked(), self.log());
        until(
            "every process of the node to be gone",
            || self.marked().is_empty().then_some(()),
            dump,
        );
    }

    /// No process of its tasks, no temporary directory.
    pub(crate) fn nothing_left(&self) {
        self.nothing_left_but_files();
        let mark = self.mark();
        let id = mark.split_once('=').unwrap().1.replace('-', "_");
        let left: Vec<_> = fs::read_dir(std::env::temp_dir())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(&format!("flamenco-{id}-")))
            .collect();
        assert!(left.is_empty(), "temporary directories are left: {left:?}");
    }

    /// Waits until the spool holds an outcome of this task that the Manager does not have yet.
    pub(crate) fn outcome_on_disk(&self, task: &str) {
        let report = self.home().join("spool").join(task).join("report.json");
        let written = || fs::read_to_string(&report).is_ok_and(|text| text.contains("completed"));
        until("the outcome to be on disk", || written().then_some(()), || self.log());
    }

    /// The children of the worker process, zombies included.
    pub(crate) fn children(&self) -> Vec<i32> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        fs::read_to_string(path)
            .unwrap_or_default()
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }

    /// Waits until the worker has no child, not even a zombie.
    pub(crate) fn childless(&self) {
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
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A process as `/proc` shows it.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    environment: String,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.pid, self.command)
    }
}

/// All living processes that can be looked into.
pub(crate) fn processes() -> Vec<Process> {
    let text = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let (Ok(environment), Ok(command)) = (text(entry.path().join("environ")), text(entry.path().join("cmdline")))
        else {
            continue;
        };
        // A zombie's files are there, but empty.
        if !environment.is_empty() {
            found.push(Process {
                pid,
                command: command.replace('\0', " ").trim().to_owned(),
                environment,
            });
        }
    }
    found
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()),
            Some('Z' | 'X') | None
        )
    })
}

/// Waits for a fact that only looking again can tell.
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>, dump: impl FnOnce() -> String) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}\n{}",
            dump()
        );
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits for a file to be there, and reads it.
pub(crate) fn file(path: &Path) -> String {
    until(
        &format!("{} to be written", path.display()),
        || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')),
        String::new,
    )
}

pub(crate) fn bash(script: &str) -> CommandSpec {
    exec("bash", json!(["-c", script]))
}

#[expect(clippy::needless_pass_by_value, reason = "callers write json!")]
pub(crate) fn exec(program: &str, arguments: Value) -> CommandSpec {
    CommandSpec::new("exec", json!({ "exe": program, "args": arguments }))
}

/// Skips a test whose program is missing, aloud: past the capture of the test runner, which would show it for a
/// failed test only. `.ci/run` installs what it can, so that CI skips nothing, and counts these lines.
pub(crate) fn missing(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    !found
}

/// Says aloud that this test cannot be had on this machine.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("SKIPPED: {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
