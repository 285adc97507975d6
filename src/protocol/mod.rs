// SPDX-License-Identifier: GPL-3.0-or-later

//! The messages between the Manager and the worker: Flamenco 3.9's worker API, and nothing else.
//!
//! ```text
//! status    the status of a worker and of a task
//! requests  what is sent:      registration, sign-on, state, task update
//! answers   what is received:  registered, state change, may-i-run, error body
//! task      what is received:  a task to run
//! id        the ids that the Manager assigns to tasks and workers
//! events    what the Manager broadcasts over its Socket.IO
//! ```
//!
//! Parsing is lenient, because the Manager answers `""` for a status, leaves out `code` in errors and sends `null` for empty
//! lists. The sources are Flamenco's `pkg/api/flamenco-openapi.yaml` and a running Manager.

mod answers;
mod events;
mod id;
mod requests;
mod status;
mod task;

pub(crate) use answers::{ErrorBody, ManagerVersion, MayKeepRunning, Registered, StateChange};
pub(crate) use events::{
    Handshake, JobEvent, LifecycleEvent, Subscription, SubscriptionChange, TaskEvent, WorkerEvent,
};
pub(crate) use id::Id;
pub(crate) use requests::{Registration, SignOn, StateChanged, TaskUpdate};
pub(crate) use status::{TaskStatus, WorkerStatus};
pub(crate) use task::{AssignedTask, LARGEST_TASK, TASK_END, UnreadableTask, WireCommand};
