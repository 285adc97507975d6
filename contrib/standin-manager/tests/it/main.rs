// SPDX-License-Identifier: GPL-3.0-or-later
//! The stand-in over real sockets, against what was measured of the real Manager, 3.9-beta1. Nothing here sleeps: waiting is for
//! an answer, for the end of a connection, or for a fact.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, helpers included")]

mod client;
mod failure;
mod faults;
mod identity;
mod life;
mod manage;
mod page;
mod pictures;
mod push;
mod push_control;
mod push_events;
mod push_packets;
mod status;
mod tasks;
mod timeouts;
mod wire;
