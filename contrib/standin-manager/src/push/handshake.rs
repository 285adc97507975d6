// SPDX-License-Identifier: GPL-3.0-or-later
//! The request for a websocket: 101, or the Manager's 503 with the words of its library.

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    options::PushOptions,
    wire::{Asked, answer::Answer, route::PushCall},
};

/// Bytes in a websocket's key.
const KEY: usize = 16;

/// Origin, query, extensions and subprotocols are not looked at.
pub(crate) fn answer(options: &PushOptions, call: PushCall, asked: &Asked<'_>) -> Answer {
    if let Some(refusal) = &options.refused {
        return Answer::typed(refusal.status, "text/html", refusal.body.clone().into_bytes());
    }
    match call {
        PushCall::OtherMethod => failed("Method not allowed"),
        PushCall::Upgrade => accepted_key(asked).map_or_else(failed, |key| {
            let mut answer = Answer::empty(101);
            let headers = [
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-accept", key.as_str()),
            ];
            answer.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            answer
        }),
    }
}

fn accepted_key(asked: &Asked<'_>) -> Result<String, &'static str> {
    let key = asked.header("sec-websocket-key").unwrap_or_default();
    if !has_token(asked, "connection", "upgrade") {
        Err(
            "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header",
        )
    } else if !has_token(asked, "upgrade", "websocket") {
        Err(
            "websocket: the client is not using the websocket protocol: 'websocket' token not found in 'Upgrade' header",
        )
    } else if !has_token(asked, "sec-websocket-version", "13") {
        Err("websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header")
    } else if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY) {
        Ok(derive_accept_key(key.as_bytes()))
    } else {
        Err(
            "websocket: not a websocket handshake: 'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length",
        )
    }
}

fn has_token(asked: &Asked<'_>, header: &str, token: &str) -> bool {
    let values = asked.headers.get_all(header).into_iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','));
    tokens.any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn failed(why: &str) -> Answer {
    let text = format!("Upgrade failed: {why}\n");
    let mut answer = Answer::typed(503, "text/plain; charset=utf-8", text.into_bytes());
    answer
        .headers
        .push(("x-content-type-options".to_owned(), "nosniff".to_owned()));
    answer
}
