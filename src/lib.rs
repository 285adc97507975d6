// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker for Blender's Flamenco Manager 3.x. It runs one task at a time and owns the life of every
//! process it starts. Linux only: subreapers, `/proc`, pidfds and cgroups are what make its promises possible.
//!
//! ARCHITECTURE.md has the picture, the rooms and who may import whom.

// With `missing-docs-in-crate-items` of .clippy.toml: whatever another room can see.
#![warn(clippy::missing_docs_in_private_items)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "flamenco-worker is for Linux: subreapers, /proc, pidfds and cgroups are what make its promises possible"
);

mod abort;
mod app;
mod blocking;
mod bounded;
mod chain;
mod cli;
mod clock;
mod command;
mod config;
mod crash_report;
mod dbus;
mod departure;
mod discovery;
mod document;
mod elapsed;
mod files;
pub mod fuzzing;
pub mod generators;
mod handover;
mod home;
mod logging;
mod manager;
mod manager_url;
mod metrics;
mod monitoring;
mod mounts;
mod node;
mod outcome;
mod own_program;
mod pause;
mod presence;
mod printable;
mod process;
mod program;
mod progress;
mod protocol;
mod random;
mod report;
mod sandbox;
mod scratch;
mod setup;
mod signals;
mod snapshot;
mod spool;
mod subcommand;
mod systemd;
mod task;
mod timings;
mod trees;
mod units;
mod warm;
mod worker;

pub use program::main;
