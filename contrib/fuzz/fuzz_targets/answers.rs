// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever answers where the Manager should: read as each of its answers, and nothing may panic.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz answers`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| flamenco_worker::fuzzing::answers(body));
