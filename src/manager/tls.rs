// SPDX-License-Identifier: GPL-3.0-or-later

//! The TLS configuration of every connection to the Manager: which authorities are trusted, and which client certificate is
//! shown.
//!
//! ```text
//! the system's authorities ─┐
//! ca_file ──────────────────┼─► ClientConfig ─► http, push
//! client certificate, key ──┘
//! ```
//!
//! The system's authorities are looked for where OpenSSL looks (`$SSL_CERT_FILE`, `$SSL_CERT_DIR`, the usual places), and
//! only for `https`: a host without any still speaks plain HTTP.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::manager_url::ManagerUrl;
use crate::{clock, files};

/// The largest file that is read, in bytes. All public authorities together are some 200 KB.
const LARGEST: u64 = 16 << 20;

/// The variable that names the system's authorities, as for OpenSSL.
const SYSTEM_FILE: &str = "SSL_CERT_FILE";

/// The files that the operator configured, all in the PEM format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, for a proxy that asks for one.
    pub identity: Option<ClientIdentity>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    /// The file with the client certificate first, then the certificates between it and the authority.
    pub certificate: PathBuf,
    /// The file with the private key.
    pub key: PathBuf,
}

/// TLS cannot be set up with what is configured. At the start of the worker this leads to exit code 78.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The host has no authorities, and none are configured.
    #[error(
        "https needs authorities to trust, and this host has none: install the package ca-certificates, or set \
         `ca_file` in the table [tls]; a Manager without a proxy in front of it speaks http:// only"
    )]
    NoAuthorities,
    /// A configured file cannot be read.
    #[error("cannot read `{key}` of [tls], {path}", path = .path.display())]
    Unreadable {
        /// The key in the table `[tls]`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// A configured file holds nothing of the wanted kind.
    #[error("`{key}` of [tls], {path}, has no {wanted} in the PEM format", path = .path.display())]
    NotPem {
        /// The key in the table `[tls]`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the file should hold.
        wanted: &'static str,
        /// What is wrong with the text, if it is not simply missing.
        #[source]
        source: Option<pem::Error>,
    },
    /// The TLS library refuses what a configured file holds.
    #[error("`{key}` of [tls], {path}, cannot be used", path = .path.display())]
    Unusable {
        /// The key in the table `[tls]`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the TLS library reports.
        #[source]
        source: rustls::Error,
    },
    /// The file that `$SSL_CERT_FILE` names cannot be read.
    #[error("cannot read ${SYSTEM_FILE}, {path}", path = .path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// The TLS library offers no protocol version.
    #[error("cannot prepare TLS")]
    Protocol(#[source] rustls::Error),
}

/// The TLS configuration for connections to `url`; `None` if its scheme is not `https`. Reads files, so it may block.
///
/// # Errors
/// See [`TlsError`].
pub(crate) fn tls_config(url: &ManagerUrl, trust: &TlsFiles) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if url.url().scheme() != "https" {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(CertificateClock))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Protocol)?
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

/// The clock by which certificates are valid or not. With the clock before 1970 no certificate is valid yet; the library's
/// own clock would panic.
#[derive(Debug)]
struct CertificateClock;

impl TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(clock::since_1970()))
    }
}

fn authorities(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // The library would open any kind of file that is named there, and might wait for it.
    if let Some(path) = std::env::var_os(SYSTEM_FILE).map(PathBuf::from)
        && let Err(source) = files::open(&path)
        && source.kind() != io::ErrorKind::NotFound
    {
        return Err(TlsError::System { path, source });
    }
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the system's is passed over");
    }
    // A bundle now and then holds a certificate that cannot be parsed, which must not cost the others.
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = extra {
        for certificate in certificates("ca_file", path)? {
            roots
                .add(certificate)
                .map_err(|source| unusable("ca_file", path, source))?;
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, path)?;
    let none = |source| not_pem(key, path, "certificate", source);
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| none(Some(error)))?;
    if found.is_empty() { Err(none(None)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("client_key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| not_pem("client_key", path, "private key", Some(error)))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, LARGEST).map_err(|source| TlsError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    })
}

fn not_pem(key: &'static str, path: &Path, wanted: &'static str, source: Option<pem::Error>) -> TlsError {
    TlsError::NotPem {
        key,
        path: path.to_owned(),
        wanted,
        source,
    }
}

fn unusable(key: &'static str, path: &Path, source: rustls::Error) -> TlsError {
    TlsError::Unusable {
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
        let trust = TlsFiles {
            ca_file: Some("/nowhere".into()),
            identity: None,
        };
        let http = ManagerUrl::parse("http://manager:8080/").unwrap();
        assert!(matches!(tls_config(&http, &trust), Ok(None)));
    }

    #[test]
    fn c25_a_file_that_cannot_be_used_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let https = ManagerUrl::parse("https://manager/").unwrap();
        let text = |path: PathBuf| {
            let trust = TlsFiles {
                ca_file: Some(path),
                identity: None,
            };
            tls_config(&https, &trust).unwrap_err().to_string()
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
