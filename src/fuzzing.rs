// SPDX-License-Identifier: GPL-3.0-or-later

//! What reads bytes from elsewhere, for `contrib/fuzz`: each function takes any bytes, and a panic in it is a fault.

#![expect(clippy::expect_used, reason = "a fuzzer looks for panics")]

use std::io::Cursor;
use std::path::PathBuf;

use memchr::memmem;
use picture::{Helpers, shrink};
use serde_json::{Value, json};

use crate::cli::Arguments;
use crate::command::{Command, parse_line};
use crate::config::{Config, Environment};
use crate::manager::push::{EventFilter, Interest, ServerPacket};
use crate::protocol::{AssignedTask, ErrorBody, ManagerVersion, MayKeepRunning, Registered, StateChange, WireCommand};

const OWN: &str = "349101db-3efa-44fe-92e9-f82ca8e0032b";
const JOB: &str = "3fbd307e-c8eb-454b-87a8-9cdc8c810947";
const TASK: &str = "b8bdc74a-f4cf-40e2-8b26-e74a4e5aa3ef";

const COMMANDS: [&str; 8] = [
    "blender-render",
    "frames-to-video",
    "exec",
    "echo",
    "sleep",
    "make-directory",
    "move-directory",
    "copy-file",
];

/// Reads whatever answers where the Manager should, as each of its answers.
///
/// # Panics
/// Where a task is not read back as it was written.
pub fn answers(body: &[u8]) {
    ErrorBody::parse(body);
    serde_json::from_slice::<Registered>(body).ok();
    serde_json::from_slice::<StateChange>(body).ok();
    serde_json::from_slice::<MayKeepRunning>(body).ok();
    serde_json::from_slice::<ManagerVersion>(body).ok();
    if let Ok(task) = AssignedTask::parse(body) {
        // It is kept in the spool, and read from there by a later process.
        let kept = serde_json::to_vec(&task).expect("it was read from the same");
        assert_eq!(serde_json::from_slice::<AssignedTask>(&kept).ok(), Some(task));
    }
}

/// Reads whatever a program prints that Blender might.
///
/// # Panics
/// Where a name is found that is not in its line.
pub fn blender_lines(text: &str) {
    for line in text.lines() {
        let line = line.as_bytes();
        assert!(
            parse_line(line)
                .saved
                .is_none_or(|name| memmem::find(line, name).is_some())
        );
    }
}

/// Reads whatever is in a configuration file, in ours or the Go worker's.
///
/// # Panics
/// Where an error has no words.
pub fn configuration(text: &[u8]) {
    for ending in ["toml", "yaml"] {
        let path = PathBuf::from(format!("/dev/shm/fuzz-{}.{ending}", std::process::id()));
        std::fs::write(&path, text).expect("there is memory");
        let words = ["flamenco-worker".into(), "--config".into(), path.into_os_string()];
        let arguments = Arguments::parse(words).expect("such a command line is fine");
        if let Err(error) = Config::load(&arguments, &Environment::capture()) {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Makes a command of whatever a job script hands to one.
///
/// # Panics
/// Where an error has no words.
pub fn parameters(parameters: &[u8]) {
    let Ok(parameters) = serde_json::from_slice::<Value>(parameters) else {
        return;
    };
    for name in COMMANDS {
        let wire = json!({ "name": name, "parameters": parameters, "total_step_count": 1 });
        if let Ok(wire) = serde_json::from_value::<WireCommand>(wire)
            && let Err(error) = Command::try_from(&wire)
        {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Reads whatever a task calls a picture.
///
/// # Panics
/// Where what comes of it does not fit, or an error has no words.
pub fn pictures(bytes: &[u8]) {
    match shrink(&mut Cursor::new(bytes), &Helpers::none()) {
        Ok(image) => assert!(image.width() <= 1920 && image.height() <= 1080),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Reads whatever comes over the Manager's Socket.IO, and filters it in every state.
///
/// # Panics
/// Where an event is not within its packet.
pub fn push(text: &str) {
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
}
