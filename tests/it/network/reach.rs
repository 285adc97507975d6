// SPDX-License-Identifier: GPL-3.0-or-later

//! What stands before the Manager: a prefix, TLS, a proxy with ideas of its own.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use standin_manager::{Endpoint, Fault, FaultKind, Options, WorkerStatus};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::count;
use super::relay::Relay;
use crate::clocks::Clock;
use crate::doctor::Answer;
use crate::push::listens;
use test_bed::{Farm, Node};

fn relay(farm: &Farm, prefix: &str) -> Relay {
    let manager: SocketAddr = ([127, 0, 0, 1], farm.manager.port()).into();
    Relay::start("127.0.0.1:0", manager, prefix)
}

/// A worker from its registration to its sign-off, with a task between, which listens to the Manager meanwhile.
fn whole_life(farm: &Farm, mut node: Node) {
    node.start();
    listens(farm, &["/jobs", "/workers"]);
    let task = farm.script("echo said; sleep 0.2");
    farm.completed(&task);
    farm.says(&task, "> said");
    assert_eq!(node.stop(), 0);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    for endpoint in [
        Endpoint::Register,
        Endpoint::SignOn,
        Endpoint::StateChanged,
        Endpoint::FetchTask,
        Endpoint::MayIRun,
        Endpoint::TaskUpdate,
        Endpoint::SignOff,
    ] {
        assert!(count(farm, endpoint) > 0, "{endpoint:?}");
    }
    node.nothing_left();
}

#[test]
fn c23_below_a_prefix_with_a_slash_at_its_end_or_without_all_endpoints_work() {
    for prefix in ["/farm/flamenco", "/farm/flamenco/"] {
        let farm = Farm::new();
        let relay = relay(&farm, "/farm/flamenco");
        let mut node = farm.node("node");
        node.url = format!("http://{}{prefix}", relay.address);
        whole_life(&farm, node);
        assert!(relay.heard().contains("POST /api/v3/worker/sign-on"));
    }
}

#[test]
fn c23_at_an_address_of_ipv6_all_endpoints_work() {
    let farm = Farm::with(Options {
        address: Ipv6Addr::LOCALHOST.into(),
        ..Options::default()
    });
    let mut node = farm.node("node");
    node.url = format!("http://[::1]:{}", farm.manager.port());
    whole_life(&farm, node);
}

#[test]
fn c23_over_https_with_a_certificate_of_ours_and_headers_all_endpoints_work() {
    let farm = Farm::new();
    let relay = relay(&farm, "");
    let authority = Authority::new(farm.folder.path());
    relay.present(authority.server(2090, Clients::Known));
    let mut node = farm.node("node");
    node.url = format!("https://localhost:{}", relay.address.port());
    let own = authority.issue(2090);
    let (certificate, key) = (node.folder.join("own.pem"), node.folder.join("own.key"));
    fs::write(&certificate, own.0.pem()).unwrap();
    fs::write(&key, own.1.serialize_pem()).unwrap();
    let token = node.folder.join("token");
    fs::write(&token, "s3cret\n").unwrap();
    node.config.top = vec![
        format!("tls.ca_file = {:?}", authority.file),
        format!("tls.client_certificate = {certificate:?}"),
        format!("tls.client_key = {key:?}"),
        format!("headers.X-Token = {{ file = {token:?} }}"),
    ];
    node.arguments.push("-trace".into());
    let log = node.log_file();
    whole_life(&farm, node);
    let heard = relay.heard().to_lowercase();
    assert_eq!(
        heard.matches("\r\nx-token: s3cret\r\n").count(),
        heard.matches(" http/1.1\r\n").count()
    );
    assert!(!fs::read_to_string(log).unwrap().contains("s3cret"));
}

#[test]
fn c23_a_redirect_is_not_followed_and_said_with_what_to_set() {
    let farm = Farm::new();
    let moved = FaultKind::Status {
        code: 301,
        headers: vec![(
            "Location".into(),
            "https://farm.example/flamenco/api/v3/worker/sign-on".into(),
        )],
        body: String::new(),
    };
    farm.fault(Fault::at(Endpoint::SignOn, moved).times(2));
    let mut node = farm.node("node");
    farm.start(&mut node);
    let log = node.log();
    assert!(
        log.contains("a redirect to https://farm.example/flamenco/api/v3/worker/sign-on"),
        "{log}"
    );
    assert!(
        log.contains("set manager = \\\"https://farm.example/flamenco/\\\""),
        "{log}"
    );
    assert_eq!(count(&farm, Endpoint::SignOn), 3);
    assert!(farm.requests(Endpoint::SignOn).iter().all(|seen| seen.method == "POST"));
    node.finish();
}

#[test]
fn c24_a_proxy_that_asks_who_we_are_is_named_and_nobody_registers_anew() {
    let (farm, mut node) = Farm::with_awake_node();
    for code in [401, 403, 407, 302] {
        let page = FaultKind::Status {
            code,
            headers: vec![
                ("Content-Type".into(), "text/html".into()),
                ("Location".into(), "/login?next=secret".into()),
            ],
            body: "<html>Log in</html>".into(),
        };
        farm.fault(Fault::anywhere(page).times(8));
        let want = match code {
            302 => "a redirect to".to_owned(),
            _ => format!("something in front of the Manager answered {code}"),
        };
        node.until("the proxy to be named", || node.log().contains(&want));
    }
    farm.manager.clear_faults();
    let task = farm.script("true");
    farm.completed(&task);
    assert!(node.log().contains("table [headers]"));
    assert!(!node.log().contains("next=secret"));
    assert_eq!(count(&farm, Endpoint::Register), 1);
    assert!(node.runs());
    node.finish();
}

#[test]
fn c25_a_certificate_that_cannot_be_trusted_is_told_and_heals_when_it_is_replaced() {
    let farm = Farm::new();
    let relay = relay(&farm, "");
    let ours = Authority::new(farm.folder.path());
    let strangers = tempfile::tempdir().unwrap();
    relay.present(Authority::new(strangers.path()).server(2090, Clients::Any));
    let mut node = farm.node("node");
    node.url = format!("https://localhost:{}", relay.address.port());
    node.config.top.push(format!("tls.ca_file = {:?}", ours.file));
    node.start();
    let says = |node: &Node, text: &str| {
        node.until("the trouble to be told", || node.log().contains(text));
    };
    says(&node, "its authority is unknown here");
    Answer::of(&node).says("fail", "manager.tls", "its authority is unknown here; name the file");
    relay.present(ours.server(2020, Clients::Any));
    says(&node, "it has expired");
    relay.present(ours.server(2090, Clients::Any));
    farm.awake();
    Answer::of(&node).says("ok", "manager.tls", "is trusted");
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn i23_before_1970_and_after_9999_https_says_what_the_clock_shows_and_heals() {
    let farm = Farm::new();
    let relay = relay(&farm, "");
    let authority = Authority::new(farm.folder.path());
    relay.present(authority.server(2090, Clients::Any));
    let mut node = farm.node("node");
    let Some(clock) = Clock::of(&mut node) else { return };
    node.url = format!("https://localhost:{}", relay.address.port());
    node.config.top.push(format!("tls.ca_file = {:?}", authority.file));
    clock.show(-10_000_000);
    node.start();
    let says = |node: &Node, text: &str| {
        node.until("the trouble to be told", || node.log().contains(text));
    };
    let early = "it is not valid yet; is the clock of this host right? It shows 1969-09-07";
    says(&node, early);
    Answer::of(&node).says("fail", "manager.tls", early);
    clock.show(400_000_000_000);
    says(&node, "set the clock of this host, which shows 9999-12-30");
    clock.set("+0");
    farm.awake();
    assert!(!node.log().contains("panicked"), "{}", node.log());
    node.finish();
}

#[test]
fn c25_a_host_without_authorities_speaks_plain_http_and_says_what_https_needs() {
    let (farm, mut node) = Farm::with_node();
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        node.environment.push((name.into(), "/nowhere".into()));
    }
    node.url = "https://localhost:1".into();
    node.start();
    assert_eq!(node.ended(), 78);
    assert!(
        node.log().contains("install the package ca-certificates"),
        "{}",
        node.log()
    );
    node.url = farm.manager.url();
    farm.start(&mut node);
    node.finish();
}

#[test]
fn c23_a_file_for_tls_that_is_not_there_is_named_at_the_start() {
    let (_farm, mut node) = Farm::with_node();
    node.url = "https://localhost:1".into();
    node.config.top.push("tls.ca_file = \"/nowhere/ca.pem\"".into());
    node.start();
    assert_eq!(node.ended(), 78);
    assert!(
        node.log().contains("cannot read `ca_file` of [tls], /nowhere/ca.pem"),
        "{}",
        node.log()
    );
}

/// Whom a server lets in.
#[derive(Clone, Copy)]
enum Clients {
    Any,
    /// Those with a certificate of the authority.
    Known,
}

/// An authority of its own, with its certificate in a file.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(super) file: PathBuf,
}

impl Authority {
    pub(super) fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = folder.display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join("ca.pem");
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A certificate for localhost that is good until this year.
    fn issue(&self, until: i32) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn server(&self, until: i32, clients: Clients) -> ServerConfig {
        let (certificate, key) = self.issue(until);
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Clients::Any => builder.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).unwrap();
                let known = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(known.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}
