// SPDX-License-Identifier: GPL-3.0-or-later

//! One request and its answer, in as much of HTTP/1.1 as that takes (RFC 9112).

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Request, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::connections::Turn;

/// How long a request may take to come, or its answer to be taken: as long as a Prometheus waits in all by default.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest request with its headers, in bytes: that of a Prometheus has some 300, what a proxy adds fits.
const LONGEST_REQUEST: usize = 8 << 10;
/// So much of what follows a request is read, and thrown away, in bytes.
const LONGEST_REST: u64 = 64 << 10;
/// The most headers.
const MOST_HEADERS: usize = 64;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// `/`: what there is.
    Index,
    /// `/metrics`.
    Metrics,
    /// `/healthz`: whether this worker can do its work.
    Health,
    /// `/livez`: whether a restart could help.
    Liveness,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// The status with its words, as in `200 OK`.
    pub status: &'static str,
    /// The content type.
    pub kind: &'static str,
    /// The body.
    pub body: String,
}

impl Page {
    /// Its path, and what it is for.
    pub(crate) const ALL: [(Self, &str, &str); 4] = [
        (Self::Index, "/", "this page"),
        (Self::Metrics, "/metrics", "for Prometheus"),
        (
            Self::Health,
            "/healthz",
            "200, or 503 and why this worker cannot do its work",
        ),
        (Self::Liveness, "/livez", "200, or 503 where a restart could help"),
    ];

    fn at(path: &str) -> Option<Self> {
        let mut pages = Self::ALL.into_iter();
        pages.find(|(_, other, _)| *other == path).map(|(page, ..)| page)
    }
}

impl HttpAnswer {
    /// A text.
    pub(crate) fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        let allow = match self.status.starts_with("405") {
            true => "Allow: GET, HEAD\r\n",
            false => "",
        };
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        )
        .into_bytes();
        if with_body {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

/// Reads a request and writes its answer, which is made when there is a `turn` for it. Whoever is slow, or wrong, gets none.
pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    turn: &Turn,
    answer: impl Fn(Page) -> HttpAnswer,
) {
    timeout(LIMIT, async {
        let head = read_head(&mut stream).await?;
        turn.take().await;
        let bytes = reply(&head, answer);
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // What is not read when we close would make the kernel take back the answer: a body, for example.
        let mut rest = stream.take(LONGEST_REST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        io::Result::Ok(())
    })
    .await
    .ok();
}

/// All up to the empty line, or what came of it: where lines end, and whether this can still become a request, the parser
/// knows.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut head).await?;
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let is_begun = matches!(Request::new(&mut headers).parse(&head), Ok(Status::Partial));
        if read == 0 || !is_begun || head.len() > LONGEST_REQUEST {
            return Ok(head);
        }
    }
}

fn reply(head: &[u8], answer: impl Fn(Page) -> HttpAnswer) -> Vec<u8> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    let parsed = request.parse(head);
    let (Ok(Status::Complete(_)), Some(method), Some(target)) = (parsed, request.method, request.path) else {
        let too_long = matches!(parsed, Ok(_) | Err(httparse::Error::TooManyHeaders)) && head.len() > 1;
        return match too_long {
            true => HttpAnswer::text(
                "431 Request Header Fields Too Large",
                "this request is too long, or cut short\n",
            ),
            false => HttpAnswer::text("400 Bad Request", "this is no HTTP request\n"),
        }
        .bytes(true);
    };
    let answer = match (Page::at(path_of(target)), method) {
        (Some(page), "GET" | "HEAD") => answer(page),
        (Some(_), _) => HttpAnswer::text("405 Method Not Allowed", "this can only be read, with GET or HEAD\n"),
        (None, _) => HttpAnswer::text("404 Not Found", "there is no such page here; / lists those that are\n"),
    };
    answer.bytes(method != "HEAD")
}

/// The path in a target, which may be a whole URL (RFC 9112, 3.2.2).
fn path_of(target: &str) -> &str {
    let target = target.split('?').next().unwrap_or_default();
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest.find('/').map_or("/", |path| &rest[path..]),
        Some(_) | None => target,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn answer(page: Page) -> HttpAnswer {
        HttpAnswer::text("200 OK", format!("{page:?}"))
    }

    fn replied(head: &str) -> String {
        String::from_utf8(reply(head.as_bytes(), answer)).unwrap()
    }

    #[test]
    fn pages_are_answered_and_all_else_is_refused_in_words() {
        let metrics = replied("GET /metrics?x=/healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.ends_with("\r\n\r\nMetrics"),
            "{metrics}"
        );
        assert!(metrics.contains("Content-Length: 7\r\n") && metrics.contains("Connection: close\r\n"));
        let head = replied("HEAD /healthz HTTP/1.0\r\n\r\n");
        assert!(
            head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let post = replied("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
        assert!(
            post.starts_with("HTTP/1.1 405 ") && post.contains("Allow: GET, HEAD\r\n"),
            "{post}"
        );
        for (head, status) in [
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404"),
            ("GET //metrics HTTP/1.1\r\n\r\n", "404"),
            ("GET http://a:9464/metrics?x HTTP/1.1\r\n\r\n", "200"),
            ("GET HTTP://a HTTP/1.1\r\n\r\n", "200"),
            ("GET http://a/x HTTP/1.1\r\n\r\n", "404"),
            ("GET /://a/metrics HTTP/1.1\r\n\r\n", "404"),
            ("\u{16}\u{3}\u{1}", "400"),
            ("", "400"),
            ("GET /metrics HTTP/1.1\r\nHost", "431"),
        ] {
            assert!(replied(head).starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1));
        assert!(replied(&many).starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_answered_as_soon_as_it_is_whole_however_its_lines_end() {
        for request in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "no\0thing",
        ] {
            let (mut client, server) = duplex(1024);
            client.write_all(request.as_bytes()).await.unwrap();
            let (began, turn) = (tokio::time::Instant::now(), Turn::default());
            let mut first = [0; 9];
            tokio::select! {
                () = exchange(server, &turn, answer) => panic!("{request:?}"),
                read = client.read_exact(&mut first) => assert_eq!(read.unwrap(), 9),
            }
            assert_eq!((&first, began.elapsed()), (b"HTTP/1.1 ", Duration::ZERO), "{request:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn j20_a_slow_or_endless_request_is_given_up() {
        for piece in ["GET / HTTP/1.1\r\n", "x"] {
            let (mut client, server) = duplex(64);
            let slowly = async {
                while client.write_all(piece.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
            };
            let (began, turn) = (tokio::time::Instant::now(), Turn::default());
            tokio::select! {
                () = exchange(server, &turn, answer) => {}
                () = slowly => {}
            }
            assert!(began.elapsed() <= LIMIT, "{:?}", began.elapsed());
        }
        // Room for the answer, which nobody reads.
        const PIPE: usize = 1024;
        let (mut client, server) = duplex(PIPE);
        let turn = Turn::default();
        let (_, flooded) = tokio::join!(exchange(server, &turn, answer), async {
            let mut written = 0;
            while written < 1 << 20 && client.write_all(&[b'x'; 64]).await.is_ok() {
                written += 64;
            }
            drop(client);
            written
        });
        // With what was read too much of the request, and what is left in the pipe.
        let least = LONGEST_REQUEST + usize::try_from(LONGEST_REST).unwrap();
        assert!((least..=least + 2 * PIPE).contains(&flooded), "{flooded}");
        // Nobody takes the answer.
        let (mut client, server) = duplex(64);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let (began, turn) = (tokio::time::Instant::now(), Turn::default());
        exchange(server, &turn, |_| HttpAnswer::text("200 OK", "x".repeat(100_000))).await;
        assert!(began.elapsed() <= LIMIT);
        drop(client);
    }
}
