// SPDX-License-Identifier: GPL-3.0-or-later

//! The URL of a Manager, as people write it and as the worker calls it.
//!
//! ```text
//! render-manager:8080           ─► http://render-manager:8080/
//! http://[fe80::1%eth0]:8080/   ─► http://[fe80::1]:8080/, by the interface eth0
//! ```
//!
//! A link-local address means something on one network only, so that it needs the interface by which that network is
//! reached: the zone (RFC 4007). A URL of the web has no place for it, which is why it is kept beside. Nobody else is told
//! it: to the Manager the name of an interface here would mean nothing.

use std::fmt;
use std::net::Ipv6Addr;

use url::{Host, Url};

/// The longest name of a network interface, in bytes: the kernel's `IFNAMSIZ`, less the zero at the end.
const LONGEST_ZONE: usize = 15;

/// The URL of a Manager: http or https, without credentials, query and fragment. Its path is the prefix of every call and
/// ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagerUrl {
    url: Url,
    /// The interface by which a link-local address is reached; `None` for any other host.
    zone: Option<String>,
}

/// Why a text is no URL of a Manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManagerUrlError {
    /// It is no URL.
    #[error("it is not a URL ({0}); write it like http://manager.example:8080/")]
    Malformed(String),
    /// It has another scheme than http and https.
    #[error("the Manager speaks http, or https behind a proxy, not {0}")]
    Scheme(String),
    /// It has no host.
    #[error("a host name is missing; write it like http://manager.example:8080/")]
    NoHost,
    /// It has a name or a password. The worker's own identity goes where they would go, in the `Authorization` header.
    #[error("leave out the name and password; the worker registers by itself")]
    Credentials,
    /// It has a query or a fragment.
    #[error("leave out what follows the `?` or `#`")]
    Tail,
    /// A link-local address without an interface: the kernel would not know where to send anything.
    #[error("a link-local address needs the network interface it is reached by: write it like [{0}%eth0]")]
    NoZone(Ipv6Addr),
    /// What follows the `%` cannot be an interface, or does not belong to a link-local address.
    #[error("`%{0}` names no network interface of a link-local address: write it like http://[fe80::1%eth0]:8080/")]
    Zone(String),
    /// https to a link-local address. The certificate would have to be for the bare address, and none is.
    #[error("https is not spoken with a link-local address: use http, or a name")]
    ZoneWithTls,
}

impl ManagerUrl {
    /// Reads a Manager's URL the way the Go worker does: `host` and `host:port` mean http. The zone of a link-local address
    /// may be written with the bare `%` of everybody or with the `%25` of RFC 6874.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, ManagerUrlError> {
        let text = text.trim();
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(ManagerUrlError::Malformed(format!("brackets are missing: [{text}]")));
        }
        let whole = match text.split_once("://") {
            Some(_) => text.to_owned(),
            None if ["http:", "https:"].iter().any(|scheme| starts_with(text, scheme)) => {
                return Err(ManagerUrlError::Malformed("two slashes are missing".into()));
            }
            None => format!("http://{}", text.strip_prefix("//").unwrap_or(text)),
        };
        let (whole, zone) = take_zone(&whole)?;
        let url = match Url::parse(&whole) {
            Ok(url) => url,
            Err(url::ParseError::EmptyHost) => return Err(ManagerUrlError::NoHost),
            Err(error) => return Err(ManagerUrlError::Malformed(error.to_string())),
        };
        // The parser of the web makes `http:///path` a host named `path`.
        let host_given = whole
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.starts_with(['/', '?', '#']));
        if !host_given && is_http(&url) {
            return Err(ManagerUrlError::NoHost);
        }
        check_scheme_and_credentials(&url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ManagerUrlError::Tail);
        }
        Self::new(url, zone)
    }

    /// The URL with its zone, which is kept for a link-local address only, and is needed there.
    fn new(mut url: Url, zone: Option<String>) -> Result<Self, ManagerUrlError> {
        match (link_local(&url), &zone) {
            (Some(address), None) => return Err(ManagerUrlError::NoZone(address)),
            (None, Some(zone)) => return Err(ManagerUrlError::Zone(zone.clone())),
            (Some(_), Some(_)) if url.scheme() == "https" => return Err(ManagerUrlError::ZoneWithTls),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self { url, zone })
    }

    /// The Manager at the root of the host and port that an answer to a search has named. A link-local address is one of the
    /// network that `interface` leads to, whatever the zone is called where the answer comes from.
    ///
    /// # Errors
    /// Why no Manager can be there.
    pub(crate) fn announced(location: &str, interface: &str) -> Result<Self, ManagerUrlError> {
        let (bare, _) = take_zone(location)?;
        let mut root = Url::parse(&bare).map_err(|error| ManagerUrlError::Malformed(error.to_string()))?;
        check_scheme_and_credentials(&root)?;
        root.set_path("/");
        root.set_query(None);
        root.set_fragment(None);
        let zone = link_local(&root).map(|_| interface.to_owned());
        Self::new(root, zone)
    }

    /// The same Manager host under another URL, as a redirect or a guess has it.
    pub(crate) fn with_url(&self, url: Url) -> Self {
        let zone = link_local(&url).and_then(|_| self.zone.clone());
        Self { url, zone }
    }

    /// The URL as the web knows it: without the zone, for the `Host` header and for all that is built of it.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The interface by which a link-local address is reached.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The port that is called.
    pub(crate) fn port(&self) -> u16 {
        // Each of the two schemes has one.
        self.url.port_or_known_default().unwrap_or(80)
    }
}

impl fmt::Display for ManagerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.zone, self.url.as_str().split_once(']')) {
            (Some(zone), Some((before, after))) => {
                // Such a name would else be read as another one, in the way of RFC 6874.
                let escape = if zone.len() > 2 && zone.starts_with("25") {
                    "25"
                } else {
                    ""
                };
                write!(f, "{before}%{escape}{zone}]{after}")
            }
            (Some(_) | None, _) => f.write_str(self.url.as_str()),
        }
    }
}

fn check_scheme_and_credentials(url: &Url) -> Result<(), ManagerUrlError> {
    if !is_http(url) {
        return Err(ManagerUrlError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ManagerUrlError::Credentials);
    }
    Ok(())
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The text without the zone in its brackets, and the zone.
fn take_zone(text: &str) -> Result<(String, Option<String>), ManagerUrlError> {
    let zoned = text.split_once('[').and_then(|(before, rest)| {
        let (_, authority) = before.split_once("://")?;
        let (host, after) = rest.split_once(']')?;
        let (address, zone) = host.split_once('%')?;
        (!authority.contains(['/', '?', '#'])).then_some((before, address, zone, after))
    });
    let Some((before, address, zone, after)) = zoned else {
        return Ok((text.to_owned(), None));
    };
    let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
    // A name of the kernel's (dev_valid_name), of which no other character would survive in a URL.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if zone.is_empty() || zone.len() > LONGEST_ZONE || !zone.bytes().all(is_name) {
        return Err(ManagerUrlError::Zone(zone.to_owned()));
    }
    Ok((format!("{before}[{address}]{after}"), Some(zone.to_owned())))
}

fn link_local(url: &Url) -> Option<Ipv6Addr> {
    match url.host() {
        Some(Host::Ipv6(address)) if address.is_unicast_link_local() => Some(address),
        Some(Host::Ipv6(_) | Host::Ipv4(_) | Host::Domain(_)) | None => None,
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ManagerUrl, ManagerUrlError> {
        ManagerUrl::parse(text)
    }

    #[test]
    fn a_manager_is_read_as_the_go_worker_reads_it() {
        for (typed, url) in [
            ("thehost", "http://thehost/"),
            ("thehost:8083", "http://thehost:8083/"),
            ("  thehost:8083 ", "http://thehost:8083/"),
            ("//thehost", "http://thehost/"),
            ("render_manager:8080", "http://render_manager:8080/"),
            ("192.168.3.7:8080", "http://192.168.3.7:8080/"),
            ("[fd00::1]:8080", "http://[fd00::1]:8080/"),
            ("https://farm.example/flamenco", "https://farm.example/flamenco/"),
            ("HTTP://farm.example/a/b/", "http://farm.example/a/b/"),
        ] {
            assert_eq!(parse(typed).map(|url| url.to_string()).as_deref(), Ok(url), "{typed}");
        }
    }

    #[test]
    fn j4_a_zone_is_kept_beside_the_url_and_shown_with_it() {
        for (typed, shown) in [
            ("http://[fe80::1%eth0]:8080/", "http://[fe80::1%eth0]:8080/"),
            ("[fe80::1%25eth0]:8080", "http://[fe80::1%eth0]:8080/"),
            ("[FE80:0::1%2]/farm", "http://[fe80::1%2]/farm/"),
            ("[fe80::1%25]", "http://[fe80::1%25]/"),
            ("[fe80::1%2525g]", "http://[fe80::1%2525g]/"),
            ("[fe80::1%br-lan.7]", "http://[fe80::1%br-lan.7]/"),
        ] {
            let url = parse(typed).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!url.url().as_str().contains('%'), "{}", url.url());
            assert_eq!(parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn what_is_no_manager_is_refused_with_a_reason() {
        use ManagerUrlError::{Credentials, Malformed, NoHost, Scheme, Tail};
        assert_eq!(parse("  "), Err(NoHost));
        assert_eq!(parse("http://"), Err(NoHost));
        assert_eq!(parse("http:///path"), Err(NoHost));
        assert_eq!(parse("ftp://host/"), Err(Scheme("ftp".into())));
        assert_eq!(parse("http://me:secret@host/"), Err(Credentials));
        assert_eq!(parse("me@host"), Err(Credentials));
        assert_eq!(parse("http://host/#/jobs"), Err(Tail));
        assert_eq!(parse("http://host/?a"), Err(Tail));
        for typed in ["http:host", "http://ho st/", "host:99999", "::1", "http://[::1"] {
            assert!(matches!(parse(typed), Err(Malformed(_))), "{typed}: {:?}", parse(typed));
        }
    }

    #[test]
    fn j4_a_zone_is_needed_by_a_link_local_address_and_by_no_other() {
        use ManagerUrlError::{NoZone, Zone, ZoneWithTls};
        assert_eq!(parse("[fe80::1]:8080"), Err(NoZone("fe80::1".parse().unwrap())));
        assert_eq!(parse("https://[fe80::1%eth0]/"), Err(ZoneWithTls));
        for (typed, zone) in [
            ("[fe80::1%]", ""),
            ("[fe80::1%a/b]", "a/b"),
            ("[fe80::1%a b]", "a b"),
            ("[fe80::1%sixteen-letters-]", "sixteen-letters-"),
            ("[fd00::1%eth0]", "eth0"),
        ] {
            assert_eq!(parse(typed), Err(Zone(zone.into())), "{typed}");
        }
    }

    #[test]
    fn j4_another_url_of_the_same_host_is_reached_by_the_same_interface() {
        let zoned = parse("[fe80::1%eth0]:8080").unwrap();
        let other = |url: &str| zoned.with_url(Url::parse(url).unwrap()).to_string();
        assert_eq!(other("http://[fe80::2]/x/"), "http://[fe80::2%eth0]/x/");
        assert_eq!(other("http://m/"), "http://m/");
    }

    #[test]
    fn j1_of_what_an_answer_names_only_host_and_port_count_and_the_zone_is_ours() {
        use ManagerUrlError::{Credentials, Malformed, NoHost, Scheme};
        let at = |location: &str| ManagerUrl::announced(location, "eth0").map(|url| url.to_string());
        for (location, url) in [
            ("http://10.7.0.1:8080/upnp/description.xml", "http://10.7.0.1:8080/"),
            ("http://m/a?b#c", "http://m/"),
            ("http://[fe80::1]:8080/x", "http://[fe80::1%eth0]:8080/"),
            ("http://[fe80::1%25theirs]:8080/x", "http://[fe80::1%eth0]:8080/"),
            ("http://[fd00::1]:8080/x", "http://[fd00::1]:8080/"),
        ] {
            assert_eq!(at(location).as_deref(), Ok(url), "{location}");
        }
        assert_eq!(at("file:///etc/passwd"), Err(Scheme("file".into())));
        assert_eq!(at("http://a:b@m/"), Err(Credentials));
        for nonsense in ["", "m:80", "http://", "/upnp", "http://m:99999/"] {
            let refused = at(nonsense);
            assert!(matches!(refused, Err(Malformed(_) | NoHost | Scheme(_))), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_url_read_is_read_again_as_itself(text in "(\\[fe80::1%)?\\PC{0,40}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(&url.to_string()), Ok(url));
            }
        }
    }
}
