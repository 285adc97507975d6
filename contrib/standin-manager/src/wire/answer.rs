// SPDX-License-Identifier: GPL-3.0-or-later
//! An answer as a value, and as bytes on the wire: whole, in chunks, or cut short.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Response, StatusCode,
    body::{Body, Bytes, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderName, HeaderValue, VARY},
};
use serde::Serialize;

use super::go_json;
use crate::farm::Refused;

/// Longer bodies go out in chunks, without a Content-Length.
const CHUNKED_OVER: usize = 2048;

/// What will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Serialize)]
struct HandlerError<'a> {
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct BareError<'a> {
    message: &'a str,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        Self::typed(status, "application/json", go_json::encode(value))
    }

    pub(crate) fn typed(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE.to_string(), content_type.to_owned())],
            body,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The shape of handlers: with a `code`.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &HandlerError { code: status, message })
    }

    /// The shape of validator, router and authentication: without.
    pub(crate) fn bare_error(status: u16, message: &str) -> Self {
        Self::json(status, &BareError { message })
    }

    pub(crate) fn response(self, cut: Option<usize>) -> Response<Payload> {
        let mut response = Response::new(Payload::new(self.body, cut));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if self.status != 101 {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::error(refused.code, &refused.message)
    }
}

impl From<Infallible> for Answer {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The connection is to end here, without another byte.
#[derive(Debug)]
pub(crate) struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection cut on purpose")
    }
}

impl std::error::Error for HungUp {}

/// A body on its way out.
pub(crate) struct Payload {
    rest: Bytes,
    /// What the header claims; `None` sends chunks.
    claimed: Option<u64>,
    stage: Stage,
}

/// A cut body pauses once after its last byte, so that what it has is on the wire before the connection breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Whole,
    CutAfterRest,
    CutNow,
}

impl Payload {
    fn new(body: Vec<u8>, cut: Option<usize>) -> Self {
        let whole = body.len();
        let mut rest = Bytes::from(body);
        let length = u64::try_from(whole).unwrap_or(u64::MAX);
        let Some(cut) = cut else {
            return Self {
                rest,
                claimed: (whole <= CHUNKED_OVER).then_some(length),
                stage: Stage::Whole,
            };
        };
        rest.truncate(cut);
        // An empty body cannot be cut: claim one byte that never comes.
        Self {
            rest,
            claimed: Some(length.max(1)),
            stage: Stage::CutAfterRest,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = HungUp;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HungUp>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        match self.stage {
            Stage::Whole => Poll::Ready(None),
            Stage::CutAfterRest => {
                self.stage = Stage::CutNow;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::CutNow => Poll::Ready(Some(Err(HungUp))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Whole && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.claimed.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
