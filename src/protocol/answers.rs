// SPDX-License-Identifier: GPL-3.0-or-later

//! The bodies of the Manager's answers.

use serde::{Deserialize, Deserializer};

use super::id::Id;
use super::status::WorkerStatus;
use crate::bounded;

/// The answer to `register-worker`. Its other fields repeat what was sent, or are empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Registered {
    /// The id of the new worker.
    pub uuid: Id,
}

/// The answer to `sign-on`, to `state` and, with 423, to the fetch of a task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct StateChange {
    /// The status that the worker is to have.
    pub status_requested: WorkerStatus,
}

/// The answer to `may-i-run`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MayKeepRunning {
    /// Whether the task may go on.
    pub may_keep_running: bool,
    /// Why it may not, for people.
    #[serde(default, deserialize_with = "words")]
    pub reason: String,
    /// Whether the reason is that the worker is to change its status.
    #[serde(default)]
    pub status_change_requested: bool,
}

/// The answer to `version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ManagerVersion {
    /// The name that the Manager was given.
    #[serde(default, deserialize_with = "words")]
    pub name: String,
    /// Such as `3.9-beta1`.
    #[serde(default, deserialize_with = "words")]
    pub version: String,
}

/// The body of an error of the Manager's. Its validator, router and authentication leave `code` out, and one
/// answer is a bare string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// Repeats the HTTP status.
    pub code: Option<u16>,
    /// What is wrong, for people.
    pub message: String,
}

impl ErrorBody {
    /// Parses the body of an error; `None` if it does not look like one of the Manager's.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum ErrorForm {
            Object { code: Option<u16>, message: String },
            Text(String),
        }
        let (code, message) = match serde_json::from_slice(body).ok()? {
            ErrorForm::Object { code, message } => (code, message),
            ErrorForm::Text(message) => (None, message),
        };
        Some(Self {
            code,
            message: bounded::shorten_message(message),
        })
    }
}

/// Reads a text for people, which may be of any length, and keeps it bounded.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(bounded::shorten_message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_answer_with_an_empty_status_is_read() {
        let text = r#"{"address":"127.0.0.1","name":"n","platform":"linux","software":"","status":"","supported_task_types":["misc"],"uuid":"u"}"#;
        assert_eq!(serde_json::from_str::<Registered>(text).unwrap().uuid.as_str(), "u");
        let change: StateChange = serde_json::from_str(r#"{"status_requested":""}"#).unwrap();
        assert_eq!(change.status_requested, WorkerStatus::Other(String::new()));
    }

    #[test]
    fn i26_words_of_any_length_are_kept_at_a_bound() {
        let long = "x".repeat(4_000_000);
        let message = ErrorBody::parse(format!(r#"{{"message":"{long}"}}"#).as_bytes()).unwrap();
        let no = format!(r#"{{"mayKeepRunning":false,"reason":"{long}"}}"#);
        let no: MayKeepRunning = serde_json::from_str(&no).unwrap();
        let change: StateChange = serde_json::from_str(&format!(r#"{{"status_requested":"{long}"}}"#)).unwrap();
        for words in [&message.message, &no.reason, change.status_requested.as_str()] {
            assert!(words.len() < 2000, "{} bytes", words.len());
        }
    }

    #[test]
    fn every_shape_of_error_body_is_read_and_no_other() {
        let full = ErrorBody::parse(br#"{"code":404,"message":"task x not found"}"#).unwrap();
        assert_eq!((full.code, full.message.as_str()), (Some(404), "task x not found"));
        assert_eq!(ErrorBody::parse(br#"{"message":"Not Found"}"#).unwrap().code, None);
        assert_eq!(
            ErrorBody::parse(b"\"Task does not exist\"").unwrap().message,
            "Task does not exist"
        );
        assert_eq!(ErrorBody::parse(b"<html>502</html>"), None);
        assert_eq!(ErrorBody::parse(b"{}"), None);
    }

    proptest::proptest! {
        /// A proxy may answer anything at all.
        #[test]
        fn no_body_is_too_odd_to_be_read_as_any_answer(body: Vec<u8>) {
            ErrorBody::parse(&body);
            serde_json::from_slice::<Registered>(&body).ok();
            serde_json::from_slice::<MayKeepRunning>(&body).ok();
        }
    }
}
