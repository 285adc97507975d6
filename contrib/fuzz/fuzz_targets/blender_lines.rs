// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a program prints that Blender might: each line means something or nothing, and nothing panics.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz blender_lines`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| flamenco_worker::fuzzing::blender_lines(text));
