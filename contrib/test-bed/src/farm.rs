// SPDX-License-Identifier: GPL-3.0-or-later

//! The real binary against the stand-in Manager, each test on its own port, in its own folder.
//!
//! ```text
//! Farm ── StandIn (sockets) ◄── HTTP ── Node (the worker process) ── guards ── programs
//!  └─ wait: a fact, a deadline, a dump        └─ every test ends with `nothing_left`
//! ```

use std::fmt::Write as _;
use std::fs::{self};
use std::time::Duration;

use serde_json::{Value, json};
use standin_manager::{
    CommandSpec, Endpoint, Fault, JobSpec, Options, Seen, Snapshot, StandIn, Task, TaskSpec, TaskStatus, When,
    WorkerStatus,
};
use tempfile::TempDir;

use crate::machine::PATIENCE;
use crate::node::Node;

/// A Manager and a place for nodes.
pub struct Farm {
    pub manager: StandIn,
    pub folder: TempDir,
    /// How long a fact may take. Never waited out.
    pub patience: Duration,
}

impl Default for Farm {
    fn default() -> Self {
        Self::with(Options::default())
    }
}

impl Farm {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("farm-").tempdir().unwrap();
        Self {
            manager: StandIn::start(options).unwrap(),
            folder,
            patience: PATIENCE,
        }
    }

    /// A farm with a node that is not started yet.
    pub fn with_node() -> (Self, Node) {
        let farm = Self::new();
        let node = farm.node("node");
        (farm, node)
    }

    /// A farm with a node that has signed on and is awake.
    pub fn with_awake_node() -> (Self, Node) {
        let farm = Self::new();
        let node = farm.awake_node();
        (farm, node)
    }

    /// Starts a node, and waits until the (first) worker is awake.
    pub fn start(&self, node: &mut Node) {
        node.start();
        self.awake();
    }

    /// A node with its own home and configuration below the farm's folder; not started yet.
    pub fn node(&self, name: &str) -> Node {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        Node::new(name, folder, self.manager.url())
    }

    /// A node that has signed on and is awake.
    pub fn awake_node(&self) -> Node {
        self.awake_node_with(&[])
    }

    /// The same with some timings of its own.
    pub fn awake_node_with(&self, timings: &[(&'static str, &'static str)]) -> Node {
        let mut node = self.node("node");
        node.config.timings.extend(timings);
        node.start();
        self.awake();
        node
    }

    /// The same, which learns that a task is not wanted any more only from the answer to its outcome.
    pub fn awake_deaf_node(&self) -> Node {
        let mut node = self.node("node");
        node.config.top.push("push = false".into());
        node.set("first_may_i_run", "10m").start();
        self.awake();
        node
    }

    /// Waits until the (first) worker is awake.
    pub fn awake(&self) {
        self.status(WorkerStatus::Awake);
    }

    /// Waits until the first worker has this status.
    pub fn status(&self, status: WorkerStatus) {
        let what = format!("the worker to be {status:?}");
        self.wait(&what, |farm| {
            farm.workers()
                .next()
                .filter(|worker| worker.status == status)
                .map(|_| ())
        });
    }

    /// The id of the first worker.
    pub fn worker(&self) -> String {
        self.manager
            .workers()
            .first()
            .expect("a worker is registered")
            .id
            .clone()
    }

    /// Asks the first worker for a status, as a person does it on the page.
    pub fn ask(&self, status: WorkerStatus, when: When) {
        self.manager.ask(&self.worker(), status, when).unwrap();
    }

    /// Makes the Manager misbehave.
    pub fn fault(&self, fault: Fault) {
        self.manager.inject(fault);
    }

    /// Waits for a fact at the Manager.
    pub fn wait<T>(&self, what: &str, fact: impl FnMut(&Snapshot<'_>) -> Option<T>) -> T {
        self.manager
            .wait_for(self.patience, what, fact)
            .unwrap_or_else(|dump| panic!("{dump}\n{}", self.logs()))
    }

    /// Submits a job of one task with these commands; returns the task's id.
    pub fn task(&self, commands: &[CommandSpec]) -> String {
        let task = commands.iter().cloned().fold(TaskSpec::new("task"), TaskSpec::command);
        self.job(JobSpec::new("job").task(task)).remove(0)
    }

    /// Submits a job of one task that runs a bash script.
    pub fn script(&self, script: &str) -> String {
        self.task(&[bash(script)])
    }

    /// The same; waits until the script has said that it is running.
    pub fn running(&self, script: &str) -> String {
        let task = self.script(script);
        self.says(&task, "> running");
        task
    }

    /// Submits a job; returns the ids of its tasks.
    pub fn job(&self, job: JobSpec) -> Vec<String> {
        let id = self.manager.submit(job).unwrap();
        self.manager.tasks(&id).into_iter().map(|task| task.id).collect()
    }

    /// Waits until a task has this status.
    pub fn reaches(&self, task: &str, status: TaskStatus) -> Task {
        let what = format!("task {task} to be {status:?}");
        self.wait(&what, |farm| {
            farm.task(task).filter(|task| task.status == status).cloned()
        })
    }

    /// Waits until the task has failed, softly or for good.
    pub fn failed(&self, task: &str) {
        self.wait(&format!("task {task} to have failed"), |farm| {
            farm.task(task)
                .filter(|task| matches!(task.status, TaskStatus::Failed | TaskStatus::SoftFailed))
                .map(|_| ())
        });
    }

    pub fn completed(&self, task: &str) -> Task {
        self.reaches(task, TaskStatus::Completed)
    }

    pub fn log(&self, task: &str) -> String {
        self.manager.task_log(task)
    }

    /// Waits until the task's log contains `text`.
    pub fn says(&self, task: &str, text: &str) {
        let what = format!("the log of {task} to say {text:?}");
        self.wait(&what, |farm| farm.log(task).contains(text).then_some(()));
    }

    /// Waits until so many requests in all came to an endpoint.
    pub fn asked(&self, endpoint: Endpoint, times: usize) {
        self.wait(&format!("{times} requests to {endpoint:?}"), |farm| {
            (farm.requests().iter().filter(|seen| seen.endpoint == endpoint).count() >= times).then_some(())
        });
    }

    /// The requests to one endpoint.
    pub fn requests(&self, endpoint: Endpoint) -> Vec<Seen> {
        self.manager
            .requests()
            .into_iter()
            .filter(|seen| seen.endpoint == endpoint)
            .collect()
    }

    /// The outcomes that were said of a task, as the words on the wire.
    pub fn outcomes(&self, task: &str) -> Vec<String> {
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
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            if let Ok(log) = fs::read_to_string(entry.path().join("worker.log")) {
                writeln!(text, "--- log of {}\n{log}", entry.file_name().to_string_lossy()).ok();
            }
        }
        text
    }
}

pub fn bash(script: &str) -> CommandSpec {
    exec("bash", json!(["-c", script]))
}

#[expect(clippy::needless_pass_by_value, reason = "callers write json!")]
pub fn exec(program: &str, arguments: Value) -> CommandSpec {
    CommandSpec::new("exec", json!({ "exe": program, "args": arguments }))
}
