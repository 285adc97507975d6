// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a job script hands to a command: a command comes of it, or an error, and nothing panics.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz parameters`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|parameters: &[u8]| flamenco_worker::fuzzing::parameters(parameters));
