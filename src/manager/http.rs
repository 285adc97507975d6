// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager over HTTP/1.1.
//!
//! ```text
//! endpoints ── ApiRequest (path, body, time-out) ──► here ──► Manager
//!     ▲──── ApiResponse { status, body } ◄────────────┘
//! ```
//!
//! The Manager closes a new connection that does not carry its whole header within a second. So a body is complete before a
//! connection is made, and no connection is made ahead of time.

mod endpoints;

use std::cell::RefCell;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::time::Instant;

use super::ManagerError;
use super::api_request::{ApiRequest, request_result};
use super::broadcast_tracker::BroadcastTracker;
use super::client::{ClientError, ConnectionOptions};
use super::contact_monitor::ContactMonitor;
use super::location::{KnownManager, ManagerLocation};
use super::response::{ApiResponse, ResponseBody};
use crate::home::Credentials;
use crate::manager_url::ManagerUrl;
use crate::metrics::{ApiCall, Metrics};
use crate::timings::Timings;

/// The Manager at one URL, which may have to be found first. Until then no call has an answer.
#[derive(Debug)]
pub(crate) struct HttpManager {
    location: ManagerLocation,
    /// Where it will be.
    next_place: RefCell<Option<KnownManager>>,
    credentials: RefCell<Option<Credentials>>,
    contact: ContactMonitor,
    broadcasts: BroadcastTracker,
    timings: Timings,
    metrics: Option<Metrics>,
}

impl HttpManager {
    /// The Manager at this URL.
    ///
    /// # Errors
    /// Fails if the HTTP client cannot be made.
    pub(crate) fn new(url: ManagerUrl, options: ConnectionOptions, timings: &Timings) -> Result<Self, ClientError> {
        Ok(Self::at(Some(KnownManager::new(url, options, timings)?), timings))
    }

    /// A Manager that is to be found.
    pub(crate) fn not_found_yet(timings: &Timings) -> Self {
        Self::at(None, timings)
    }

    fn at(place: Option<KnownManager>, timings: &Timings) -> Self {
        Self {
            location: ManagerLocation::new(place),
            next_place: RefCell::new(None),
            credentials: RefCell::new(None),
            contact: ContactMonitor::new(timings.contact_gap),
            broadcasts: BroadcastTracker::default(),
            timings: timings.clone(),
            metrics: None,
        }
    }

    /// Waits until it is known where the Manager is. Cancel safe.
    pub(crate) async fn found(&self) {
        self.location.known().await;
    }

    /// Says what the search has come to, for [`last_error`](Self::last_error).
    pub(crate) fn set_search_state(&self, text: impl Into<String>) {
        self.location.set_search(text.into());
    }

    /// Has every request counted.
    pub(crate) fn counted(self, metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Waits until the Manager has had no change of this worker to broadcast for as long as `quiet`.
    pub(super) async fn wait_for_no_broadcasts(&self, quiet: Duration) {
        self.broadcasts.wait_for_none(quiet).await;
    }

    /// The UUID of this worker; empty before the first registration.
    pub(super) fn worker_id(&self) -> String {
        let own = self.credentials.borrow();
        own.as_ref().map_or_else(String::new, |own| own.id.clone())
    }

    /// Says where the Manager is from [`move_on`](super::Manager::move_on) on.
    ///
    /// # Errors
    /// Fails if the HTTP client cannot be made; then nothing has changed.
    pub(crate) fn set_next_place(&self, url: ManagerUrl, options: ConnectionOptions) -> Result<(), ClientError> {
        let place = KnownManager::new(url, options, &self.timings)?;
        self.next_place.replace(Some(place));
        Ok(())
    }

    /// Goes over to the next place, if there is one.
    pub(super) fn go_to_next_place(&self) {
        if let Some(place) = self.next_place.take() {
            self.location.set(place);
        }
    }

    /// As who every call is made; `None` before the first registration.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.credentials.borrow().clone()
    }

    /// Says where the Manager is, which was not known.
    ///
    /// # Errors
    /// As [`set_next_place`](Self::set_next_place).
    pub(crate) fn set_place(&self, url: ManagerUrl, options: ConnectionOptions) -> Result<(), ClientError> {
        self.location.set(KnownManager::new(url, options, &self.timings)?);
        Ok(())
    }

    /// The URL of the Manager and the options of new connections, once they are known.
    pub(crate) fn place(&self) -> Option<(ManagerUrl, ConnectionOptions)> {
        let place = self.location.place()?;
        Some((place.url.clone(), place.options.clone()))
    }

    /// What is waited for: the URL of the Manager and why it did not answer the last call, or what the search for it has
    /// come to. `None` while it answers.
    pub(crate) fn last_error(&self) -> Option<String> {
        let Some(place) = self.location.place() else {
            return self.location.search();
        };
        let error = self.contact.last_error()?;
        Some(format!("{}: {error}", place.url))
    }

    /// Waits until a call gets no answer of the Manager's. Cancel safe.
    pub(crate) async fn failure(&self) {
        self.contact.failure().await;
    }

    /// The time since the Manager's last answer; `None` before the first.
    pub(crate) fn since_last_answer(&self) -> Option<Duration> {
        self.contact.since_last_answer()
    }

    async fn call(&self, call: ApiRequest<'_>) -> Result<ApiResponse, ManagerError> {
        let place = self.location.place().ok_or(ManagerError::NotFound)?;
        let (endpoint, began) = (call.endpoint, Instant::now());
        let response = self.exchange(call, &place).await;
        if let Some(metrics) = &self.metrics {
            metrics.request(endpoint, request_result(&response), began.elapsed());
        }
        match &response {
            Ok(response) if response.is_of_the_manager() => self.contact.answered(),
            Ok(response) => self.contact.failed(&response.error()),
            Err(error) => self.contact.failed(error),
        }
        response
    }

    async fn exchange(&self, call: ApiRequest<'_>, place: &KnownManager) -> Result<ApiResponse, ManagerError> {
        let _under_way = (call.method == Method::POST).then(|| self.broadcasts.track());
        let url = place
            .base
            .join(call.path)
            .map_err(|error| ManagerError::NotTheManager(error.to_string()))?;
        let mut request = place.client.request(call.method, url).timeout(call.limit);
        if call.authenticated
            && let Some(own) = self.credentials.borrow().as_ref()
        {
            request = request.basic_auth(&own.id, Some(&own.secret));
        }
        if let Some((kind, body)) = call.content {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let failed = |error| failure(error, call.limit);
        let mut incoming = request.send().await.map_err(failed)?;
        let (status, headers) = (incoming.status(), std::mem::take(incoming.headers_mut()));
        let mut body = ResponseBody::new(call.most);
        while let Some(chunk) = incoming.chunk().await.map_err(failed)? {
            body.add(&chunk);
        }
        let response = ApiResponse { status, headers, body };
        match response.redirect(&place.url, call.path) {
            Some(redirect) => Err(redirect),
            None => Ok(response),
        }
    }

    fn get<'a>(&self, endpoint: ApiCall, path: &'a str) -> ApiRequest<'a> {
        ApiRequest::new(endpoint, Method::GET, path, self.timings.question_timeout)
    }

    async fn post(&self, endpoint: ApiCall, path: &str, limit: Duration) -> Result<ApiResponse, ManagerError> {
        self.call(ApiRequest::new(endpoint, Method::POST, path, limit)).await
    }

    async fn post_json(
        &self,
        endpoint: ApiCall,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<ApiResponse, ManagerError> {
        let body = serde_json::to_vec(body).map_err(|error| ManagerError::NotTheManager(error.to_string()))?;
        let call = ApiRequest {
            content: Some(("application/json", body)),
            ..ApiRequest::new(endpoint, Method::POST, path, limit)
        };
        self.call(call).await
    }
}

fn failure(error: reqwest::Error, limit: Duration) -> ManagerError {
    match error.is_timeout() {
        true => ManagerError::TimedOut(limit),
        false => error.into(),
    }
}
