// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker under a real systemd, each test on a machine of its own in a box. A test that keeps a row of the fault
//! table carries its id in front of its name.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the worker and its neighbours are real processes"
)]

mod booted;
mod draining;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "../it/harness.rs"]
mod harness;
mod installed;
mod instances;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "../it/machine.rs"]
mod machine;
mod packages;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "../it/render_node.rs"]
mod render_node;
mod sandbox;
mod service;
mod watchdog;
