// SPDX-License-Identifier: GPL-3.0-or-later

//! The home: the one directory that this worker writes to, and no other worker while it runs.
//!
//! ```text
//! locate ─► Home::open ─┬─ lock         flamenco-worker.lock: held as long as this process lives
//!                       ├─ credentials    flamenco-worker-credentials.yaml: the Go worker's file
//!                       ├─ signed-on      there = the last run did not sign off
//!                       ├─ resting        there = asleep, and not because the Manager asked for it
//!                       ├─ paused       there = somebody has paused this worker, and until when
//!                       ├─ status socket  flamenco-worker.socket: what the worker does, for who asks
//!                       ├─ spool/         for the spool to fill
//!                       └─ flamenco-worker.sqlite: what the Go worker did not deliver, only counted
//! ```
//!
//! Nothing here is rewritten in place: a file is replaced whole or not at all, so that a power cut leaves
//! the old one or the new one.

mod credentials;
mod error;
mod go_updates;
mod identity_claim;
mod locate;
mod lock;
mod lock_holder;
mod machine;
mod open;
mod own_sleep;
mod owner;
mod paused;
mod search;
mod signed_on;
mod sockets;

#[cfg(test)]
mod tests;

pub(crate) use self::credentials::{Credentials, CredentialsError, has_credentials};
pub(crate) use self::error::HomeError;
pub(crate) use self::go_updates::GoUpdates;
pub(crate) use self::locate::locate;
pub(crate) use self::lock_holder::LockHolder;
pub(crate) use self::machine::this_machine;
pub(crate) use self::open::{HandedHome, Home, mark_of, spool_of};
pub(crate) use self::owner::{describe_owner, is_another_users, open_to_others};
pub(crate) use self::owner::{group_name, user_name};
pub(crate) use self::search::{SearchError, patterns_beside, search};
pub(crate) use self::sockets::{StatusAnswer, ask_for_status, ask_to_pause, ask_to_reload};
