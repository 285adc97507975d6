// SPDX-License-Identifier: GPL-3.0-or-later

//! Looks whether a Manager answers at a URL that was perhaps meant instead of the configured one.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use url::Url;

use super::probe::{PORT, ProbeStep, impatient_manager, not_a_stranger};
use super::{ConnectionOptions, Manager, ManagerError, TlsFiles, tls_config};
use crate::blocking::run_blocking;
use crate::manager_url::ManagerUrl;

/// The first segments of the Manager's own pages and calls. What comes before them may be the prefix of a proxy.
const OWN_PATHS: [&str; 2] = ["app", "api"];

/// Tries the URLs that are often meant by one like this, and names the first at which a Manager answers.
pub(super) async fn suggestion(url: &ManagerUrl, step: ProbeStep, patience: Duration) -> Option<String> {
    let asked = alternatives(url, step).into_iter().map(async |other| {
        let tls_url = other.clone();
        let tls = run_blocking(move || tls_config(&tls_url, &TlsFiles::default()))
            .await
            .ok()?;
        let headers = HeaderMap::new();
        let manager = impatient_manager(&other, ConnectionOptions { tls, headers }, patience).ok()?;
        match manager.info().await.and_then(not_a_stranger) {
            Ok(info) => Some(format!(
                "a Flamenco Manager ({:?}, version {}) answers at {other}: set manager = \"{other}\"",
                info.version.name, info.version.version
            )),
            Err(ManagerError::Untrusted(problem)) => Some(format!(
                "https is spoken there (its certificate: {problem}): set manager = \"{other}\""
            )),
            Err(_) => None,
        }
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// The URLs that may be meant instead of `url`, the likeliest first.
fn alternatives(manager: &ManagerUrl, step: ProbeStep) -> Vec<ManagerUrl> {
    let url = manager.url();
    let mut others = Vec::new();
    let base = without_pages(url);
    if matches!(step, ProbeStep::Tls | ProbeStep::Answer) {
        others.push(base.clone());
        if url.port().is_some() {
            let scheme = if url.scheme() == "https" { "http" } else { "https" };
            others.extend(with(&base, scheme, url.port()));
        }
        let mut bare = base.clone();
        bare.set_path("/");
        others.push(bare);
    }
    if step != ProbeStep::Address {
        let mut bare = base;
        bare.set_path("/");
        others.extend(with(&bare, "http", Some(PORT)));
    }
    let mut seen = vec![url.clone()];
    others.retain(|other| {
        let new = !seen.contains(other);
        seen.push(other.clone());
        // https needs a name where the address is link-local.
        new && (manager.zone().is_none() || other.scheme() == "http")
    });
    others.into_iter().map(|other| manager.with_url(other)).collect()
}

fn with(url: &Url, scheme: &str, port: Option<u16>) -> Option<Url> {
    let mut other = url.clone();
    other.set_scheme(scheme).ok()?;
    other.set_port(port).ok()?;
    Some(other)
}

/// The URL without the path of one of the Manager's own pages, with which it may have been copied from a browser.
fn without_pages(url: &Url) -> Url {
    let segments = url.path_segments().into_iter().flatten();
    let before: Vec<_> = segments
        .take_while(|segment| !segment.is_empty() && !OWN_PATHS.contains(segment))
        .collect();
    let mut base = url.clone();
    base.set_path(&before.iter().map(|segment| format!("/{segment}")).collect::<String>());
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(url: &str, step: ProbeStep) -> Vec<String> {
        let others = alternatives(&ManagerUrl::parse(url).unwrap(), step);
        others.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_may_be_meant_is_tried_in_order() {
        assert_eq!(
            others("http://m:8080/app/jobs/", ProbeStep::Answer),
            ["http://m:8080/", "https://m:8080/"]
        );
        assert_eq!(
            others("http://proxy/farm/app/workers/", ProbeStep::Answer),
            ["http://proxy/farm/", "http://proxy/", "http://proxy:8080/"]
        );
        assert_eq!(others("https://m:8080/", ProbeStep::Tls), ["http://m:8080/"]);
        assert_eq!(others("http://m/", ProbeStep::Connection), ["http://m:8080/"]);
        assert_eq!(
            others("https://[::1]/x/", ProbeStep::Connection),
            ["http://[::1]:8080/"]
        );
        assert_eq!(others("http://m:8080/", ProbeStep::Connection), [""; 0]);
        assert_eq!(
            others("http://[fe80::1%eth0]:80/app/", ProbeStep::Answer),
            ["http://[fe80::1%eth0]/", "http://[fe80::1%eth0]:8080/"]
        );
        assert_eq!(others("http://m:80/app/", ProbeStep::Address), [""; 0]);
    }
}
