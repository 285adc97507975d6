// SPDX-License-Identifier: GPL-3.0-or-later

//! What travels between the Manager and us: Flamenco 3.9's worker API, and nothing else.
//!
//! ```text
//! status    words: worker and task status
//! requests  what we say:   registration, sign-on, state, task update
//! answers   what we hear:  registered, state change, may-i-run, error body
//! task      the same:      what is to be run
//! id        the names that the Manager gives to tasks and workers
//! events    what we overhear: the Manager's Socket.IO
//! ```
//!
//! Parsing is lenient, because the Manager is: it answers `""` for a status, leaves out `code` in
//! errors and sends `null` for empty lists. Facts: Flamenco's `pkg/api/flamenco-openapi.yaml`, held
//! against a running Manager.

mod answers;
mod events;
mod id;
mod requests;
mod status;
mod task;

pub use answers::{ErrorBody, ManagerVersion, MayKeepRunning, Registered, StateChange};
pub use events::{Handshake, JobEvent, LifecycleEvent, Subscription, SubscriptionChange, TaskEvent, WorkerEvent};
pub use id::{Id, NotAnId};
pub use requests::{Registration, SignOn, StateChanged, TaskUpdate};
pub use status::{TaskStatus, WorkerStatus};
pub use task::{AssignedTask, END, LARGEST_TASK, Unreadable, WireCommand};
