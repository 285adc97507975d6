// SPDX-License-Identifier: GPL-3.0-or-later
//! A small, faithful Flamenco Manager on real sockets, for tests and demonstrations, never for a farm.
//!
//! It answers workers as Flamenco 3.9's Manager was measured to (status codes, bodies, side effects, task log lines), can be
//! told to misbehave, and remembers every request. It keeps nothing over a restart of the process, has no sleep schedules,
//! tags or two-way variables, and does not check secrets against anything but what was registered.
//!
//! ```text
//! test or demo -> StandIn ----> Shared (one lock) <---- wire (its own thread: sockets, faults, routes)
//!                               farm: workers, jobs, tasks, rules
//!                               requests seen, faults waiting
//! ```
//!
//! `farm` the rules - `wire` the sockets - `push` the Socket.IO - `ssdp` who is found - `page` what people see -
//! `spec` what is handed in - `faults` what goes wrong - `seen` what was asked.

mod farm;
mod faults;
mod options;
mod push;
mod seen;
mod shared;
mod spec;
mod ssdp;
mod standin;
mod wire;
mod words;

pub use jiff::Timestamp;

pub use self::{
    farm::{Event, Job, Refused, RequestedAction, Task, Uploaded, When, Worker},
    faults::{Fault, FaultKind, Times},
    options::{Options, PushOptions, PushRefusal, Variable, Version},
    push::{Killed, Parted, PushClient, PushCounts},
    seen::{Outcome, Seen, SeenBody},
    shared::Snapshot,
    spec::{CommandSpec, JobSpec, Sample, TaskSpec},
    ssdp::SsdpOptions,
    standin::StandIn,
    wire::route::Endpoint,
    words::{FarmStatus, JobStatus, TaskStatus, WorkerStatus},
};
