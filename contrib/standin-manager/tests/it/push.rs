// SPDX-License-Identifier: GPL-3.0-or-later
//! A websocket client of a few lines that sees every frame, whatever it is.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use standin_manager::StandIn;

use crate::client::connect;

/// One frame from the server, or the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Pong(Vec<u8>),
    Close(u16, String),
    /// No close frame came before it.
    End,
}

pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) head: String,
    rest: Vec<u8>,
    /// The farm's states so far. They come to everyone and at the Manager's own pace, so they are kept apart.
    pub(crate) states: Vec<String>,
}

/// How an event of the farm's state begins.
const STATE: &str = "42[\"/status\",{\"status\":\"";

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

pub(crate) fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: standin\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: PeZt2admPA9zHip3oxqD6A==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

impl Client {
    /// Upgraded, and the first two packets read.
    pub(crate) fn open(standin: &StandIn) -> Self {
        let mut client = Self::upgraded(standin.port(), &upgrade("/socket.io/?EIO=3&transport=websocket", ""));
        assert!(client.text().starts_with("0{\"sid\":\""));
        assert_eq!(client.text(), "40");
        client
    }

    pub(crate) fn upgraded(port: u16, request: &str) -> Self {
        let mut client = Self {
            stream: connect(port),
            head: String::new(),
            rest: Vec::new(),
            states: Vec::new(),
        };
        client.stream.write_all(request.as_bytes()).unwrap();
        while !client.rest.ends_with(b"\r\n\r\n") {
            let byte = client.take(1).unwrap();
            client.rest.extend(byte);
        }
        client.head = String::from_utf8(std::mem::take(&mut client.rest)).unwrap();
        client
    }

    /// Subscribed to all that is not about one job.
    pub(crate) fn to_all(standin: &StandIn) -> Self {
        let mut client = Self::open(standin);
        for kind in ["allJobs", "allWorkers", "allLastRendered", "allWorkerTags"] {
            client.joins(&json!({"op": "subscribe", "type": kind}));
        }
        client
    }

    pub(crate) fn joins(&mut self, wish: &Value) {
        self.says(&format!("427[\"/subscription\",{wish}]"));
        assert_eq!(self.text(), "437[\"ok\"]");
    }

    pub(crate) fn says(&mut self, text: &str) {
        self.frame(FINAL | TEXT, text.as_bytes());
    }

    pub(crate) fn whole(&mut self, kind: u8, payload: &[u8]) {
        self.frame(FINAL | kind, payload);
    }

    /// A masked frame. The other side may be gone: what it said before that is still to be read.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        let mask = [1, 2, 3, 4];
        let mut bytes = header(first, MASKED, payload.len());
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.bytes(&bytes);
    }

    pub(crate) fn unmasked(&mut self, payload: &[u8]) {
        let mut bytes = header(FINAL | TEXT, 0, payload.len());
        bytes.extend(payload);
        self.bytes(&bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{error}")
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing more is said"),
            Err(_) => None,
        }
    }

    /// The next frame that is not about the farm's state.
    pub(crate) fn hears(&mut self) -> Heard {
        loop {
            match self.next_frame() {
                Heard::Text(text) if text.starts_with(STATE) => {
                    self.states.push(text[STATE.len()..text.len() - 3].to_owned());
                }
                other @ (Heard::Text(_) | Heard::Pong(_) | Heard::Close(..) | Heard::End) => return other,
            }
        }
    }

    pub(crate) fn next_frame(&mut self) -> Heard {
        let Some(head) = self.take(2) else { return Heard::End };
        let length = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.take(2).unwrap().try_into().unwrap())),
            short => usize::from(short),
        };
        let payload = self.take(length).unwrap();
        assert_eq!(head[0] & 0xf0, FINAL, "one frame for one packet, no extensions");
        match head[0] & 0x0f {
            TEXT => Heard::Text(String::from_utf8(payload).unwrap()),
            PONG => Heard::Pong(payload),
            CLOSE => Heard::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            ),
            other => panic!("opcode {other}"),
        }
    }

    pub(crate) fn text(&mut self) -> String {
        match self.hears() {
            Heard::Text(text) => text,
            other @ (Heard::Pong(_) | Heard::Close(..) | Heard::End) => panic!("no text: {other:?}"),
        }
    }

    /// Whatever was said to it before this call, sorted.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        let mut texts = self.heard_in_order();
        texts.sort_unstable();
        texts
    }

    /// Events wait in no order, so the answer to one ping may overtake them; the answer to a second may not.
    pub(crate) fn heard_in_order(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..2 {
            self.says("2");
            loop {
                match self.text() {
                    pong if pong == "3" => break,
                    text => texts.push(text),
                }
            }
        }
        texts
    }
}

fn header(first: u8, masked: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short < 126 => vec![first, masked | short],
        Ok(_) | Err(_) => {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            vec![first, masked | 126, high, low]
        }
    }
}

/// A text with every time of day as `T`.
pub(crate) fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"20") {
        let end = at + 1 + rest[at + 1..].find('"').unwrap();
        let quoted = &rest[at + 1..end];
        out.push_str(&rest[..=at]);
        out.push_str(if quoted.ends_with('Z') && quoted.as_bytes()[4] == b'-' {
            "T"
        } else {
            quoted
        });
        rest = &rest[end..];
    }
    out + rest
}

/// What an event says.
pub(crate) fn payload(text: &str) -> Value {
    let list: Value = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
    list[1].clone()
}
