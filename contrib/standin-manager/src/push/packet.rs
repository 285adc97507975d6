// SPDX-License-Identifier: GPL-3.0-or-later
//! Engine.IO 3 and Socket.IO 2 as the Manager's library speaks them: what one text from a client brings about.

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::room::Subscription;

/// The second packet a client gets.
pub(super) const EMPTY: &str = "40";
/// The only event the Manager listens to.
const SUBSCRIPTION: &str = "/subscription";
/// A session's name, as long as the real ones.
const SID: usize = 20;

/// What one text brings about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    Pong,
    /// With the number of the ack, if one is wanted.
    Subscribe(Subscription, Option<i64>),
    /// The connection ends, without a close frame.
    HangUp,
    /// The library slices past the end of it, and the whole process ends.
    KillManager,
}

/// The server's opening as its library reads one. Only the types matter.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Opening {
    #[serde(rename = "sid")]
    _sid: Option<String>,
    #[serde(rename = "upgrades")]
    _upgrades: Option<Vec<Option<String>>>,
    #[serde(rename = "pingInterval")]
    _ping_interval: Option<i64>,
    #[serde(rename = "pingTimeout")]
    _ping_timeout: Option<i64>,
}

/// The first packet a client gets.
pub(super) fn open(dice: &mut Rng) -> Utf8Bytes {
    let sid: String = (0..SID).map(|_| dice.alphanumeric()).collect();
    format!("0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":30000,\"pingTimeout\":60000}}").into()
}

pub(super) fn ack(number: i64, text: &str) -> Utf8Bytes {
    format!("43{number}[{}]", Value::from(text)).into()
}

pub(super) fn event(name: &str, json: &str) -> Utf8Bytes {
    format!("42[{},{json}]", json!(name)).into()
}

pub(super) fn react(text: &str) -> Reaction {
    let Some((kind, rest)) = text.split_at_checked(1) else {
        return Reaction::HangUp;
    };
    match kind {
        "0" => reopen(rest),
        "1" | "3" => Reaction::Nothing,
        "2" => Reaction::Pong,
        "4" => match rest.split_at_checked(1) {
            Some(("0", _)) => Reaction::Nothing,
            Some(("2", packet)) => emitted(packet),
            Some(("3", packet)) => acknowledged(packet),
            Some(_) | None => Reaction::HangUp,
        },
        _ => Reaction::HangUp,
    }
}

/// A client that sends the server's opening is believed, if it can be decoded.
fn reopen(json: &str) -> Reaction {
    // serde would take a list for the fields in order.
    let list = json.trim_start().starts_with('[');
    match serde_json::from_str::<Option<Opening>>(json) {
        Ok(_) if !list => Reaction::Nothing,
        Ok(_) | Err(_) => Reaction::HangUp,
    }
}

/// `<n>[...`: the number, and the rest from the bracket on.
fn numbered(packet: &str) -> Option<(i64, &str)> {
    let (number, list) = packet.split_at(packet.find('[')?);
    Some((number.parse().ok()?, list))
}

/// `<n>["name",{...}]` after the `42`. The name is what stands between the first two quotes, wherever they are.
fn emitted(packet: &str) -> Reaction {
    let (number, list) = match numbered(packet) {
        Some((number, list)) => (Some(number), list),
        None => (None, packet),
    };
    match named(list) {
        None => Reaction::HangUp,
        Some((SUBSCRIPTION, argument)) => match Subscription::parse(argument) {
            Some(wish) => Reaction::Subscribe(wish, number),
            None => Reaction::Nothing,
        },
        Some(_) => Reaction::Nothing,
    }
}

/// The name, and what follows up to but for the last character. `None`: the library calls the packet wrong.
fn named(list: &str) -> Option<(&str, &str)> {
    let (mut start, mut end, mut rest, mut quotes) = (0, 0, 0, 0);
    for (at, c) in list.char_indices() {
        match (c, quotes) {
            ('"', 0) => (start, quotes) = (at + 1, 1),
            ('"', 1) => (end, rest, quotes) = (at, at + 1, 2),
            ('"', _) => return None,
            (',', 2) => {
                rest = at + 1;
                break;
            }
            (_, _) => {}
        }
    }
    // It cuts the last byte off, whatever it is.
    let argument = list.get(rest..list.len().checked_sub(1)?);
    (start <= end && rest < list.len())
        .then(|| (list.get(start..end).unwrap_or_default(), argument.unwrap_or_default()))
}

/// `<n>[...` after the `43`. Nobody waits for an ack, so a sound one does nothing; one that ends at its bracket is fatal.
fn acknowledged(packet: &str) -> Reaction {
    match numbered(packet) {
        None => Reaction::HangUp,
        Some((_, "[")) => Reaction::KillManager,
        Some(_) => Reaction::Nothing,
    }
}
