// SPDX-License-Identifier: GPL-3.0-or-later

//! Whoever asks a worker over HTTP.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use test_bed::{Node, PATIENCE, until};

/// A node's socket, from the outside.
pub(crate) struct Monitored(PathBuf);

impl Monitored {
    /// Has the node answer at a socket in its folder.
    pub(crate) fn at_socket(node: &mut Node) -> Self {
        let socket = node.folder.join("metrics.sock");
        node.config
            .top
            .insert(0, format!("metrics = \"unix:{}\"", socket.display()));
        Self(socket)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.0
    }

    /// A connection, once there is one to be had.
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = until("a connection", || UnixStream::connect(&self.0).ok(), String::new);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The whole answer.
    pub(crate) fn get(&self, path: &str) -> String {
        exchange(self.connect(), &format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n"))
    }

    /// The same, if it is there now.
    pub(crate) fn try_get(&self, path: &str) -> Option<String> {
        let stream = UnixStream::connect(&self.0).ok()?;
        let answer = exchange(stream, &format!("GET {path} HTTP/1.1\r\n\r\n"));
        (!answer.is_empty()).then_some(answer)
    }

    /// What is scraped.
    pub(crate) fn metrics(&self) -> String {
        let answer = self.get("/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
        body.to_owned()
    }

    /// Waits until a series has such a value.
    pub(crate) fn until(&self, node: &Node, series: &str, fact: impl Fn(f64) -> bool) {
        until(
            series,
            || value(&self.metrics(), series).filter(|value| fact(*value)),
            || format!("{}\n{}", self.metrics(), node.log()),
        );
    }

    /// Waits until a page has this status, and these words.
    pub(crate) fn until_answer(&self, node: &Node, path: &str, status: &str, words: &str) {
        let expected =
            |answer: &String| answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.contains(words);
        until(
            &format!("{path} to say {status}: {words}"),
            || self.try_get(path).filter(expected),
            || format!("{:?}\n{}", self.try_get(path), node.log()),
        );
    }
}

/// Sends a request and reads to the end. Whatever breaks the connection is an end as well.
pub(crate) fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The value of a series.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}
