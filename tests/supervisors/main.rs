// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker below every supervisor that `contrib` has files for: the real programs, run as ordinary processes in
//! folders of the test's own, with the files that are shipped. Only places and the user's name are other ones.
//!
//! ```text
//! promises   what holds below each of them; one test each
//! site       a supervisor's files, its places, its worker, the Manager
//! supervisord, runit, s6, openrc    how each is started and asked
//! readmes    what the READMEs tell to do, done literally
//! container  the first process of a pid namespace, alone and below tini; no supervisor starts it again
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the worker and its supervisors are real processes"
)]

mod container;
mod openrc;
mod promises;
mod readmes;
mod runit;
mod s6;
mod site;
mod supervisord;
