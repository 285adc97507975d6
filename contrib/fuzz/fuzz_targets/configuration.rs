// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever is in a configuration file, in ours or the Go worker's: read, or refused with a place in it.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz configuration`

#![no_main]

use std::path::PathBuf;

use flamenco_worker::cli::Arguments;
use flamenco_worker::config::{Config, Environment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for ending in ["toml", "yaml"] {
        let path = PathBuf::from(format!("/dev/shm/fuzz-{}.{ending}", std::process::id()));
        std::fs::write(&path, text).expect("there is memory");
        let words = ["flamenco-worker".into(), "--config".into(), path.into_os_string()];
        let arguments = Arguments::parse(words).expect("such a command line is fine");
        if let Err(error) = Config::load(&arguments, &Environment::capture()) {
            assert!(!error.to_string().is_empty());
        }
    }
});
