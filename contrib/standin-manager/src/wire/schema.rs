// SPDX-License-Identifier: GPL-3.0-or-later
//! The validator in front of the handlers: what a body must look like, and the Manager's words when it does not.
//!
//! Its order: is there a body, the Content-Type, the JSON, then properties in alphabetical order, then missing ones.

use serde::Deserialize;
use serde_json::Value;

use super::{Asked, go_json};
use crate::words::{JobStatus, TaskStatus, WorkerStatus};

/// One body of the API description.
pub(crate) struct Schema {
    name: &'static str,
    /// In alphabetical order.
    properties: &'static [(&'static str, Kind)],
    required: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    /// 1.0 passes here and fails later, in the handler.
    Integer,
    Texts,
    Object,
    WorkerStatus,
    TaskStatus,
    JobStatus,
}

pub(crate) const REGISTRATION: Schema = Schema {
    name: "WorkerRegistration",
    properties: &[
        ("name", Kind::Text),
        ("platform", Kind::Text),
        ("secret", Kind::Text),
        ("supported_task_types", Kind::Texts),
    ],
    required: &["secret", "platform", "supported_task_types", "name"],
};
pub(crate) const SIGN_ON: Schema = Schema {
    name: "WorkerSignOn",
    properties: &[
        ("can_restart", Kind::Flag),
        ("name", Kind::Text),
        ("software_version", Kind::Text),
        ("supported_task_types", Kind::Texts),
    ],
    required: &["name", "supported_task_types", "software_version"],
};
pub(crate) const STATE_CHANGED: Schema = Schema {
    name: "WorkerStateChanged",
    properties: &[("status", Kind::WorkerStatus)],
    required: &["status"],
};
pub(crate) const TASK_UPDATE: Schema = Schema {
    name: "TaskUpdate",
    properties: &[
        ("activity", Kind::Text),
        ("log", Kind::Text),
        ("steps_completed", Kind::Integer),
        ("taskStatus", Kind::TaskStatus),
    ],
    required: &[],
};
pub(crate) const SUBMITTED_JOB: Schema = Schema {
    name: "SubmittedJob",
    properties: &[
        ("metadata", Kind::Object),
        ("name", Kind::Text),
        ("priority", Kind::Integer),
        ("settings", Kind::Object),
        ("submitter_platform", Kind::Text),
        ("type", Kind::Text),
    ],
    required: &["name", "type", "priority", "submitter_platform"],
};
pub(crate) const JOB_STATUS: Schema = Schema {
    name: "JobStatusChange",
    properties: &[("reason", Kind::Text), ("status", Kind::JobStatus)],
    required: &["status", "reason"],
};
pub(crate) const TASK_STATUS: Schema = Schema {
    name: "TaskStatusChange",
    properties: &[("reason", Kind::Text), ("status", Kind::TaskStatus)],
    required: &["status", "reason"],
};
pub(crate) const ASK_WORKER: Schema = Schema {
    name: "WorkerStatusChangeRequest",
    properties: &[("is_lazy", Kind::Flag), ("status", Kind::WorkerStatus)],
    required: &["status", "is_lazy"],
};

impl Schema {
    /// The body as JSON, or the validator's message.
    pub(crate) fn check(&self, asked: &Asked<'_>) -> Result<Value, String> {
        has_body_of_type(asked, &["application/json"])?;
        let value = parse(asked.body).map_err(|why| format!("{PREFIX}failed to decode request body: {why}"))?;
        match self.fault(&value) {
            None => Ok(value),
            Some(fault) => Err(format!(
                "{PREFIX}doesn't match schema #/components/schemas/{}: {fault}",
                self.name
            )),
        }
    }

    fn fault(&self, value: &Value) -> Option<String> {
        let Value::Object(object) = value else {
            let null = value.is_null().then(|| "Value is not nullable".to_owned());
            return null.or_else(|| Some("value must be an object".to_owned()));
        };
        let present = self
            .properties
            .iter()
            .filter_map(|(key, kind)| Some((key, kind, object.get(*key)?)));
        for (key, kind, value) in present {
            if let Some((below, why)) = kind.fault(value) {
                return Some(format!("Error at \"/{key}{below}\": {why}"));
            }
        }
        let missing = self.required.iter().find(|key| !object.contains_key(**key))?;
        Some(format!("Error at \"/{missing}\": property \"{missing}\" is missing"))
    }
}

const PREFIX: &str = "request body has an error: ";

/// `types` are the accepted ones; parameters such as a charset may follow.
pub(crate) fn has_body_of_type(asked: &Asked<'_>, types: &[&str]) -> Result<(), String> {
    if asked.body.is_empty() {
        return Err(format!("{PREFIX}value is required but missing"));
    }
    let sent = asked.header("content-type").unwrap_or_default();
    let bare = sent.split(';').next().unwrap_or_default().trim();
    if types.contains(&bare) {
        return Ok(());
    }
    Err(format!("{PREFIX}header Content-Type has unexpected value {sent:?}"))
}

/// The first value of the body: Go's decoder does not mind what follows.
pub(crate) fn parse(body: &[u8]) -> Result<Value, &'static str> {
    let text = go_json::with_whole_surrogates(&go_json::text(body));
    let mut decoder = serde_json::Deserializer::from_str(&text);
    Value::deserialize(&mut decoder).map_err(|error| {
        if error.is_eof() {
            "unexpected EOF"
        } else {
            "invalid character looking for beginning of value"
        }
    })
}

impl Kind {
    /// Where below this property, and why it is wrong.
    fn fault(self, value: &Value) -> Option<(String, String)> {
        let words = match self {
            Self::WorkerStatus => Some(listed(WorkerStatus::ALL.iter().skip(1).map(|word| word.as_str()))),
            Self::TaskStatus => Some(listed(TaskStatus::ALL.iter().map(|word| word.as_str()))),
            Self::JobStatus => Some(listed(JobStatus::ALL.iter().map(|word| word.as_str()))),
            Self::Text | Self::Flag | Self::Integer | Self::Texts | Self::Object => None,
        };
        let here = |why: &str| Some((String::new(), why.to_owned()));
        if let Some(words) = words {
            let known = value
                .as_str()
                .is_some_and(|word| words.contains(&format!("\"{word}\"")));
            return if known {
                None
            } else {
                here(&format!("value is not one of the allowed values [{words}]"))
            };
        }
        if value.is_null() {
            return here("Value is not nullable");
        }
        match self {
            Self::Text if !value.is_string() => here("value must be a string"),
            Self::Flag if !value.is_boolean() => here("value must be a boolean"),
            Self::Integer if !whole(value) => here("value must be an integer"),
            Self::Object if !value.is_object() => here("value must be an object"),
            Self::Texts => texts_fault(value),
            Self::Text | Self::Flag | Self::Integer | Self::Object => None,
            Self::WorkerStatus | Self::TaskStatus | Self::JobStatus => None,
        }
    }
}

fn texts_fault(value: &Value) -> Option<(String, String)> {
    let Value::Array(items) = value else {
        return Some((String::new(), "value must be an array".to_owned()));
    };
    let at = items.iter().position(|item| !item.is_string())?;
    let why = if items[at].is_null() {
        "Value is not nullable"
    } else {
        "value must be a string"
    };
    Some((format!("/{at}"), why.to_owned()))
}

fn whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(",")
}
