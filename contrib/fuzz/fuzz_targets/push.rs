// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever comes over the Manager's Socket.IO: parsed, listened to in every state, and nothing may panic.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz push`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| flamenco_worker::fuzzing::push(text));
