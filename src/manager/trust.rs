// SPDX-License-Identifier: GPL-3.0-or-later

//! Whom we trust, and who we are, below HTTP: one TLS configuration for every connection to the Manager.
//!
//! ```text
//! the system's authorities ─┐
//! ca_file ──────────────────┼─► ClientConfig ─► http, push
//! client certificate, key ──┘
//! ```
//!
//! The system's are looked for where OpenSSL looks (`$SSL_CERT_FILE`, `$SSL_CERT_DIR`, the usual places), and
//! only for `https`: a host that has none still speaks plain HTTP.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::{clock, files};

/// The authorities of all the world together are some 200 KB.
const LARGEST: u64 = 16 << 20;

/// Names the system's authorities, as OpenSSL has it.
const SYSTEM_FILE: &str = "SSL_CERT_FILE";

/// Files of the operator's, all PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    pub identity: Option<Identity>,
}

/// What a proxy that asks for a client certificate is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our certificate first, then those between it and the authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS cannot be set up with what is configured. Exit code 78 at the start.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error(
        "https needs authorities to trust, and this host has none: install the package ca-certificates, or set \
         `ca_file` in the table [tls]; a Manager without a proxy in front of it speaks http:// only"
    )]
    NoAuthorities,
    #[error("cannot read `{key}` of [tls], {path}", path = .path.display())]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{key}` of [tls], {path}, has no {wanted} in the PEM format", path = .path.display())]
    NotPem {
        key: &'static str,
        path: PathBuf,
        wanted: &'static str,
        #[source]
        source: Option<pem::Error>,
    },
    #[error("`{key}` of [tls], {path}, cannot be used", path = .path.display())]
    Unusable {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("cannot read ${SYSTEM_FILE}, {path}", path = .path.display())]
    System {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot prepare TLS")]
    Protocol(#[source] rustls::Error),
}

/// What connections to `url` are made with; `None` where it does not ask for TLS. Reads files.
///
/// # Errors
/// See [`TrustError`].
pub fn tls(url: &Url, trust: &Trust) -> Result<Option<Arc<ClientConfig>>, TrustError> {
    if url.scheme() != "https" {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Protocol)?
        .with_root_certificates(authorities(trust.ca_file.as_deref())?);
    let config = match &trust.identity {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = certificates("client_certificate", &own.certificate)?;
            let key = private_key(&own.key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| unusable("client_certificate", &own.certificate, source))?
        }
    };
    Ok(Some(Arc::new(config)))
}

/// The time that certificates are held against. Before 1970, where the library's own clock would end us, none is valid
/// yet.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(clock::since_1970()))
    }
}

fn authorities(extra: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // The library opens whatever is named there.
    if let Some(path) = std::env::var_os(SYSTEM_FILE).map(PathBuf::from)
        && let Err(source) = files::open(&path)
        && source.kind() != io::ErrorKind::NotFound
    {
        return Err(TrustError::System { path, source });
    }
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the system's is passed over");
    }
    // A bundle holds odd ones now and then, which must not cost the rest.
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = extra {
        for certificate in certificates("ca_file", path)? {
            roots
                .add(certificate)
                .map_err(|source| unusable("ca_file", path, source))?;
        }
    }
    if roots.is_empty() {
        return Err(TrustError::NoAuthorities);
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let text = read(key, path)?;
    let none = |source| not_pem(key, path, "certificate", source);
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| none(Some(error)))?;
    if found.is_empty() { Err(none(None)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let text = read("client_key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| not_pem("client_key", path, "private key", Some(error)))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TrustError> {
    files::read(path, LARGEST).map_err(|source| TrustError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    })
}

fn not_pem(key: &'static str, path: &Path, wanted: &'static str, source: Option<pem::Error>) -> TrustError {
    TrustError::NotPem {
        key,
        path: path.to_owned(),
        wanted,
        source,
    }
}

fn unusable(key: &'static str, path: &Path, source: rustls::Error) -> TrustError {
    TrustError::Unusable {
        key,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c25_plain_http_needs_no_authorities_and_reads_no_file() {
        let trust = Trust {
            ca_file: Some("/nowhere".into()),
            identity: None,
        };
        let http = Url::parse("http://manager:8080/").unwrap();
        assert!(matches!(tls(&http, &trust), Ok(None)));
    }

    #[test]
    fn c25_a_file_that_cannot_be_used_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let https = Url::parse("https://manager/").unwrap();
        let text = |path: PathBuf| {
            let trust = Trust {
                ca_file: Some(path),
                identity: None,
            };
            tls(&https, &trust).unwrap_err().to_string()
        };
        let missing = dir.path().join("missing.pem");
        assert_eq!(
            text(missing.clone()),
            format!("cannot read `ca_file` of [tls], {}", missing.display())
        );
        let other = dir.path().join("other.pem");
        std::fs::write(&other, "-----BEGIN NOTHING-----\n").unwrap();
        assert!(text(other).contains("has no certificate in the PEM format"));
    }
}
