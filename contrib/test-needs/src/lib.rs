// SPDX-License-Identifier: GPL-3.0-or-later

//! What tests need of a machine beside Rust, a linker and git: programs, root. A test that lacks something passes, says
//! so, and is on the list that ends `cargo test --workspace`.
//!
//! ```text
//! tests ── missing, not_root, skipped ──► target/tmp/skipped/RUN ──► tests/summary.rs, which cargo runs last
//! ```

mod programs;
mod record;
mod summary;

use std::io::Write as _;
use std::panic::Location;

use record::Run;

pub use programs::missing;
pub use summary::Summary;

/// Whether a test is skipped because this user is not root.
#[must_use]
#[track_caller]
pub fn not_root() -> bool {
    let not = !nix::unistd::geteuid().is_root();
    if not {
        skipped_with_remedy("it takes root", "run the tests as root, on a machine that may suffer");
    }
    not
}

/// Skips the test of this thread, for a reason that nothing known does away with.
#[track_caller]
pub fn skipped(why: &str) {
    skipped_with_remedy(why, "it depends on this machine");
}

/// Skips the test of this thread: says it past the capture of the test runner, which would show it for a failed test
/// only, and notes it for the list at the end, with what would enable it.
///
/// # Panics
/// Where it cannot be noted, because nothing is to be skipped unseen.
#[track_caller]
pub fn skipped_with_remedy(why: &str, remedy: &str) {
    let thread = std::thread::current();
    let place = Location::caller().to_string();
    // On one processor all tests are run by the main thread, one after another.
    let test = thread.name().filter(|name| *name != "main").unwrap_or(&place);
    let noted = Run::of_parent().and_then(|run| run.note(test, why, remedy));
    assert!(noted.is_ok(), "that {test} is skipped cannot be noted: {noted:?}");
    // It may be closed; the note is what counts.
    std::io::stderr()
        .write_all(format!("SKIPPED: {test}: {why}\n").as_bytes())
        .ok();
}
