// SPDX-License-Identifier: GPL-3.0-or-later
//! Answers those who search for a Manager by SSDP, as Flamenco 3.9 was seen to: one search after the other, an answer for
//! each URL, spread over the time that the search allows and a second at least; the fields in any order; the same device for
//! every Manager. The port is taken for this one Manager.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::time::sleep;

const PORT: u16 = 1900;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
const TARGET: &str = "urn:flamenco:manager:0";
const DEVICE: &str = "aa80bc5f-d0af-46b8-8630-23bd7e80ec4d";
/// Below the URL.
const DESCRIPTION: &str = "upnp/description.xml";

/// How a Manager can be found.
#[derive(Clone, Debug, Default)]
pub struct SsdpOptions {
    /// The URLs that it says it has, each with a slash at its end.
    pub urls: Vec<String>,
    /// The addresses of the IPv4 networks on which it hears searches.
    pub networks: Vec<Ipv4Addr>,
    /// The interfaces on which it hears them with IPv6, where there are no IPv4 networks. The real one never does.
    pub interfaces_v6: Vec<u32>,
}

/// The socket on which searches are heard.
pub(crate) fn listen(options: &SsdpOptions) -> io::Result<UdpSocket> {
    let any: IpAddr = match options.networks.is_empty() {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, PORT))?;
    for network in &options.networks {
        socket.join_multicast_v4(&GROUP, network)?;
    }
    for interface in &options.interfaces_v6 {
        socket.join_multicast_v6(&GROUP_V6, *interface)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Answers for as long as it is polled.
pub(crate) async fn answer(listening: Option<(tokio::net::UdpSocket, Vec<String>)>) -> Infallible {
    let Some((socket, urls)) = listening else {
        return pending().await;
    };
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some(limit) = time_to_answer(&text) {
            for url in &urls {
                let share = limit.div_f64(f64::from(u32::try_from(urls.len()).unwrap_or(u32::MAX)));
                sleep(share.mul_f64(fastrand::f64())).await;
                tell(&socket, url, from).await;
            }
        }
    }
}

async fn tell(socket: &tokio::net::UdpSocket, url: &str, to: SocketAddr) {
    let mut fields = [
        format!("ST: {TARGET}"),
        format!("USN: uuid:{DEVICE}::{TARGET}"),
        format!("LOCATION: {url}{DESCRIPTION}"),
        "CACHE-CONTROL: max-age=3600".to_owned(),
        "SERVER: linux/0.0 UPnP/1.0 gossdp/0.1".to_owned(),
        "EXT: ".to_owned(),
    ];
    fastrand::shuffle(&mut fields);
    let answer = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields.join("\r\n"));
    // Whoever asked may be gone.
    socket.send_to(answer.as_bytes(), to).await.ok();
}

/// How long the answers to a search may take; `None` if it is none for Managers.
fn time_to_answer(search: &str) -> Option<Duration> {
    let fields = search.strip_prefix("M-SEARCH * HTTP/1.1\r\n")?;
    let field = |name: &str| {
        let mut fields = fields.lines().filter_map(|line| line.split_once(':'));
        fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    };
    let (_, limit) = (field("MAN")?, field("MX")?);
    (field("ST")? == TARGET).then(|| Duration::from_secs(limit.parse().unwrap_or(1).clamp(1, 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_for_managers_allows_a_second_at_least() {
        let search = |fields: &str| time_to_answer(&format!("M-SEARCH * HTTP/1.1\r\n{fields}\r\n\r\n"));
        let ours = "MAN: \"ssdp:discover\"\r\nST: urn:flamenco:manager:0\r\nmx: ";
        assert_eq!(search(&format!("{ours}3")), Some(Duration::from_secs(3)));
        assert_eq!(search(&format!("{ours}0")), Some(Duration::from_secs(1)));
        assert_eq!(search("MAN: x\r\nST: ssdp:all\r\nMX: 1"), None);
        assert_eq!(search("ST: urn:flamenco:manager:0\r\nMX: 1"), None);
        assert_eq!(time_to_answer("NOTIFY * HTTP/1.1\r\n"), None);
    }
}
