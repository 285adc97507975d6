// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker for Blender's Flamenco Manager 3.x. It runs one task at a time and owns the life of every
//! process it starts. Linux only: subreapers, `/proc`, pidfds and cgroups are what make its promises possible.
//!
//! ```text
//!              manager ───► worker ───► task ───► command ───► process ───► guard ───► Blender, ffmpeg, ...
//!   HTTP       Assignment   State       Task      Command      ProcessSpec  (own process)   │ lines
//!                                         │          │                                      │
//!   HTTP       manager ◄─── spool ◄────── report ◄───┴──────────────────────────────────────┘
//!              TaskUpdate   files         log, steps, pictures, outcome
//!
//!   push (hints only) ──► worker ───► systemd (that we are up, what we do, that we live)
//!
//!              abort (a reason, one way, only escalates) ──► reaches every wait
//! ```
//!
//! Values go down as arguments; lines come up through a callback that the command owns; reports leave
//! sideways through one handle. Nothing calls upwards, nothing is global, nothing is spawned and
//! forgotten. `tests/layers.rs` holds who may import whom against the code.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "flamenco-worker is for Linux: subreapers, /proc, pidfds and cgroups are what make its promises possible"
);

pub mod abort;
pub mod app;
pub mod blocking;
pub mod bounded;
mod chain;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod departure;
mod document;
pub mod files;
pub mod home;
pub mod logging;
pub mod manager;
mod mounts;
pub mod node;
pub mod outcome;
pub mod printable;
pub mod process;
pub mod protocol;
mod random;
pub mod report;
mod setup;
pub mod signals;
pub mod spool;
pub mod subcommand;
pub mod systemd;
pub mod task;
pub mod timings;
mod trees;
pub mod worker;
