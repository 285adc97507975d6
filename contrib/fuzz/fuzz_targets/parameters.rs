// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever a job script hands to a command: a command comes of it, or an error, and nothing panics.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz parameters`

#![no_main]

use flamenco_worker::command::Command;
use flamenco_worker::protocol::WireCommand;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "blender-render",
    "frames-to-video",
    "exec",
    "echo",
    "sleep",
    "make-directory",
    "move-directory",
    "copy-file",
];

fuzz_target!(|parameters: &[u8]| {
    let Ok(parameters) = serde_json::from_slice::<serde_json::Value>(parameters) else {
        return;
    };
    for name in NAMES {
        let wire = serde_json::json!({ "name": name, "parameters": parameters, "total_step_count": 1 });
        if let Ok(wire) = serde_json::from_value::<WireCommand>(wire)
            && let Err(error) = Command::try_from(&wire)
        {
            assert!(!error.to_string().is_empty());
        }
    }
});
