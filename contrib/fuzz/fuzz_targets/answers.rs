// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever answers where the Manager should: read as each of its answers, and nothing may panic.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz answers`

#![no_main]

use flamenco_worker::protocol::{AssignedTask, ErrorBody, ManagerVersion, MayKeepRunning, Registered, StateChange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _not_an_error = ErrorBody::parse(body);
    let _not_this = serde_json::from_slice::<Registered>(body).is_ok();
    let _not_this = serde_json::from_slice::<StateChange>(body).is_ok();
    let _not_this = serde_json::from_slice::<MayKeepRunning>(body).is_ok();
    let _not_this = serde_json::from_slice::<ManagerVersion>(body).is_ok();
    if let Ok(task) = AssignedTask::parse(body) {
        // It is kept in the spool, and read from there by a later process.
        let kept = serde_json::to_vec(&task).expect("it was read from the same");
        assert_eq!(serde_json::from_slice::<AssignedTask>(&kept).ok(), Some(task));
    }
});
