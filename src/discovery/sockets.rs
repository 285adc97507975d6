// SPDX-License-Identifier: GPL-3.0-or-later

//! The sockets of a search: one for each IPv4 address, and one for IPv6 on each interface.
//!
//! The kernel sends a multicast by one interface only, that of its default route. So each socket has one that it asks by, which
//! needs no route at all. An answer comes to the socket that has asked, but with IPv6 not always by that interface: it is
//! addressed to this machine, and may come by any. A link-local sender says by which.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::task::Poll;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{SockaddrIn, SockaddrIn6};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::ssdp::search_message;

/// The port of SSDP.
const PORT: u16 = 1900;

/// The groups of SSDP: in IPv4, and in IPv6 for one link and for a site.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const GROUPS_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc),
    Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xc),
];

/// How many routers a question may pass: what UPnP's architecture 1.1 recommends.
const HOPS: u32 = 2;

/// So many sockets at most. A machine with hundreds of containers has as many interfaces; those of its networks come first.
const MOST: usize = 64;

/// What is read of a datagram, in bytes. An answer has some 300; what is longer is cut, and then is no answer.
const LONGEST: usize = 2048;

/// A place from which is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SearchOrigin {
    index: u32,
    interface: String,
    /// `None`: with IPv6, by whichever address the kernel takes.
    address: Option<Ipv4Addr>,
}

/// A datagram that came, of which [`Sockets::received`] has the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    /// Who sent it.
    pub(super) source: IpAddr,
    /// The interface by which a link-local address of the sender's network is reached.
    pub(super) interface: String,
}

/// The sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: BTreeMap<SearchOrigin, UdpSocket>,
    /// From where could not be asked, and why.
    failed: BTreeMap<SearchOrigin, String>,
    /// The addresses of this machine.
    own: Vec<IpAddr>,
    buffer: Vec<u8>,
    /// Which socket is read first: each in its turn, so that none that is flooded keeps the others from being heard.
    turn: usize,
}

impl Sockets {
    /// Asks on every network there is by now.
    pub(super) fn ask(&mut self) {
        self.failed.clear();
        let origins = match self.origins() {
            Ok(origins) => origins,
            Err(error) => {
                tracing::debug!(%error, "the network interfaces cannot be told");
                return;
            }
        };
        self.open.retain(|origin, _| origins.contains(origin));
        for origin in origins.into_iter().take(MOST) {
            let asked = match self.open.get(&origin) {
                Some(socket) => origin.ask(socket),
                None => origin.open().and_then(|socket| {
                    origin.ask(&socket)?;
                    self.open.insert(origin.clone(), socket);
                    Ok(())
                }),
            };
            if let Err(error) = asked {
                self.failed.insert(origin, error.to_string());
            }
        }
    }

    /// Waits for the next datagram. What cannot be received is like one that says nothing. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Received> {
        let Self { open, buffer, turn, .. } = self;
        *turn = turn.wrapping_add(1) % open.len().max(1);
        poll_fn(|context| {
            for (origin, socket) in open.iter().cycle().skip(*turn).take(open.len()) {
                buffer.resize(LONGEST, 0);
                let mut read = ReadBuf::new(buffer);
                let Poll::Ready(received) = socket.poll_recv_from(context, &mut read) else {
                    continue;
                };
                let length = read.filled().len();
                buffer.truncate(length);
                return Poll::Ready(received.ok().map(|source| Received {
                    source: source.ip().to_canonical(),
                    interface: interface_of(source, origin, open.keys()),
                }));
            }
            Poll::Pending
        })
        .await
    }

    /// The bytes of the last datagram.
    pub(super) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether this is an address of this machine.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || address.is_unspecified() || self.own.contains(&address)
    }

    /// From where was asked last, in words; and from where not, with the reason.
    pub(super) fn describe(&self) -> Vec<String> {
        let open = self.open.keys().filter(|origin| !self.failed.contains_key(origin));
        let failed = self
            .failed
            .iter()
            .map(|(origin, why)| format!("{origin} (failed: {why})"));
        open.map(ToString::to_string).chain(failed).collect()
    }

    /// From where can be asked: by each interface that is up and takes multicasts. Loopback is one of them for a Manager of
    /// this machine while that has no network.
    fn origins(&mut self) -> nix::Result<Vec<SearchOrigin>> {
        let mut origins = Vec::new();
        self.own.clear();
        for found in getifaddrs()? {
            let Some(address) = found.address else { continue };
            let v4 = address.as_sockaddr_in().map(SockaddrIn::ip);
            let v6 = address.as_sockaddr_in6().map(SockaddrIn6::ip);
            self.own
                .extend(v4.map(IpAddr::from).into_iter().chain(v6.map(IpAddr::from)));
            // Loopback has no route for a multicast of IPv6.
            let takes = match v4 {
                Some(_) => InterfaceFlags::IFF_MULTICAST | InterfaceFlags::IFF_LOOPBACK,
                None => InterfaceFlags::IFF_MULTICAST,
            };
            if !found.flags.intersects(takes)
                || !found.flags.contains(InterfaceFlags::IFF_UP)
                || (v4.is_none() && v6.is_none())
            {
                continue;
            }
            // It may be gone by now.
            let Ok(index) = if_nametoindex(found.interface_name.as_str()) else {
                continue;
            };
            let origin = SearchOrigin {
                index,
                interface: found.interface_name,
                address: v4,
            };
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        origins.sort();
        Ok(origins)
    }
}

impl SearchOrigin {
    fn open(&self) -> io::Result<UdpSocket> {
        let socket = match self.address {
            Some(address) => {
                let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
                socket.set_multicast_if_v4(&address)?;
                socket.set_multicast_ttl_v4(HOPS)?;
                socket.bind(&SocketAddrV4::new(address, 0).into())?;
                socket
            }
            None => {
                let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(self.index)?;
                socket.set_multicast_hops_v6(HOPS)?;
                socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0).into())?;
                socket
            }
        };
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket.into())
    }

    fn ask(&self, socket: &UdpSocket) -> io::Result<()> {
        let groups: Vec<SocketAddr> = match self.address {
            Some(_) => vec![SocketAddrV4::new(GROUP, PORT).into()],
            None => GROUPS_V6
                .map(|group| SocketAddrV6::new(group, PORT, 0, self.index).into())
                .into(),
        };
        let mut asked = Err(io::ErrorKind::NotFound.into());
        for group in groups {
            let mut named = group;
            if let SocketAddr::V6(named) = &mut named {
                named.set_scope_id(0);
            }
            // One group is enough: not every network has a site.
            let sent = send(socket, search_message(named).as_bytes(), group);
            asked = asked.or(sent);
        }
        asked
    }
}

/// The interface that leads to a sender who has answered at the socket of `asked`.
fn interface_of<'a>(
    source: SocketAddr,
    asked: &SearchOrigin,
    mut origins: impl Iterator<Item = &'a SearchOrigin>,
) -> String {
    match source {
        SocketAddr::V6(source) if source.scope_id() != 0 => {
            let index = source.scope_id();
            let known = origins.find(|origin| origin.index == index);
            known.map_or_else(|| index.to_string(), |origin| origin.interface.clone())
        }
        SocketAddr::V6(_) | SocketAddr::V4(_) => asked.interface.clone(),
    }
}

/// Sends a datagram, or not: where its queue is full it would be lost on the way just as well.
fn send(socket: &UdpSocket, message: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket2::SockRef::from(socket).send_to(message, &to.into()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

impl std::fmt::Display for SearchOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} ({address})", self.interface),
            None => write!(f, "{} (IPv6)", self.interface),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j4_the_zone_is_that_of_the_sender_and_not_of_the_socket() {
        let origin = |index, interface: &str| SearchOrigin {
            index,
            interface: interface.into(),
            address: None,
        };
        let origins = [origin(2, "eth0"), origin(3, "eth1")];
        let of = |scope| {
            let source = SocketAddrV6::new("fe80::1".parse().unwrap(), 1900, 0, scope);
            interface_of(source.into(), &origins[0], origins.iter())
        };
        assert_eq!([of(2), of(3), of(7), of(0)], ["eth0", "eth1", "7", "eth0"]);
    }
}
