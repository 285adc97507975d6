// SPDX-License-Identifier: GPL-3.0-or-later

//! What the worker wants hints about.

/// What the worker wants hints about. Every variant but [`Nothing`](Self::Nothing) includes what concerns the worker itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Interest {
    /// No hints and no connection: before the sign-on, and while leaving.
    #[default]
    Nothing,
    /// Asleep: status requests for this worker, and nothing else.
    StatusRequests,
    /// Idle: new work too.
    Work,
    /// Running a task: what may end the task too. Both fields are UUIDs.
    Task {
        /// The job that the task belongs to.
        job: String,
        /// The task that is running.
        task: String,
    },
}
