// SPDX-License-Identifier: GPL-3.0-or-later
//! What the Manager's Socket.IO makes of what a client sends: each oddity was seen at the real one.

use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use serde_json::json;
use standin_manager::{Options, PushOptions, StandIn};
use tokio::time::Instant;

use crate::{
    client::{Caller, LONG, connect, exchange, parse, standin},
    push::{BINARY, CLOSE, Client, Heard, PING, TEXT, upgrade},
};

const JOB: &str = "3fbd307e-c8eb-454b-87a8-9cdc8c810947";

#[test]
fn an_upgrade_offers_no_extension_and_asks_for_no_origin() {
    let standin = standin();
    let more =
        "Origin: http://elsewhere\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    for path in [
        "/socket.io/?EIO=3&transport=websocket",
        "/socket.io/",
        "/socket.io/?EIO=4",
    ] {
        let mut client = Client::upgraded(standin.port(), &upgrade(path, more));
        let head = client.head.to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(client.head.contains("hhKrC6ol0FK0SrscFOjGn1R0dYU="), "{head}");
        for absent in [
            "sec-websocket-extensions",
            "sec-websocket-protocol",
            "vary",
            "content-length",
        ] {
            assert!(!head.contains(absent), "{head}");
        }
        let open = client.text();
        let rest = open.strip_prefix("0{\"sid\":\"").unwrap();
        assert_eq!(
            &rest[20..],
            "\",\"upgrades\":[],\"pingInterval\":30000,\"pingTimeout\":60000}"
        );
        assert_eq!(client.text(), "40");
    }
}

#[test]
fn what_is_no_websocket_gets_a_503_in_the_librarys_words() {
    let standin = standin();
    let ask = |request: &str| {
        let reply = parse(&exchange(standin.port(), request.as_bytes()));
        (reply.status, reply.text().to_owned(), reply.head)
    };
    let (status, body, head) =
        ask("GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 503);
    assert_eq!(
        body,
        "Upgrade failed: websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header\n"
    );
    assert!(
        head.to_lowercase().contains("content-type: text/plain; charset=utf-8"),
        "{head}"
    );
    let (status, body, _) =
        ask("POST /socket.io/ HTTP/1.1\r\nHost: s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((status, body.as_str()), (503, "Upgrade failed: Method not allowed\n"));
    let short = upgrade("/socket.io/", "Connection: close\r\n").replace("PeZt2admPA9zHip3oxqD6A==", "short");
    assert!(ask(&short).1.contains("'Sec-WebSocket-Key' header must be Base64"));
    let old = upgrade("/socket.io/", "Connection: close\r\n").replace("Version: 13", "Version: 8");
    assert!(ask(&old).1.contains("unsupported version: 13 not found"));
    assert_eq!(ask(&upgrade("/socket.io", "Connection: close\r\n")).0, 404);
}

#[test]
fn packets_are_answered_or_swallowed_and_the_connection_stays() {
    let standin = standin();
    let mut client = Client::open(&standin);
    for pinged in ["2", "2probe"] {
        client.says(pinged);
        assert_eq!(client.text(), "3", "{pinged}");
    }
    let swallowed = [
        "1",
        "1x",
        "3",
        "40",
        "40/ns",
        "0{}",
        "0null",
        "0{\"sid\":\"a\"}",
        "42[]",
        "42[",
        "42x",
        "42[\"x\"]",
        "420[\"x\",{}]",
        "42[\"/subscription\"]",
        "420[\"/subscription\",[]]",
        "420[\"/subscription\",5]",
        "420[\"/subscription\",{\"op\":1,\"type\":\"allJobs\"}]",
        "420[\"/subscription\",{\"op\":\"subscribe\",\"type\":\"allJobs\"}]\n",
        "431[\"ok\"]",
        "431[]",
    ];
    for text in swallowed {
        client.says(text);
        client.says("2");
        assert_eq!(client.text(), "3", "{text:?}");
    }
}

#[test]
fn other_packets_end_the_connection_without_a_close_frame() {
    let standin = standin();
    let fatal = [
        "",
        "0",
        "0x",
        "0[]",
        "0{\"sid\":1}",
        "4",
        "41",
        "44",
        "45",
        "5",
        "6",
        "7",
        "x",
        "\u{e9}",
        "42",
        "42[\"a\" \"b\"]",
        "43",
        "430",
        "43[",
        "43[1]",
        "43[]",
        "43[\"x\"]",
        "43x",
    ];
    for text in fatal {
        let mut client = Client::open(&standin);
        client.says(text);
        assert_eq!(client.hears(), Heard::End, "{text:?}");
    }
    let mut client = Client::open(&standin);
    client.whole(BINARY, b"2");
    assert_eq!(client.hears(), Heard::End);
    assert_eq!(standin.killed(), None);
}

#[test]
fn frames_are_held_against_the_protocol() {
    let standin = standin();
    let mut client = Client::open(&standin);
    client.whole(PING, b"are you there");
    assert_eq!(client.hears(), Heard::Pong(b"are you there".to_vec()));
    client.frame(TEXT, b"2pr");
    client.whole(PING, b"between");
    client.whole(0, b"obe");
    assert_eq!(client.hears(), Heard::Pong(b"between".to_vec()));
    assert_eq!(client.text(), "3");
    client.whole(CLOSE, &[3, 232]);
    assert_eq!(client.hears(), Heard::Close(1000, String::new()));
    assert_eq!(client.hears(), Heard::End);

    let mut client = Client::open(&standin);
    client.unmasked(b"2");
    assert_eq!(client.hears(), Heard::Close(1002, "bad MASK".to_owned()));
    assert_eq!(client.hears(), Heard::End);
    let mut client = Client::open(&standin);
    client.whole(3, b"2");
    assert_eq!(client.hears(), Heard::Close(1002, "bad opcode 3".to_owned()));
}

#[test]
fn subscriptions_are_acknowledged_with_the_managers_words() {
    let standin = standin();
    let mut client = Client::open(&standin);
    let answers = [
        (json!({"op": "subscribe", "type": "allJobs"}), "ok"),
        (json!({"OP": "subscribe", "Type": "allJobs", "more": 1}), "ok"),
        (json!({"op": "unsubscribe", "type": "allWorkers"}), "ok"),
        (json!({"op": "subscribe", "type": "job", "uuid": JOB}), "ok"),
        (
            json!({"op": "subscribe", "type": "job", "uuid": "x"}),
            "invalid UUID, ignoring request",
        ),
        (
            json!({"op": "subscribe", "type": "nope", "uuid": ""}),
            "invalid UUID, ignoring request",
        ),
        (
            json!({"op": "subscribe", "type": "job"}),
            "operation on job requires a UUID",
        ),
        (
            json!({"op": "nope", "type": "job", "uuid": null}),
            "operation on job requires a UUID",
        ),
        (
            json!({"op": "subscribe", "type": "tasklog"}),
            "operation on task requires a UUID",
        ),
        (
            json!({"op": "nope", "type": "nope"}),
            "unknown subscription type, ignoring request",
        ),
        (json!(null), "unknown subscription type, ignoring request"),
        (
            json!({"op": "nope", "type": "allJobs"}),
            "unable to perform subscription operation: invalid subscription operation, ignoring request",
        ),
    ];
    for (number, (wish, answer)) in answers.iter().enumerate() {
        client.says(&format!("42{number}[\"/subscription\",{wish}]"));
        assert_eq!(client.text(), format!("43{number}[\"{answer}\"]"), "{wish}");
    }
    client.says("42007[\"/subscription\",{\"op\":\"subscribe\",\"type\":\"allJobs\"}]");
    assert_eq!(client.text(), "437[\"ok\"]");
}

#[test]
fn a_subscription_without_a_number_is_made_without_an_answer_and_lives_as_long_as_its_connection() {
    let standin = standin();
    let mut client = Client::open(&standin);
    client.says("42[\"/subscription\",{\"op\":\"subscribe\",\"type\":\"allJobs\"}]");
    client.says("42/ns,[\"/subscription\",{\"op\":\"subscribe\",\"type\":\"allWorkers\"}]");
    assert!(client.heard().is_empty());
    let of = |standin: &StandIn| standin.push_clients()[0].rooms.clone();
    assert_eq!(of(&standin), ["/jobs", "/lifecycle", "/status", "/workers"]);
    client.joins(&json!({"op": "unsubscribe", "type": "allJobs"}));
    client.joins(&json!({"op": "subscribe", "type": "job", "uuid": JOB}));
    let own = format!("/jobs/{JOB}");
    assert_eq!(
        of(&standin),
        [
            &own,
            &format!("{own}/last-rendered"),
            "/lifecycle",
            "/status",
            "/workers"
        ]
    );
    drop(client);
    standin
        .wait_for(LONG, "nobody", |now| now.push_clients().next().is_none().then_some(()))
        .unwrap();
    let _another = Client::open(&standin);
    assert_eq!(of(&standin), ["/lifecycle", "/status"]);
}

#[test]
fn the_room_of_a_tasks_log_is_that_of_a_job_with_the_tasks_id() {
    let standin = standin();
    let mut client = Client::open(&standin);
    client.joins(&json!({"op": "subscribe", "type": "tasklog", "uuid": JOB}));
    assert_eq!(
        standin.push_clients()[0].rooms,
        [&format!("/jobs/{JOB}"), "/lifecycle", "/status"]
    );
}

#[test]
fn only_data_messages_keep_a_connection() {
    let idle_time = Duration::from_millis(300);
    let standin = StandIn::start(Options {
        header_time: Duration::from_millis(100),
        push: PushOptions {
            idle_time,
            ..PushOptions::default()
        },
        ..Options::default()
    })
    .unwrap();
    let mut client = Client::open(&standin);
    let start = Instant::now();
    while start.elapsed() < idle_time * 3 {
        client.says("3");
        client.says("2");
        assert_eq!(client.text(), "3");
    }
    let start = Instant::now();
    let end = loop {
        client.whole(PING, b"");
        match client.hears() {
            Heard::Pong(_) => assert!(start.elapsed() < LONG),
            end @ (Heard::Text(_) | Heard::Close(..) | Heard::End) => break end,
        }
    };
    assert_eq!(end, Heard::End);
    assert!(start.elapsed() > idle_time * 2 / 3, "{:?}", start.elapsed());
}

#[test]
fn a_broken_ack_ends_the_whole_manager_until_a_person_starts_it() {
    let standin = standin();
    let port = standin.port();
    for packet in ["431[", "43-7["] {
        let mut other = Client::open(&standin);
        let mut client = Client::open(&standin);
        client.says(packet);
        assert_eq!(client.hears(), Heard::End);
        assert_eq!(other.hears(), Heard::End);
        let end = Instant::now() + LONG;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < end, "it still serves");
        }
        assert_eq!(standin.killed().unwrap().packet, packet);
        standin.start_again().unwrap();
        drop(connect(port));
        assert_eq!(Caller::anybody(&standin).api("GET", "version").status, 200);
    }
}

#[test]
fn a_client_that_leaves_while_it_is_in_a_room_can_stop_all_that_is_broadcast() {
    let push = PushOptions {
        wedges: true,
        ..PushOptions::default()
    };
    let standin = StandIn::start(Options {
        push,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::registered(&standin, "worker");
    let room = |op: &str| json!({"op": op, "type": "allWorkers"});
    let parted = |count: usize| {
        let parted = standin.wait_for(LONG, "a client to leave", |seen| {
            (seen.parted().len() == count).then(|| seen.parted()[count - 1].clone())
        });
        parted.unwrap().rooms
    };
    let mut polite = Client::open(&standin);
    polite.joins(&room("subscribe"));
    polite.joins(&room("unsubscribe"));
    drop(polite);
    assert!(parted(1).is_empty() && !standin.wedged());
    worker.sign_on("worker");

    let mut rude = Client::open(&standin);
    rude.joins(&room("subscribe"));
    drop(rude);
    assert_eq!(parted(2), ["/workers"]);
    assert!(standin.wedged());
    let mut asks = connect(standin.port());
    asks.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let head = worker.head("POST", "/api/v3/worker/sign-off");
    asks.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())
        .unwrap();
    let silence = asks.read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock, "{silence}");
    assert_eq!(worker.call("GET", "state").status, 204);
    standin.stop();
    standin.start_again().unwrap();
    worker.sign_on("worker");
}
