// SPDX-License-Identifier: GPL-3.0-or-later
//! Rooms, and the wish to be in one.

use serde_json::Value;

use crate::farm::is_id;

/// What a client can listen to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    LifeCycle,
    FarmStatus,
    Jobs,
    Workers,
    LastRendered,
    WorkerTags,
    Job(String),
    JobLastRendered(String),
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LifeCycle => f.write_str("/lifecycle"),
            Self::FarmStatus => f.write_str("/status"),
            Self::Jobs => f.write_str("/jobs"),
            Self::Workers => f.write_str("/workers"),
            Self::LastRendered => f.write_str("/last-rendered"),
            Self::WorkerTags => f.write_str("/workertags"),
            Self::Job(id) => write!(f, "/jobs/{id}"),
            Self::JobLastRendered(id) => write!(f, "/jobs/{id}/last-rendered"),
        }
    }
}

/// In or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Enter,
    Exit,
}

/// The argument of `/subscription`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    op: String,
    kind: String,
    uuid: Option<String>,
}

impl Subscription {
    /// `None` where Go's decoder would refuse: not an object, or a key of another type. A lone `null` is an empty object.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let object = match serde_json::from_str(json).ok()? {
            Value::Null => return Some(Self::default()),
            Value::Object(object) => object,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
        };
        // Go takes a key in any case.
        let value = |key: &str| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        let text = |key: &str| match value(key).map(|(_, value)| value) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => None,
        };
        Some(Self {
            op: text("op")?.unwrap_or_default(),
            kind: text("type")?.unwrap_or_default(),
            uuid: text("uuid")?,
        })
    }

    /// The rooms it is about, or the Manager's words why there are none.
    pub(super) fn rooms(self) -> Result<(Wish, Vec<Room>), &'static str> {
        if self.uuid.as_ref().is_some_and(|id| !is_id(id)) {
            return Err("invalid UUID, ignoring request");
        }
        let rooms = match (self.kind.as_str(), self.uuid) {
            ("allJobs", _) => vec![Room::Jobs],
            ("allWorkers", _) => vec![Room::Workers],
            ("allLastRendered", _) => vec![Room::LastRendered],
            ("allWorkerTags", _) => vec![Room::WorkerTags],
            ("job", Some(id)) => vec![Room::Job(id.clone()), Room::JobLastRendered(id)],
            ("job", None) => return Err("operation on job requires a UUID"),
            // The Manager's slip: the room of a job with the task's id, where nothing is ever said.
            ("tasklog", Some(id)) => vec![Room::Job(id)],
            ("tasklog", None) => return Err("operation on task requires a UUID"),
            (_, _) => return Err("unknown subscription type, ignoring request"),
        };
        let wish = match self.op.as_str() {
            "subscribe" => Wish::Enter,
            "unsubscribe" => Wish::Exit,
            _ => {
                return Err(
                    "unable to perform subscription operation: invalid subscription operation, ignoring request",
                );
            }
        };
        Ok((wish, rooms))
    }
}
