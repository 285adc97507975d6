// SPDX-License-Identifier: GPL-3.0-or-later

//! Connects to a host that has several addresses, of which some may not answer: "happy eyeballs" (RFC 8305). HTTP, push and
//! `doctor` all connect by this file.
//!
//! reqwest's own connector tries the other family after 300 ms, but within a family it tries one address after the other,
//! each for its share of the whole time. So reqwest gets a resolver from here: of several addresses, the resolver finds out
//! which one answers and returns it first. This costs one more connection, which sends nothing and is closed at once.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::net::if_::if_nametoindex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use url::{Host, Url};

use crate::manager_url::ManagerUrl;

/// An address has this long before the next one is tried in parallel. RFC 8305 recommends it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address that answers.
///
/// # Errors
/// Returns the error of the address that failed first, once all have failed.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut next = in_turns(addresses).into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failure = None;
    loop {
        match next.next() {
            Some(address) => trying.push(TcpStream::connect(address)),
            None if trying.is_empty() => return Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            None => {}
        }
        let tried = tokio::select! {
            Some(tried) = trying.next() => tried,
            () = sleep(HEAD_START), if next.len() > 0 => continue,
        };
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) => failure.get_or_insert(error),
        };
    }
}

/// The addresses of a Manager's host. An address is its own only one.
///
/// # Errors
/// Fails if the host has no address, or this machine not the interface of a link-local one: that may come yet, so it is
/// looked up for each connection.
pub(super) async fn lookup(manager: &ManagerUrl) -> io::Result<Vec<SocketAddr>> {
    let port = manager.port();
    if let (Some(zone), Some(Host::Ipv6(address))) = (manager.zone(), manager.url().host()) {
        return Ok(vec![SocketAddrV6::new(address, port, 0, interface(zone)?).into()]);
    }
    let host = manager.url().host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = lookup_host((bare, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}

/// The index of the network interface with this name, or written as its index.
fn interface(zone: &str) -> io::Result<u32> {
    let unknown = || {
        let text = format!("this machine has no network interface {zone}");
        io::Error::new(io::ErrorKind::NotFound, text)
    };
    if_nametoindex(zone).or_else(|_| zone.parse().map_err(|_| unknown()))
}

/// The host that reqwest is to ask for in place of a link-local address. It would connect to the bare address by itself, and
/// ask [`ReachableFirst`] only for a name.
const LINK_LOCAL: &str = "link-local.invalid";

/// The URL by which reqwest is asked for a Manager.
pub(super) fn request_url(manager: &ManagerUrl) -> Url {
    let mut url = manager.url().clone();
    if manager.zone().is_some() {
        // It is a host as good as the address.
        url.set_host(Some(LINK_LOCAL)).ok();
    }
    url
}

/// Sorts the addresses so that the families take turns, because a whole family may not work. The family of the first address
/// comes first.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut these, mut those): (Vec<_>, Vec<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv4() == first);
    these.reverse();
    those.reverse();
    let mut turns = Vec::with_capacity(addresses.len());
    while turns.len() < addresses.len() {
        turns.extend(these.pop());
        turns.extend(those.pop());
    }
    turns
}

/// A resolver for reqwest that returns an address that answers first.
#[derive(Debug)]
pub(super) struct ReachableFirst {
    /// The only one who is asked for.
    pub(super) manager: ManagerUrl,
    /// How long trying addresses may take.
    pub(super) patience: Duration,
}

impl Resolve for ReachableFirst {
    fn resolve(&self, _name: Name) -> Resolving {
        let (manager, patience) = (self.manager.clone(), self.patience);
        Box::pin(async move {
            let mut addresses = lookup(&manager).await?;
            if addresses.len() > 1
                && let Ok(Ok(stream)) = timeout(patience, connect(&addresses)).await
                && let Ok(living) = stream.peer_addr()
            {
                addresses.sort_by_key(|address| address.ip() != living.ip());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i16_families_take_turns() {
        let list = |text: &str| -> Vec<SocketAddr> { text.split(' ').map(|word| word.parse().unwrap()).collect() };
        assert_eq!(
            in_turns(&list("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1")),
            list("[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1")
        );
        assert_eq!(in_turns(&list("1.1.1.1:1 [::1]:1")), list("1.1.1.1:1 [::1]:1"));
        assert!(in_turns(&[]).is_empty());
    }

    #[tokio::test]
    async fn j4_the_interface_of_a_link_local_address_is_looked_up_and_the_host_named_without_it() {
        let url = ManagerUrl::parse("[fe80::1%lo]:8080").unwrap();
        let index = if_nametoindex("lo").unwrap();
        let found = lookup(&url).await.unwrap();
        assert_eq!(
            found,
            [SocketAddrV6::new("fe80::1".parse().unwrap(), 8080, 0, index).into()]
        );
        assert_eq!(request_url(&url).as_str(), "http://link-local.invalid:8080/");
        let numbered = ManagerUrl::parse(&format!("[fe80::1%{index}]:8080")).unwrap();
        assert_eq!(lookup(&numbered).await.unwrap(), found);
        let absent = lookup(&ManagerUrl::parse("[fe80::1%nosuch0]").unwrap())
            .await
            .unwrap_err();
        assert_eq!(absent.to_string(), "this machine has no network interface nosuch0");
    }

    #[tokio::test]
    async fn i16_the_one_that_answers_is_taken_and_the_first_failure_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let living = listener.local_addr().unwrap();
        let refusing = SocketAddr::from(([127, 0, 0, 77], living.port()));
        let stream = connect(&[refusing, living]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), living);
        let error = connect(&[refusing, refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
