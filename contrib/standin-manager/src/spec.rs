// SPDX-License-Identifier: GPL-3.0-or-later
//! What a person hands in: jobs with their tasks and commands, as plain values with a builder.

use serde::Serialize;
use serde_json::Value;

/// The job type of everything handed in without a word about it; the acceptance harness uses the same.
pub(crate) const RAW_TASKS: &str = "raw-tasks";

/// A job to submit.
#[derive(Clone, Debug)]
pub struct JobSpec {
    pub name: String,
    /// The higher, the sooner. The Manager's own default is 50.
    pub priority: i64,
    pub job_type: String,
    pub tasks: Vec<TaskSpec>,
}

impl JobSpec {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            priority: 50,
            job_type: RAW_TASKS.to_owned(),
            tasks: Vec::new(),
        }
    }

    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    #[must_use]
    pub fn task(mut self, task: TaskSpec) -> Self {
        self.tasks.push(task);
        self
    }
}

/// One task of a job. Without commands it is handed out with `"commands":null`, as the Manager does.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub name: String,
    /// The task type a worker must support: `misc`, `blender`, `ffmpeg`, `file-management`.
    pub kind: String,
    pub commands: Vec<CommandSpec>,
    /// Positions, from 0, of the tasks of the same job that must be completed first.
    pub after: Vec<usize>,
}

impl TaskSpec {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "misc".to_owned(),
            commands: Vec::new(),
            after: Vec::new(),
        }
    }

    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    #[must_use]
    pub fn command(mut self, command: CommandSpec) -> Self {
        self.commands.push(command);
        self
    }

    #[must_use]
    pub fn after(mut self, earlier: usize) -> Self {
        self.after.push(earlier);
        self
    }
}

/// One command. `parameters` is any JSON, `null` included, since job scripts can produce that.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandSpec {
    pub name: String,
    pub parameters: Value,
    /// 0 means "does not count its steps": it is worth one.
    pub total_step_count: i64,
}

impl CommandSpec {
    #[must_use]
    pub fn new(name: &str, parameters: Value) -> Self {
        Self {
            name: name.to_owned(),
            parameters,
            total_step_count: 0,
        }
    }

    #[must_use]
    pub fn steps(mut self, total: i64) -> Self {
        self.total_step_count = total;
        self
    }
}

/// A job that a person submits from the page with one click, as often as they like.
#[derive(Clone, Debug)]
pub struct Sample {
    /// One word, in the button's address.
    pub name: String,
    /// One line about what there is to see.
    pub about: String,
    pub job: JobSpec,
}
