// SPDX-License-Identifier: GPL-3.0-or-later

//! How a task's run here ended: what the Manager is told of it, and what stays for people and programs to look at.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::{TaskStatus, TaskUpdate};

/// So many programs of one task are remembered, the newest ones: a task may run any number.
const PROGRAMS_MOST: usize = 100;

/// Why a task's run is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", content = "why", rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// All its commands have ended well.
    Completed,
    /// It failed. One line, for the Manager's page.
    Failed(String),
    /// Stopped, by the Manager or on this node; the Manager knows already, or requeues it.
    Aborted(String),
    /// Not the task's fault: something is wrong with this node.
    HandedBack(String),
    /// The worker ended before the task did.
    CutOff,
}

/// The end of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunEnd {
    /// Why it is over.
    #[serde(flatten)]
    pub cause: Cause,
    /// Milliseconds since 1970.
    pub ended: u64,
    /// Milliseconds from begin to end, by a clock that does not jump.
    pub took_ms: u64,
    /// Milliseconds of that in which it stood still.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paused_ms: u64,
    /// What became of its programs, the newest last; at most 100.
    pub programs: Vec<ProgramEnd>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What became of one program of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProgramEnd {
    /// As the task named it.
    pub program: String,
    /// Its process id.
    pub pid: i32,
    /// 0-255; `None` when it was ended by a signal, by us or in an unknown way.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if we did not send it.
    pub signal: Option<i32>,
    /// The kernel sent that signal because the memory ran out.
    pub oom: bool,
    /// Milliseconds from start to exit, `paused_ms` left out.
    pub wall_ms: u64,
    /// Milliseconds in which it stood still.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paused_ms: u64,
    /// Milliseconds of user and system time, descendants included.
    pub cpu_ms: u64,
    /// Bytes.
    pub peak_memory: u64,
    /// What outlived it and was ended by us.
    pub strays: Vec<String>,
    /// What outlived it and could not be ended.
    pub unkillable: Vec<String>,
    /// Of a Blender that is kept between tasks: the how many-th of its tasks this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_task: Option<u32>,
}

impl Cause {
    /// The update that tells the Manager; nothing of a task that was aborted or handed back. `steps` ride along where they
    /// were not sent yet: the Manager takes them first.
    pub(super) fn update(&self, steps: Option<u32>) -> Option<TaskUpdate> {
        let (status, activity) = match self {
            Self::Completed => (TaskStatus::Completed, "Completed".to_owned()),
            Self::Failed(why) => (TaskStatus::Failed, format!("Failed: {why}")),
            Self::Aborted(_) | Self::HandedBack(_) | Self::CutOff => return None,
        };
        Some(TaskUpdate {
            status: Some(status),
            activity: Some(activity),
            log: None,
            steps_completed: steps,
        })
    }
}

/// Milliseconds, as records have them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Adds one to the programs that are remembered.
pub(super) fn remember(programs: &mut Vec<ProgramEnd>, program: ProgramEnd) {
    if programs.len() >= PROGRAMS_MOST {
        programs.remove(0);
    }
    programs.push(program);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_one_flat_record_and_is_read_back() {
        for (cause, begins) in [
            (Cause::Completed, r#"{"cause":"completed","ended":1,"#),
            (Cause::Failed("x".into()), r#"{"cause":"failed","why":"x","ended":1,"#),
            (Cause::CutOff, r#"{"cause":"cut-off","ended":1,"#),
        ] {
            let end = RunEnd {
                cause,
                ended: 1,
                took_ms: 2,
                paused_ms: 0,
                programs: Vec::new(),
            };
            let text = serde_json::to_string(&end).unwrap();
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(serde_json::from_str::<RunEnd>(&text).unwrap(), end);
        }
    }
}
