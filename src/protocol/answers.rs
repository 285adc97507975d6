// SPDX-License-Identifier: GPL-3.0-or-later

//! What the Manager says to us.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::status::WorkerStatus;

/// Answer to `register-worker`. The other fields are echoes, some of them empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Registered {
    pub uuid: String,
}

/// Answer to `sign-on`, `state` and (with 423) the fetch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateChange {
    pub status_requested: WorkerStatus,
}

/// Answer to `may-i-run`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MayKeepRunning {
    pub may_keep_running: bool,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub status_change_requested: bool,
}

/// A task to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedTask {
    pub uuid: String,
    /// The job's UUID.
    pub job: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub job_type: String,
    #[serde(default)]
    pub task_type: String,
    /// `null` on the wire when there are none.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub commands: Vec<WireCommand>,
    /// May be 0: nothing counts steps.
    #[serde(default)]
    pub steps_total: u32,
}

/// One command of a task, before anything is known of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WireCommand {
    pub name: String,
    /// Any JSON; `null` on the wire when there are none.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub parameters: Map<String, Value>,
    /// 0: the command counts as one step when it has ended well.
    #[serde(default)]
    pub total_step_count: u32,
}

/// Answer to `version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManagerVersion {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
}

/// An error of the Manager's. Its validator, router and authentication leave `code` out, and one
/// answer is a bare string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    pub code: Option<u16>,
    pub message: String,
}

impl ErrorBody {
    /// Reads an error body; `None` when it does not look like one of the Manager's.
    pub fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Object { code: Option<u16>, message: String },
            Text(String),
        }
        match serde_json::from_slice(body).ok()? {
            Shape::Object { code, message } => Some(Self { code, message }),
            Shape::Text(message) => Some(Self { code: None, message }),
        }
    }
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_lists_and_parameters_are_empty() {
        let text = r#"{"uuid":"t","job":"j","name":"n","commands":null,"steps_total":0,"new_field":[1]}"#;
        let task: AssignedTask = serde_json::from_str(text).unwrap();
        assert!(task.commands.is_empty());
        let command: WireCommand =
            serde_json::from_str(r#"{"name":"echo","parameters":null,"total_step_count":0}"#).unwrap();
        assert!(command.parameters.is_empty());
    }

    #[test]
    fn a_registration_answer_with_an_empty_status_is_read() {
        let text = r#"{"address":"127.0.0.1","name":"n","platform":"linux","software":"","status":"","supported_task_types":["misc"],"uuid":"u"}"#;
        assert_eq!(serde_json::from_str::<Registered>(text).unwrap().uuid, "u");
        let change: StateChange = serde_json::from_str(r#"{"status_requested":""}"#).unwrap();
        assert_eq!(change.status_requested, WorkerStatus::Other(String::new()));
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
            let _not_an_error = ErrorBody::parse(&body);
            let _not_this = serde_json::from_slice::<Registered>(&body).is_ok();
            let _not_this = serde_json::from_slice::<MayKeepRunning>(&body).is_ok();
            let _not_this = serde_json::from_slice::<AssignedTask>(&body).is_ok();
        }

        /// It waits in the spool, and a later process reads it.
        #[test]
        fn a_task_survives_being_kept(name: String, exe: String, number: f64, steps: u32) {
            let task = serde_json::json!({
                "uuid": "u", "job": "j", "name": name, "steps_total": steps,
                "commands": [{ "name": "exec", "parameters": { "exe": exe, "args": [number, null, [true]] } }],
            });
            let task: AssignedTask = serde_json::from_value(task).unwrap();
            let kept = serde_json::to_vec(&task).unwrap();
            proptest::prop_assert_eq!(serde_json::from_slice::<AssignedTask>(&kept).unwrap(), task);
        }
    }
}
