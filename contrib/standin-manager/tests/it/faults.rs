// SPDX-License-Identifier: GPL-3.0-or-later
//! Every fault as it looks on the wire, and whether the request took effect.

use std::{io::Write, time::Duration};

use serde_json::json;
use standin_manager::{Endpoint, Fault, FaultKind, Outcome, Snapshot, StandIn, WorkerStatus};

use crate::client::{Caller, LONG, connect, exchange, parse, standin, until_end};

/// A worker, and the bytes of a `state-changed awake` of it.
fn ready(fault: FaultKind) -> (StandIn, Caller, Vec<u8>) {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    standin.inject(Fault::at(Endpoint::StateChanged, fault));
    let body = json!({"status": "awake"}).to_string();
    let head = worker.head("POST", "/api/v3/worker/state-changed");
    let request = format!(
        "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    (standin, worker, request.into_bytes())
}

fn took_effect(standin: &StandIn, worker: &Caller) -> bool {
    standin.worker(&worker.id).unwrap().status == WorkerStatus::Awake
}

fn last(standin: &StandIn) -> Outcome {
    standin.requests().last().unwrap().outcome
}

#[test]
fn a_status_is_answered_instead() {
    let headers = vec![("Retry-After".to_owned(), "1".to_owned())];
    let (standin, worker, request) = ready(FaultKind::Status {
        code: 503,
        headers,
        body: "{\"message\":\"busy\"}".to_owned(),
    });
    let reply = parse(&exchange(standin.port(), &request));
    assert_eq!((reply.status, reply.text()), (503, "{\"message\":\"busy\"}"));
    assert!(reply.head.contains("Retry-After: 1") && reply.head.contains("Content-Type: application/json"));
    assert!(!took_effect(&standin, &worker));
    assert_eq!(parse(&exchange(standin.port(), &request)).status, 204, "once");
}

#[test]
fn a_status_after_is_answered_though_it_was_done() {
    let (standin, worker, request) = ready(FaultKind::StatusAfter(500));
    assert_eq!(parse(&exchange(standin.port(), &request)).status, 500);
    assert!(took_effect(&standin, &worker));
}

#[test]
fn a_hanging_request_is_given_up_when_the_client_leaves() {
    for (kind, done) in [(FaultKind::Hang, false), (FaultKind::HangAfter, true)] {
        let (standin, worker, request) = ready(kind);
        let mut stream = connect(standin.port());
        stream.write_all(&request).unwrap();
        let outcome = |wanted: Outcome| {
            move |snapshot: &Snapshot<'_>| {
                snapshot
                    .requests()
                    .last()
                    .filter(|seen| seen.outcome == wanted && seen.endpoint == Endpoint::StateChanged)
                    .map(|_| ())
            }
        };
        standin
            .wait_for(LONG, "the request", outcome(Outcome::Pending))
            .unwrap();
        drop(stream);
        standin
            .wait_for(LONG, "the end of the request", outcome(Outcome::Dropped))
            .unwrap();
        assert_eq!(took_effect(&standin, &worker), done);
    }
}

#[test]
fn a_delayed_answer_comes_no_sooner() {
    let time = Duration::from_millis(80);
    for kind in [FaultKind::Delay(time), FaultKind::DelayAnswer(time)] {
        let (standin, worker, request) = ready(kind);
        assert_eq!(parse(&exchange(standin.port(), &request)).status, 204);
        let seen = standin.requests().pop().unwrap();
        assert!(seen.finished.unwrap() - seen.received >= time);
        assert!(took_effect(&standin, &worker));
    }
}

#[test]
fn a_dropped_answer_took_effect_and_sent_nothing() {
    let (standin, worker, request) = ready(FaultKind::DropAnswer);
    assert_eq!(exchange(standin.port(), &request), b"");
    assert!(took_effect(&standin, &worker));
    assert_eq!(last(&standin), Outcome::Dropped);
}

#[test]
fn closing_before_does_nothing_and_sends_nothing() {
    let (standin, worker, request) = ready(FaultKind::CloseBefore);
    assert_eq!(exchange(standin.port(), &request), b"");
    assert!(!took_effect(&standin, &worker));
    assert_eq!(last(&standin), Outcome::Dropped);
}

#[test]
fn a_cut_body_claims_its_whole_length() {
    for sent in [0, 1, 10] {
        let standin = standin();
        standin.inject(Fault::at(Endpoint::Version, FaultKind::CutBody(sent)));
        let reply = parse(&exchange(
            standin.port(),
            b"GET /api/v3/version HTTP/1.1\r\nHost: x\r\n\r\n",
        ));
        assert_eq!((reply.status, reply.body.len()), (200, sent));
        assert!(reply.head.contains("Content-Length: 97"), "{}", reply.head);
        assert_eq!(last(&standin), Outcome::Cut(200));
    }
}

#[test]
fn nonsense_is_sent_as_it_is() {
    let (standin, worker, request) = ready(FaultKind::Nonsense {
        body: b"<html>\xff".to_vec(),
        content_type: "text/html".to_owned(),
    });
    let reply = parse(&exchange(standin.port(), &request));
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"<html>\xff".as_slice()));
    assert!(reply.head.contains("Content-Type: text/html"));
    assert!(!took_effect(&standin, &worker));
}

#[test]
fn stopping_ends_hanging_requests() {
    let (standin, _, request) = ready(FaultKind::Hang);
    let mut stream = connect(standin.port());
    stream.write_all(&request).unwrap();
    let there = |snapshot: &Snapshot<'_>| {
        snapshot
            .requests()
            .last()
            .filter(|seen| seen.endpoint == Endpoint::StateChanged)
            .map(|_| ())
    };
    standin.wait_for(LONG, "the request", there).unwrap();
    standin.stop();
    assert_eq!(until_end(&mut stream), b"");
    assert_eq!(last(&standin), Outcome::Dropped);
}

#[test]
fn cleared_faults_do_not_strike() {
    let (standin, worker, request) = ready(FaultKind::CloseBefore);
    standin.clear_faults();
    assert_eq!(parse(&exchange(standin.port(), &request)).status, 204);
    assert!(took_effect(&standin, &worker));
}
