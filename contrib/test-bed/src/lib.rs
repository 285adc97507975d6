// SPDX-License-Identifier: GPL-3.0-or-later

//! What starts workers beside a Manager, and looks at what they leave, for tests, the benchmark and the demonstration.
//!
//! ```text
//! tests ─► farm (StandIn, a folder) ─► node (one worker process, its files) ─┐
//!      ├─► terminal (a window that is looked at)                               │
//!      └─► means (users, control groups, strace)                             ├─► worker (how one is started, and built)
//! bench, demo ───────────────────────────────────────────────────────────────┘      machine (processes, waiting for facts)
//! ```

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod farm;
mod machine;
mod means;
mod node;
mod terminal;
mod worker;

pub use farm::{Farm, bash, exec};
pub use machine::{PATIENCE, Process, children, file, lives, open_files, processes, processes_of, until, until_within};
pub use means::{
    Group, Strace, as_user, becoming_root, cancel, dies, farm_with_grace, kill_together, logged, number, own_user,
    pass, start_as, start_through,
};
pub use node::{Config, Node};
pub use terminal::Terminal;
pub use worker::{Build, equip, mark_of, worker};
