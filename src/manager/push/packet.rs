// SPDX-License-Identifier: GPL-3.0-or-later

//! The packets of Engine.IO 3 with what Socket.IO 2 puts into them, in both directions. This file is pure.

use std::fmt;

use crate::protocol::{Handshake, Subscription, SubscriptionChange};

/// A packet that the Manager sent. Parsing never fails: what is not understood is [`ServerPacket::Other`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerPacket<'a> {
    /// `0{...}`: the first packet of a connection.
    Open(Handshake),
    /// `3`: the answer to a ping.
    Pong,
    /// `42["<name>",<payload>]`. The payload is not parsed here, because most events are for other workers.
    Event {
        /// The event's name, such as `/jobs`.
        name: &'a str,
        /// The event's argument, as JSON.
        payload: &'a str,
    },
    /// `43<id>[...]`: the answer to the packet with that id.
    Acknowledged(u32),
    /// `40`, and everything else.
    Other,
}

/// A group of connections to which the Manager sends events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// `/workers` events of every worker; no room exists for a single worker.
    Workers,
    /// `/jobs` events of every job; a job's own room carries no events about the job itself.
    Jobs,
    /// `/task` events of every task of one job.
    Job(String),
}

/// A packet that is sent to the Manager. Its `Display` is the text of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientPacket {
    /// `2`: asks for a [`ServerPacket::Pong`].
    Ping,
    /// Enters or leaves a room. The acknowledgement carries the same id.
    ChangeSubscription {
        id: u32,
        change: SubscriptionChange,
        room: Room,
    },
}

impl<'a> ServerPacket<'a> {
    /// Reads one text of the websocket.
    pub(crate) fn parse(text: &'a str) -> Self {
        if let Some(rest) = text.strip_prefix("42") {
            return Self::event(rest).unwrap_or(Self::Other);
        }
        if let Some(rest) = text.strip_prefix("43") {
            return rest
                .split_once('[')
                .and_then(|(id, _)| id.parse().ok())
                .map_or(Self::Other, Self::Acknowledged);
        }
        if let Some(json) = text.strip_prefix('0') {
            return serde_json::from_str(json).map_or(Self::Other, Self::Open);
        }
        if text == "3" { Self::Pong } else { Self::Other }
    }

    fn event(text: &'a str) -> Option<Self> {
        let (name, rest) = text.strip_prefix("[\"")?.split_once('"')?;
        let payload = rest.strip_prefix(',')?.strip_suffix(']')?;
        Some(Self::Event { name, payload })
    }
}

impl Room {
    /// Whether the room carries events of the whole farm.
    pub(super) fn is_farm_wide(&self) -> bool {
        match self {
            Self::Workers | Self::Jobs => true,
            Self::Job(_) => false,
        }
    }
}

impl fmt::Display for ClientPacket {
    /// Writes `42<id>["/subscription",{...}]`, in exactly the form that the Manager's simple parser expects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, change, room) = match self {
            Self::Ping => return f.write_str("2"),
            Self::ChangeSubscription { id, change, room } => (id, *change, room),
        };
        let (kind, uuid) = match room {
            Room::Workers => ("allWorkers", None),
            Room::Jobs => ("allJobs", None),
            Room::Job(uuid) => ("job", Some(uuid.as_str())),
        };
        let argument = serde_json::to_string(&Subscription { op: change, kind, uuid }).map_err(|_| fmt::Error)?;
        write!(f, r#"42{id}["/subscription",{argument}]"#)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_manager_sends_is_understood() {
        let open = r#"0{"sid":"PuNAI2fDN1HKgfcDYYVl","upgrades":[],"pingInterval":30000,"pingTimeout":60000}"#;
        let handshake = Handshake {
            ping_interval: Some(30_000),
        };
        assert_eq!(ServerPacket::parse(open), ServerPacket::Open(handshake));
        assert_eq!(ServerPacket::parse("0{}"), ServerPacket::Open(Handshake::default()));
        assert_eq!(ServerPacket::parse("40"), ServerPacket::Other);
        assert_eq!(ServerPacket::parse("3"), ServerPacket::Pong);
        assert_eq!(ServerPacket::parse(r#"4312["ok"]"#), ServerPacket::Acknowledged(12));
        let event = ServerPacket::Event {
            name: "/lifecycle",
            payload: r#"{"type":"manager-shutdown"}"#,
        };
        assert_eq!(
            ServerPacket::parse(r#"42["/lifecycle",{"type":"manager-shutdown"}]"#),
            event
        );
    }

    #[test]
    fn nonsense_is_something_else() {
        for text in [
            "",
            "0",
            "0null",
            "0{",
            "42",
            "42[",
            "42[\"",
            "42[\"a\"]",
            "42[\"a\",1",
            "43",
            "43x[",
            "4399999999999[",
            "33",
            "\u{1f980}",
        ] {
            assert_eq!(ServerPacket::parse(text), ServerPacket::Other, "{text:?}");
        }
    }

    proptest! {
        /// Any text is parsed, and an event is not copied: it lies within the text.
        #[test]
        fn any_text_is_some_packet(text in "(0|3|42|43)?[0-9]{0,3}(\\[\"/[a-z]{0,9}\",)?\\PC{0,200}\\]?") {
            if let ServerPacket::Event { name, payload } = ServerPacket::parse(&text) {
                prop_assert!(name.len() + payload.len() < text.len());
            }
        }

        /// The job's id comes from the Manager and may be any text. The packet must not become the one that ends the
        /// Manager, and its argument must stay JSON.
        #[test]
        fn nothing_that_is_sent_starts_with_43(id in any::<u32>(), job in "\\PC{0,40}|43.*") {
            let text = ClientPacket::ChangeSubscription { id, change: SubscriptionChange::Subscribe, room: Room::Job(job) }.to_string();
            prop_assert!(text.starts_with("42"));
            let json = &text[text.find('[').unwrap()..];
            prop_assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }
    }
}
