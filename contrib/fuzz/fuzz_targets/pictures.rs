// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a task calls a picture, read as each of the formats. A decoder of another crate may panic, as that ends a process
//! of its own; ours may not, and none may take more time or memory than it is given.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz pictures -- -rss_limit_mb=600 -timeout=10 -max_len=65536`

#![no_main]

use std::panic::{PanicHookInfo, catch_unwind, set_hook, take_hook};

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // The fuzzer's own hook ends the process.
        let fault = take_hook();
        set_hook(Box::new(move |panic| {
            if is_ours(panic) {
                fault(panic);
            }
        }));
    },
    |bytes: &[u8]| {
        catch_unwind(|| flamenco_worker::fuzzing::pictures(bytes)).ok();
    }
);

/// Whether our own code has panicked, or what it asks of a result does not hold.
fn is_ours(panic: &PanicHookInfo<'_>) -> bool {
    panic
        .location()
        .is_none_or(|place| place.file().contains("src/picture/") || place.file().ends_with("src/fuzzing.rs"))
}
