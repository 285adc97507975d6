// SPDX-License-Identifier: GPL-3.0-or-later
//! The list of requests, for tests that ask what a worker said, when, and what it was told.

use std::time::Duration;

use serde_json::Value;

use crate::wire::route::Endpoint;

/// One request. Times count from the start of the stand-in, on a clock that never goes back.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Counts all requests, from 0; not reset when the list is cleared.
    pub number: u64,
    /// Counts connections, from 0: equal for requests on one kept-alive connection.
    pub connection: u64,
    /// Its header was complete.
    pub received: Duration,
    /// Its answer was handed to the socket, or it was given up.
    pub finished: Option<Duration>,
    pub method: String,
    pub path: String,
    pub endpoint: Endpoint,
    /// The user of its credentials, whether they were right or not.
    pub worker: Option<String>,
    /// The task in its path.
    pub task: Option<String>,
    pub body: SeenBody,
    pub outcome: Outcome,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum SeenBody {
    Empty,
    Json(Value),
    /// Not JSON: its length.
    Bytes(usize),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Answered(u16),
    /// An answer with this status was begun and cut on purpose.
    Cut(u16),
    /// The connection ended without an answer: by a fault, by the client, or because the stand-in stopped.
    Dropped,
}

impl Seen {
    /// The body, if it was JSON.
    #[must_use]
    pub fn json(&self) -> Option<&Value> {
        match &self.body {
            SeenBody::Json(value) => Some(value),
            SeenBody::Empty | SeenBody::Bytes(_) => None,
        }
    }

    /// The status it was answered with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered(status) => Some(status),
            Outcome::Pending | Outcome::Cut(_) | Outcome::Dropped => None,
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.received.as_secs_f64();
        write!(
            f,
            "{at:9.3} #{} c{} {} {}",
            self.number, self.connection, self.method, self.path
        )?;
        match &self.body {
            SeenBody::Empty => {}
            SeenBody::Json(value) => write!(f, " {}", shortened(&value.to_string()))?,
            SeenBody::Bytes(length) => write!(f, " <{length} bytes>")?,
        }
        match self.outcome {
            Outcome::Answered(status) => write!(f, " -> {status}"),
            Outcome::Cut(status) => write!(f, " -> {status}, cut"),
            Outcome::Pending => f.write_str(" -> (no answer yet)"),
            Outcome::Dropped => f.write_str(" -> dropped"),
        }
    }
}

/// Enough of a long text to recognise it in a dump.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
