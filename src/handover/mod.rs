// SPDX-License-Identifier: GPL-3.0-or-later

//! What travels over an exec: a process that becomes its successor, with the same number, the same children and the
//! descriptors that are named.
//!
//! ```text
//! exec_with ─ state as JSON in a memfd, its number and those of the descriptors in the environment ─► execve
//!                                                      │ fails: this process goes on
//! Received::from_environment ◄─────────────────────────╯ ─► read: the state; what it does not know is closed
//! ```
//!
//! The numbers of descriptors are not in the state alone: who cannot read that has to close them all the same, or the home
//! would stay locked by a descriptor that nobody knows.
//!
//! This room knows nothing of what the state says.

mod descriptor;
mod envelope;
mod exec;
mod hung;
mod received;

pub(crate) use descriptor::HandedFd;
pub(crate) use envelope::{OLDEST_READER, VERSION, can_read};
pub(crate) use exec::exec_with;
pub(crate) use hung::waits_for_a_disk;
pub(crate) use received::Received;

/// The variable that tells a process what it was handed: `MEMFD:FD,FD`.
pub(crate) const VARIABLE: &str = "FLAMENCO_WORKER_HANDOVER";

/// The variable that tells a process which configuration the one before it has found: another one may be found first by now, and
/// whoever has put it there is not who started the worker.
pub(crate) const FOUND_CONFIGURATION: &str = "FLAMENCO_WORKER_FOUND_CONFIGURATION";

/// The name of the memfd: what has another one was not made here.
const MEMFD: &str = "flamenco-worker-handover";
