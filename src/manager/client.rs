// SPDX-License-Identifier: GPL-3.0-or-later

//! How connections to the Manager are made, and the HTTP client that makes them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use rustls::ClientConfig;
use url::Position;

use super::dial::ReachableFirst;
use crate::manager_url::ManagerUrl;
use crate::timings::Timings;

/// A connection that was idle for longer is not used again: proxies close idle connections silently after a minute.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// The `User-Agent` of every connection.
pub(super) const AGENT: &str = concat!("flamenco-worker/", env!("CARGO_PKG_VERSION"));

/// The options of every connection to the Manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionOptions {
    /// From [`tls_config`](super::tls_config); `None` for plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sent with every request, for a proxy in front of the Manager. Secret values are marked as such.
    pub headers: HeaderMap,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare HTTP")]
pub(crate) struct ClientError(#[source] reqwest::Error);

/// Makes an HTTP client.
///
/// The client uses no proxy from the environment: a farm's Manager is on its own network, which a proxy for the internet
/// does not serve. The client follows no redirect: nearly every call here is a POST, which must not become a GET, and each
/// redirect would cost time; the error names the target instead.
///
/// # Errors
/// Returns what the HTTP library reports.
pub(super) fn client(
    manager: &ManagerUrl,
    options: &ConnectionOptions,
    timings: &Timings,
) -> Result<Client, ClientError> {
    // reqwest panics without a provider. A provider that is installed already is no error.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut headers = options.headers.clone();
    // Another host is asked for, see `dial`.
    if manager.zone().is_some()
        && let Ok(host) = HeaderValue::from_str(&manager.url()[Position::BeforeHost..Position::AfterPort])
    {
        headers.insert(HOST, host);
    }
    let builder = Client::builder()
        .user_agent(AGENT)
        .default_headers(headers)
        .connect_timeout(timings.connect)
        .dns_resolver(ReachableFirst {
            manager: manager.clone(),
            patience: timings.connect / 2,
        })
        .pool_idle_timeout(KEEP_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = match &options.tls {
        Some(tls) => builder.tls_backend_preconfigured(ClientConfig::clone(tls)),
        // With rustls a host without CA certificates could not even speak plain HTTP.
        None => builder.tls_certs_only(std::iter::empty()),
    };
    builder.build().map_err(ClientError)
}
