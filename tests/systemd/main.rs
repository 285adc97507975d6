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
mod installed;
mod instances;
mod packages;
mod reloading;
mod sandbox;
mod service;
mod watchdog;
