// SPDX-License-Identifier: GPL-3.0-or-later

//! A request of the worker API, before it is sent, and how what came back is counted.

use std::time::Duration;

use reqwest::Method;

use super::ManagerError;
use super::response::ApiResponse;
use crate::metrics::{ApiCall, RequestResult};

/// The largest answer that is read, in bytes, except for a task. A proxy's error page, or another server on that port, may
/// send anything.
const LARGEST_ANSWER: usize = 1 << 20;

/// One request of the worker API.
pub(super) struct ApiRequest<'a> {
    pub(super) endpoint: ApiCall,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) content: Option<(&'static str, Vec<u8>)>,
    pub(super) limit: Duration,
    pub(super) authenticated: bool,
    /// If the answer has more bytes than this, only its end is kept.
    pub(super) most: usize,
}

impl<'a> ApiRequest<'a> {
    /// A request without a body, for a small answer.
    pub(super) fn new(endpoint: ApiCall, method: Method, path: &'a str, limit: Duration) -> Self {
        Self {
            endpoint,
            method,
            path,
            content: None,
            limit,
            authenticated: true,
            most: LARGEST_ANSWER,
        }
    }
}

/// What came back, as it is counted. A redirect is an error, and an answer nevertheless.
pub(super) fn request_result(response: &Result<ApiResponse, ManagerError>) -> RequestResult {
    match response {
        Ok(response) => match response.status.as_u16() {
            ..300 => RequestResult::Success,
            300..400 => RequestResult::Redirect,
            400..500 => RequestResult::ClientError,
            500.. => RequestResult::ServerError,
        },
        Err(ManagerError::Redirected { .. }) => RequestResult::Redirect,
        Err(_) => RequestResult::NoAnswer,
    }
}
