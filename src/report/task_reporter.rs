// SPDX-License-Identifier: GPL-3.0-or-later

//! The voice of one task.

use std::path::Path;

use super::desk::Pictures;
use crate::protocol::{AssignedTask, TaskStatus};
use crate::spool::{Entry, Outcome, Spool, SpoolError};

/// Longest activity, in bytes: it is one cell of a table on the Manager's page.
const LONGEST_ACTIVITY: usize = 1 << 10;

/// Lent to the commands of a task; the outcome consumes it, so that nothing can be said after it. Dropped
/// without one, it counts as [`dropped`](Self::dropped).
#[derive(Debug)]
pub struct TaskReporter {
    task: String,
    entry: Entry,
    pictures: Pictures,
    steps: u32,
    /// `pid=N > ` of the program that spoke last.
    prefix: (i32, String),
}

impl TaskReporter {
    /// Opens the task's folder in the spool: what was assigned is on disk before anything runs.
    ///
    /// # Errors
    /// As [`Spool::begin`]; then the task must not be run.
    pub async fn begin(spool: &Spool, pictures: &Pictures, task: &AssignedTask) -> Result<Self, SpoolError> {
        let entry = spool.begin(task)?;
        let task = task.uuid.clone();
        Ok(Self {
            task,
            entry,
            pictures: pictures.clone(),
            steps: 0,
            prefix: (0, String::new()),
        })
    }

    /// One line of log, without its end; line ends inside make several lines of it. Never waits.
    pub fn line(&mut self, text: &str) {
        self.entry.line("", text);
    }

    /// One line of a program's output: `pid=N > text`, as the Go worker writes it. Never waits.
    pub fn output(&mut self, pid: i32, text: &str) {
        if self.prefix.0 != pid {
            self.prefix = (pid, format!("pid={pid} > "));
        }
        self.entry.line(&self.prefix.1, text);
    }

    /// What is being done now; replaces what was said before. Shown on the Manager's page, as one line.
    pub fn activity(&mut self, text: &str) {
        self.entry.activity(one_line(text));
    }

    /// One more step done.
    pub fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
        self.entry.steps(self.steps);
    }

    /// A picture was written: a candidate for the "last rendered" view. A relative path is the worker's.
    pub fn produced(&mut self, path: &Path) {
        self.pictures.produced(&self.task, path);
    }

    /// The task is done. On return that is on disk and on its way, not yet with the Manager.
    pub async fn completed(self) {
        self.end(TaskStatus::Completed, "Completed".to_owned());
    }

    /// The task failed; `why` becomes its activity and the last line of its log. On return as
    /// [`completed`](Self::completed). The Manager hears of it only if it still wants the task run.
    pub async fn failed(mut self, why: &str) {
        let words = format!("Failed: {why}");
        self.line(&words);
        self.end(TaskStatus::Failed, one_line(&words));
    }

    /// No outcome: aborted or handed back. What was said so far is still sent.
    pub async fn dropped(self) {
        self.entry.close(None);
    }

    fn end(self, status: TaskStatus, activity: String) {
        self.entry.close(Some(Outcome { status, activity }));
    }
}

/// The words of a text as one line that is not too long.
fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut line = lines.join(" ");
    if line.len() > LONGEST_ACTIVITY {
        line.truncate(line.floor_char_boundary(LONGEST_ACTIVITY));
        line.push_str(" ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\n  b\r\n\n"), "a b");
        let long = one_line(&"ä".repeat(2000));
        assert!(long.len() <= LONGEST_ACTIVITY + 4 && long.ends_with("ä ..."));
    }
}
