// SPDX-License-Identifier: GPL-3.0-or-later

//! The promises, held by the real binary: real sockets, real processes, the real clock. One module per promise; a
//! test that keeps a row of the fault table carries its id in front of its name.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the worker and its neighbours are real processes"
)]

mod actions;
mod answers;
mod beginnings;
mod cgroups;
mod check_config;
mod clocks;
mod command_line;
mod commands;
mod control;
mod deaths;
mod discovery;
mod disk;
mod doctor;
mod end_notes;
mod fighting;
mod flush;
mod frames;
mod freezing;
mod full_starts;
mod go_files;
mod go_updates;
mod guards;
mod history;
mod homes;
mod hosts;
mod hung;
mod kills;
mod left_running;
mod loops;
mod marks;
mod metrics;
mod network;
mod node;
mod notify;
mod odd_files;
mod orders;
mod output;
mod paces;
mod page;
mod pause;
mod pictures;
mod presence;
mod printable;
mod processes;
mod push;
mod push_flood;
mod push_parting;
mod push_trouble;
mod reload;
mod restarts;
mod sandbox;
mod secrets;
mod signals;
mod small_disk;
mod status;
mod terminal;
mod tmpdir;
mod warm;
mod warm_blender;
