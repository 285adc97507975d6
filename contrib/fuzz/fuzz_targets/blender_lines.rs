// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a program prints that Blender might: each line means something or nothing, and nothing panics.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz blender_lines`

#![no_main]

use libfuzzer_sys::fuzz_target;

/// Not public, and it needs nothing of the rest.
#[path = "../../../src/command/blender_lines.rs"]
mod blender_lines;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        let parsed = blender_lines::parse_line(line);
        // A name lies within its line.
        assert!(parsed.saved.is_none_or(|name| line.contains(name)));
    }
});
