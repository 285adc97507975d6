// SPDX-License-Identifier: GPL-3.0-or-later

//! The end of `cargo test --workspace`: which tests were skipped, and what would enable them. Not a test: it prints past
//! nobody's capture, and is the last of what cargo runs.

use std::io::{self, Write as _};

use test_needs::Summary;

fn main() -> io::Result<()> {
    // As other runners of tests ask, who run each test by its name.
    if std::env::args().any(|word| word == "--list") {
        return Ok(());
    }
    writeln!(io::stdout(), "\n{}", Summary::take()?)
}
