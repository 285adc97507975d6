// SPDX-License-Identifier: GPL-3.0-or-later

//! What is only known when it is asked for.

use std::time::Duration;

use super::labels::{SleepCause, StateLabel};

/// What the worker does and what waits, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gauges {
    /// What the worker is.
    pub state: StateLabel,
    /// Why it takes no task, while it sleeps.
    pub asleep: Option<SleepCause>,
    /// This machine is not for tasks now.
    pub paused: bool,
    /// A task runs.
    pub running: bool,
    /// So many steps the running task has; 0 where nobody knows.
    pub steps: u32,
    /// So many of them are done.
    pub steps_done: u32,
    /// Time since the Manager's last answer; `None` before the first.
    pub since_last_answer: Option<Duration>,
    /// It has answered the last call.
    pub manager_answers: bool,
    /// Tasks that are over, and have not told the Manager everything.
    pub updates_waiting: usize,
    /// Outcomes that the Manager does not know.
    pub outcomes_waiting: usize,
    /// Bytes of log that wait for the Manager.
    pub spool_bytes: u64,
    /// Processes of tasks that cannot be ended.
    pub strays: usize,
}
