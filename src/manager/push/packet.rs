// SPDX-License-Identifier: GPL-3.0-or-later

//! One text of the Manager's: pure, and never wrong. What is not understood is [`Packet::Other`].

use crate::protocol::Handshake;

/// A packet of Engine.IO 3 with what Socket.IO 2 puts into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0{...}`: the first of a connection.
    Open(Handshake),
    /// `3`: the answer to a ping.
    Pong,
    /// `42["<name>",<payload>]`. The payload is not looked at: most of it is for others.
    Event { name: &'a str, payload: &'a str },
    /// `43<id>[...]`: the answer to a packet with that id.
    Acknowledged(u32),
    /// `40`, and whatever else there may be.
    Other,
}

impl<'a> Packet<'a> {
    pub fn parse(text: &'a str) -> Self {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_manager_says_is_understood() {
        let open = r#"0{"sid":"PuNAI2fDN1HKgfcDYYVl","upgrades":[],"pingInterval":30000,"pingTimeout":60000}"#;
        let handshake = Handshake {
            ping_interval: Some(30_000),
        };
        assert_eq!(Packet::parse(open), Packet::Open(handshake));
        assert_eq!(Packet::parse("0{}"), Packet::Open(Handshake::default()));
        assert_eq!(Packet::parse("40"), Packet::Other);
        assert_eq!(Packet::parse("3"), Packet::Pong);
        assert_eq!(Packet::parse(r#"4312["ok"]"#), Packet::Acknowledged(12));
        let event = Packet::Event {
            name: "/lifecycle",
            payload: r#"{"type":"manager-shutdown"}"#,
        };
        assert_eq!(Packet::parse(r#"42["/lifecycle",{"type":"manager-shutdown"}]"#), event);
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
            assert_eq!(Packet::parse(text), Packet::Other, "{text:?}");
        }
    }

    proptest! {
        /// Whatever comes is a packet, and nothing is copied of an event: it lies within the text.
        #[test]
        fn any_text_is_some_packet(text in "(0|3|42|43)?[0-9]{0,3}(\\[\"/[a-z]{0,9}\",)?\\PC{0,200}\\]?") {
            if let Packet::Event { name, payload } = Packet::parse(&text) {
                prop_assert!(name.len() + payload.len() < text.len());
            }
        }
    }
}
