// SPDX-License-Identifier: GPL-3.0-or-later
//! The Manager as seen through a socket.
//!
//! ```text
//! listener -> door (header in time?) -> hyper -> serve: note it down -> fault? -> answer -> Payload, whole or cut
//!                                                                                    |
//!                                              route -> authentication -> schema -> farm
//!
//! after an answer of 101: door -> hyper, which lets go of it -> push::talk
//! ```

pub(crate) mod answer;
pub(crate) mod door;
pub(crate) mod files;
pub(crate) mod go_json;
pub(crate) mod manage;
pub(crate) mod page;
pub(crate) mod route;
pub(crate) mod schema;
pub(crate) mod server;
mod shapes;
pub(crate) mod worker;

use std::net::IpAddr;

use hyper::{HeaderMap, body::Bytes};

use self::{answer::Answer, route::Call};
use crate::{farm::Farm, push};

/// A request with its body read.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) peer: IpAddr,
}

impl Asked<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the Manager writes down as the worker's address.
    pub(crate) fn address(&self) -> String {
        let forwarded = self
            .header("x-forwarded-for")
            .and_then(|list| list.split(',').next())
            .map(str::trim);
        let address = forwarded.or_else(|| self.header("x-real-ip"));
        address.map_or_else(|| self.peer.to_string(), str::to_owned)
    }
}

/// Answers one request for real.
pub(crate) fn answer(farm: &mut Farm, call: &Call, asked: &Asked<'_>) -> Answer {
    match call {
        Call::Worker(call) => worker::answer(farm, call, asked),
        Call::Manage(call) => manage::answer(farm, call, asked),
        Call::Push(call) => push::answer(&farm.options.push, *call, asked),
        Call::Page(asset) => asset.answer(),
        Call::JobFile(path) => files::answer(&farm.storage, path, asked),
        Call::MethodNotAllowed => Answer::bare_error(404, "method not allowed"),
        Call::Unknown => Answer::bare_error(404, "Not Found"),
    }
}
