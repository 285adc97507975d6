// SPDX-License-Identifier: GPL-3.0-or-later
//! HTTP as the Manager speaks it, and the list of requests.

use std::{
    io::{Read, Write},
    time::Duration,
};

use serde_json::json;
use standin_manager::{Endpoint, JobSpec, Options, Outcome, SeenBody, StandIn, TaskSpec};

use crate::client::{Caller, connect, exchange, parse, standin, until_end};

#[test]
fn unknown_paths_and_wrong_methods_are_404_in_two_ways() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    for path in ["nope", "state/", "task/", "task/a/b", "Sign-On"] {
        let reply = worker.call("POST", path);
        assert_eq!(
            (reply.status, reply.text()),
            (404, "{\"message\":\"Not Found\"}\n"),
            "{path}"
        );
    }
    for (method, path) in [
        ("POST", "state"),
        ("GET", "register-worker"),
        ("PUT", "task/x"),
        ("DELETE", "sign-off"),
    ] {
        let reply = worker.call(method, path);
        assert_eq!(
            (reply.status, reply.text()),
            (404, "{\"message\":\"method not allowed\"}\n"),
            "{path}"
        );
    }
}

#[test]
fn long_answers_come_in_chunks_and_short_ones_with_their_length() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let long = "x".repeat(5000);
    let command = standin_manager::CommandSpec::new("echo", json!({"message": long}));
    standin
        .submit(JobSpec::new("j").task(TaskSpec::new("t").command(command)))
        .unwrap();
    let reply = worker.fetch();
    assert!(reply.head.contains("Transfer-Encoding: chunked"), "{}", reply.head);
    assert_eq!(reply.json()["commands"][0]["parameters"]["message"], long);
    assert!(worker.call("GET", "nope").head.contains("Content-Length: 24"));
    let nothing = worker.call("GET", "state");
    assert!(
        nothing.head.contains("Vary: Origin") && !nothing.head.contains("Content-Length"),
        "{}",
        nothing.head
    );
}

#[test]
fn chunked_bodies_are_accepted() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let head = worker.head("POST", "/api/v3/worker/state-changed");
    let body = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"status\"\r\n9\r\n:\"awake\"}\r\n0\r\n\r\n";
    assert_eq!(parse(&exchange(standin.port(), (head + body).as_bytes())).status, 204);
}

#[test]
fn a_connection_without_a_whole_header_is_closed_without_a_word() {
    let standin = StandIn::start(Options {
        header_time: Duration::from_millis(100),
        ..Options::default()
    })
    .unwrap();
    for begun in ["", "GET /api/v3/version HTTP/1.1\r\nHost: x\r\n"] {
        let before = standin.now();
        assert_eq!(exchange(standin.port(), begun.as_bytes()), b"", "{begun:?}");
        assert!(standin.now() - before >= Duration::from_millis(95));
    }
    assert!(standin.requests().is_empty());
}

/// The real one was seen to wait 65 s between requests. That the limit starts with a request's first byte, and that a body has
/// none, is shown by a limit that the test outlives: the second header's own is what ends it.
#[test]
fn between_requests_and_within_a_body_there_is_no_limit() {
    let limit = Duration::from_millis(100);
    let standin = StandIn::start(Options {
        header_time: limit,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::registered(&standin, "w");
    let mut stream = connect(standin.port());
    let head = worker
        .head("POST", "/api/v3/worker/state-changed")
        .replace("Connection: close\r\n", "");
    write!(
        stream,
        "{head}Content-Type: application/json\r\nContent-Length: 18\r\n\r\n"
    )
    .unwrap();
    outlive(&standin, limit);
    stream.write_all(b"{\"status\":\"awake\"}").unwrap();
    assert!(some_bytes(&mut stream).starts_with(b"HTTP/1.1 204"));
    outlive(&standin, limit);
    stream
        .write_all(b"GET /api/v3/version HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(some_bytes(&mut stream).starts_with(b"HTTP/1.1 200"));
    outlive(&standin, limit);
    let before = standin.now();
    stream.write_all(b"GET /api").unwrap();
    assert_eq!(until_end(&mut stream), b"");
    assert!(standin.now() - before >= limit.mul_f32(0.95));
    let connections: Vec<u64> = standin.requests().iter().skip(1).map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1]);
}

/// Passes three times the limit without sleeping: a wait that ends in vain.
fn outlive(standin: &StandIn, limit: Duration) {
    standin.wait_for(limit * 3, "time to pass", |_| None::<()>).unwrap_err();
}

fn some_bytes(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap();
    bytes[..count].to_vec()
}

#[test]
fn every_request_is_remembered() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    worker.send("POST", "/api/v3/worker/task/x", "application/json", b"no json");
    Caller::anybody(&standin).api("GET", "version?a=b");
    let seen = standin.requests();
    let endpoints: Vec<Endpoint> = seen.iter().map(|seen| seen.endpoint).collect();
    use Endpoint::{Register, SignOn, StateChanged, TaskUpdate, Version};
    assert_eq!(endpoints, [Register, SignOn, StateChanged, TaskUpdate, Version]);
    assert_eq!(seen[2].json(), Some(&json!({"status": "awake"})));
    assert_eq!(
        (seen[2].worker.as_ref(), seen[2].outcome),
        (Some(&worker.id), Outcome::Answered(204))
    );
    assert_eq!(
        (seen[3].task.as_deref(), &seen[3].body, seen[3].status()),
        (Some("x"), &SeenBody::Bytes(7), Some(400))
    );
    assert_eq!(
        (seen[4].path.as_str(), seen[4].worker.as_ref()),
        ("/api/v3/version?a=b", None)
    );
    assert!(
        seen.iter()
            .all(|seen| seen.finished.is_some_and(|finished| finished >= seen.received))
    );
    standin.clear_requests();
    assert!(standin.requests().is_empty());
}

#[test]
fn a_stopped_manager_refuses_connections_and_comes_back_with_its_memory() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let mut open = connect(standin.port());
    standin.stop();
    assert_eq!(until_end(&mut open), b"", "open connections end");
    assert!(std::net::TcpStream::connect(("127.0.0.1", standin.port())).is_err());
    standin.start_again().unwrap();
    assert_eq!(worker.fetch().status, 204, "still awake");
}
