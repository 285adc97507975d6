// SPDX-License-Identifier: GPL-3.0-or-later

//! The two messages of a search by SSDP, the discovery protocol of UPnP: what is asked, and what a Manager answers. The
//! header of an HTTP message in one datagram each.

use std::net::SocketAddr;

/// The kind of device that is searched for.
const TARGET: &str = "urn:flamenco:manager:0";

/// The device that answers as a Manager. Every Flamenco Manager has this one, so it tells none from another.
const DEVICE: &str = "aa80bc5f-d0af-46b8-8630-23bd7e80ec4d";

/// Within so many seconds a Manager answers, in answers spread over them. It takes one search after the other: at 500 workers
/// each second of one is a second that the next one waits. Less than one is read as one.
pub(super) const SECONDS_TO_ANSWER: u64 = 1;

/// The longest `LOCATION` that is read, in bytes. A Manager's is some 50.
const LONGEST_LOCATION: usize = 300;

/// The question for Managers, for the group at this address.
pub(super) fn search_message(group: SocketAddr) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {group}\r\nMAN: \"ssdp:discover\"\r\nMX: {SECONDS_TO_ANSWER}\r\nST: {TARGET}\r\n\r\n"
    )
}

/// The `LOCATION` of a datagram; `None` if it is no answer of a Manager.
pub(super) fn location(datagram: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (status, fields) = text.split_once("\r\n")?;
    let mut words = status.split(' ');
    if !words.next()?.starts_with("HTTP/1.") || words.next()? != "200" {
        return None;
    }
    let field = |name: &str| {
        let mut fields = fields.split("\r\n").map_while(|line| line.split_once(':'));
        fields.find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
    };
    let device = field("USN")?.strip_prefix("uuid:")?.split("::").next()?;
    let location = field("LOCATION")?;
    (device.eq_ignore_ascii_case(DEVICE) && location.len() <= LONGEST_LOCATION).then_some(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Flamenco 3.9 answers; the order of the fields changes from answer to answer.
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nDATE: Mon, 30 Nov 2026 05:32:01 UTC\r\nSERVER: linux/0.0 UPnP/1.0 gossdp/0.1\r\n\
        EXT: \r\nST: urn:flamenco:manager:0\r\nUSN: uuid:aa80bc5f-d0af-46b8-8630-23bd7e80ec4d::urn:flamenco:manager:0\r\n\
        LOCATION: http://10.7.0.1:8080/upnp/description.xml\r\nCACHE-CONTROL: max-age=3600\r\n\r\n";

    #[test]
    fn j1_a_managers_answer_names_its_place() {
        assert_eq!(
            location(ANSWER.as_bytes()),
            Some("http://10.7.0.1:8080/upnp/description.xml")
        );
        let odd = ANSWER.replace("LOCATION: ", "location :").replace("200 OK", "200");
        assert_eq!(
            location(odd.as_bytes()),
            Some("http://10.7.0.1:8080/upnp/description.xml")
        );
    }

    #[test]
    fn j1_whatever_else_comes_is_none() {
        for (from, to) in [
            ("200 OK", "404 Not Found"),
            ("HTTP/1.1 200", "NOTIFY * HTTP/1.1"),
            ("aa80bc5f", "bb80bc5f"),
            ("uuid:", ""),
            ("LOCATION", "PLACE"),
            ("http://", &"x".repeat(300)),
            ("\r\n", "\n"),
        ] {
            let other = ANSWER.replace(from, to);
            assert_eq!(location(other.as_bytes()), None, "{from} -> {to}");
        }
        for cut in 0..ANSWER.find("LOCATION").unwrap_or_default() {
            assert_eq!(location(&ANSWER.as_bytes()[..cut]), None);
        }
        assert_eq!(location(b"\xff\xfe"), None);
    }

    #[test]
    fn j1_the_question_names_the_group_it_goes_to() {
        let message = search_message("[ff02::c]:1900".parse().unwrap());
        assert!(
            message.starts_with("M-SEARCH * HTTP/1.1\r\nHOST: [ff02::c]:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n")
        );
        assert!(message.ends_with("\r\n\r\n"));
    }
}
