// SPDX-License-Identifier: GPL-3.0-or-later

//! What every connection to the Manager is made with.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use url::Url;

use super::dial::Living;
use crate::timings::Timings;

/// Connections that idle longer are not used again: proxies close them without a word after a minute.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// How we introduce ourselves, on every connection.
pub(super) const AGENT: &str = concat!("flamenco-worker/", env!("CARGO_PKG_VERSION"));

/// What it takes to get through to the Manager, for every connection there.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// From [`tls`](super::tls); `None` for plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sent with every request, for whatever stands in front of the Manager. Values that are secret are marked so.
    pub headers: HeaderMap,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare HTTP")]
pub struct HttpError(#[source] reqwest::Error);

/// No proxy of the environment's is used: a farm's Manager is on its own network, where a proxy for the way out would
/// only be in the way. No redirect is followed: nearly every call here is a POST, which must not become a GET, and
/// each would be one more way to lose time; the error names the target instead.
pub(super) fn client(base: &Url, reach: &Reach, timings: &Timings) -> Result<Client, HttpError> {
    // reqwest panics without a provider; that there is one already is no error.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = Client::builder()
        .user_agent(AGENT)
        .default_headers(reach.headers.clone())
        .connect_timeout(timings.connect)
        .dns_resolver(Living {
            port: base.port_or_known_default().unwrap_or(80),
            patience: timings.connect / 2,
        })
        .pool_idle_timeout(KEEP_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = match &reach.tls {
        Some(tls) => builder.tls_backend_preconfigured(ClientConfig::clone(tls)),
        // With rustls a host without CA certificates could not even speak plain HTTP.
        None => builder.tls_certs_only(std::iter::empty()),
    };
    builder.build().map_err(HttpError)
}
