// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a task calls a picture, read as each of the formats. A decoder of another crate may panic, as that ends a process
//! of its own; what is looked for is one that takes more time or memory than it is given.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz pictures -- -rss_limit_mb=600 -timeout=10 -max_len=65536`

#![no_main]

use std::panic::{catch_unwind, set_hook};

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // The fuzzer's own hook ends the process.
    init: set_hook(Box::new(|_| ())),
    |bytes: &[u8]| {
        catch_unwind(|| flamenco_worker::fuzzing::pictures(bytes)).ok();
    }
);
