// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever is in a configuration file, in ours or the Go worker's: read, or refused with a place in it.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz configuration`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| flamenco_worker::fuzzing::configuration(text));
