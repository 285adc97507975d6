// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever comes over the Manager's Socket.IO: parsed, listened to in every state, and nothing may panic.
//!
//! `cargo +nightly fuzz run --fuzz-dir contrib/fuzz push`

#![no_main]

use flamenco_worker::manager::push::{EventFilter, Interest, ServerPacket};
use libfuzzer_sys::fuzz_target;

const OWN: &str = "349101db-3efa-44fe-92e9-f82ca8e0032b";
const JOB: &str = "3fbd307e-c8eb-454b-87a8-9cdc8c810947";
const TASK: &str = "b8bdc74a-f4cf-40e2-8b26-e74a4e5aa3ef";

fuzz_target!(|text: &str| {
    if let ServerPacket::Event { name, payload } = ServerPacket::parse(text) {
        // Nothing is copied: both lie within the text.
        assert!(name.len() + payload.len() < text.len());
        let running = Interest::Task {
            job: JOB.into(),
            task: TASK.into(),
        };
        for interest in [Interest::Nothing, Interest::StatusRequests, Interest::Work, running] {
            EventFilter::new(OWN.into(), interest).hint(name, payload);
        }
    }
});
