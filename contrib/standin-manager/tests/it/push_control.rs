// SPDX-License-Identifier: GPL-3.0-or-later
//! Disorder, loss, floods, cuts, refusals and the end: what tests and benches may ask of the Socket.IO.

use std::{io::Write, time::Duration};

use serde_json::json;
use standin_manager::{
    Endpoint, Fault, FaultKind, Options, Outcome, PushCounts, PushOptions, PushRefusal, StandIn, When, WorkerStatus,
};

use crate::{
    client::{Caller, LONG, connect, exchange, job, parse, standin},
    push::{Client, Heard, payload, upgrade},
};

fn with(push: PushOptions) -> StandIn {
    StandIn::start(Options {
        push,
        ..Options::default()
    })
    .unwrap()
}

/// Whether each of 50 cancelled jobs was told of in the order of things.
fn cancels_in_order(seed: u64) -> Vec<bool> {
    let standin = with(PushOptions {
        seed,
        ..PushOptions::default()
    });
    let mut client = Client::open(&standin);
    client.joins(&json!({"op": "subscribe", "type": "allJobs"}));
    let ids: Vec<String> = (0..50).map(|_| job(&standin, 1).0).collect();
    client.heard();
    let in_order = |id: &String| {
        standin.cancel_job(id).unwrap();
        let texts = client.heard_in_order();
        assert_eq!(texts.len(), 2, "{texts:?}");
        payload(&texts[0])["status"] == "cancel-requested"
    };
    ids.iter().map(in_order).collect()
}

#[test]
fn events_of_one_change_come_in_any_order() {
    let order = cancels_in_order(7);
    assert!(order.contains(&true) && order.contains(&false), "{order:?}");
}

#[test]
fn events_are_lost_on_demand_and_counted() {
    let standin = standin();
    let mut client = Client::to_all(&standin);
    standin.lose_events(1.0);
    let caller = Caller::awake(&standin, "w");
    job(&standin, 1);
    assert!(client.heard().is_empty());
    let PushCounts { connected, sent, lost } = standin.push_counts();
    assert_eq!((connected, sent), (1, 0));
    assert!(lost >= 3, "{lost}");
    standin.lose_events(0.0);
    standin.ask(&caller.id, WorkerStatus::Asleep, When::Now).unwrap();
    assert_eq!(client.heard().len(), 1);
    standin.lose_events(0.5);
    for _ in 0..100 {
        standin.ask(&caller.id, WorkerStatus::Asleep, When::Now).unwrap();
    }
    let heard = client.heard().len();
    assert!((20..80).contains(&heard), "{heard}");
}

#[test]
fn a_client_that_does_not_read_loses_events_and_then_its_connection() {
    let standin = standin();
    let mut client = Client::to_all(&standin);
    let caller = Caller::awake(&standin, "w");
    client.heard();
    let stuffing = "x".repeat(60_000);
    standin.push_raw(&stuffing, 1_000);
    let asks = |times: usize| {
        for _ in 0..times {
            standin.ask(&caller.id, WorkerStatus::Asleep, When::Now).unwrap();
        }
    };
    // Its socket is full once events stay.
    let end = standin.now() + LONG;
    while standin.push_clients().iter().all(|client| client.waiting < 500) {
        assert!(standin.now() < end, "{:?}", standin.push_clients());
        asks(10);
    }
    let lost = standin.push_counts().lost;
    asks(3);
    assert_eq!(standin.push_counts().lost, lost + 3);
    let end = loop {
        match client.hears() {
            Heard::Text(_) => {}
            end @ (Heard::Pong(_) | Heard::Close(..) | Heard::End) => break end,
        }
    };
    assert_eq!(end, Heard::End);
    standin
        .wait_for(LONG, "nobody", |now| now.push_clients().next().is_none().then_some(()))
        .unwrap();
}

#[test]
fn any_text_goes_to_everyone_as_often_as_asked() {
    let standin = standin();
    let mut clients = [Client::open(&standin), Client::open(&standin)];
    let nonsense = "42[\"/workers\",{\"id\":";
    let start = standin.now();
    standin.push_raw(nonsense, 10_000);
    for client in &mut clients {
        for _ in 0..10_000 {
            assert_eq!(client.text(), nonsense);
        }
        client.says("2");
        assert_eq!(client.text(), "3");
    }
    let took = standin.now() - start;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn all_connections_are_cut_and_http_goes_on() {
    let standin = standin();
    let mut kept = connect(standin.port());
    let ask = b"GET /api/v3/version HTTP/1.1\r\nHost: s\r\n\r\n";
    let mut answered = || {
        kept.write_all(ask).unwrap();
        let mut bytes = [0; 8];
        std::io::Read::read_exact(&mut kept, &mut bytes).unwrap();
        let mut rest = [0; 4096];
        assert!(std::io::Read::read(&mut kept, &mut rest).unwrap() > 0);
    };
    answered();
    let mut clients = [Client::open(&standin), Client::open(&standin)];
    standin.cut_push();
    assert!(standin.push_clients().is_empty());
    for client in &mut clients {
        assert_eq!(client.hears(), Heard::End);
    }
    answered();
    let _back = Client::open(&standin);
    assert_eq!(standin.push_counts().connected, 3);
}

#[test]
fn who_is_connected_and_what_they_said_is_known() {
    let standin = standin();
    let mut client = Client::open(&standin);
    client.joins(&json!({"op": "subscribe", "type": "allWorkers"}));
    client.says("2");
    assert_eq!(client.text(), "3");
    let known = standin.push_clients();
    assert_eq!((known.len(), known[0].number, known[0].received), (1, 0, 2));
    assert!(known[0].peer.ip().is_loopback());
    assert!(known[0].rooms.contains(&"/workers".to_owned()));
    assert!(known[0].messages[0].contains("\"allWorkers\"") && known[0].messages[1] == "2");
}

#[test]
fn an_orderly_stop_is_told_twice_before_connections_end() {
    let standin = with(PushOptions {
        farewell: Duration::from_millis(50),
        ..PushOptions::default()
    });
    let mut client = Client::open(&standin);
    standin.stop();
    let goodbye = "42[\"/lifecycle\",{\"type\":\"manager-shutdown\"}]";
    assert_eq!(client.hears(), Heard::Text(goodbye.to_owned()));
    assert_eq!(client.hears(), Heard::Text(goodbye.to_owned()));
    assert_eq!(client.hears(), Heard::End);
    standin.start_again().unwrap();
    let _back = Client::open(&standin);
}

#[test]
fn without_push_clients_a_stop_waits_for_nothing() {
    let standin = with(PushOptions {
        farewell: LONG,
        ..PushOptions::default()
    });
    drop(connect(standin.port()));
    let start = standin.now();
    standin.stop();
    assert!(standin.now() - start < LONG);
}

#[test]
fn an_upgrade_is_refused_for_good_as_by_a_proxy() {
    let standin = with(PushOptions {
        refused: Some(PushRefusal {
            status: 502,
            body: "<h1>Bad Gateway</h1>".to_owned(),
        }),
        ..PushOptions::default()
    });
    let reply = parse(&exchange(
        standin.port(),
        upgrade("/socket.io/", "Connection: close\r\n").as_bytes(),
    ));
    assert_eq!((reply.status, reply.text()), (502, "<h1>Bad Gateway</h1>"));
    assert!(
        reply.head.to_lowercase().contains("content-type: text/html"),
        "{}",
        reply.head
    );
}

#[test]
fn faults_strike_the_request_for_an_upgrade_and_it_is_in_the_list() {
    let standin = standin();
    standin.inject(Fault::at(Endpoint::Push, FaultKind::status(404)));
    standin.inject(Fault::at(Endpoint::Push, FaultKind::CloseBefore));
    standin.inject(Fault::at(Endpoint::Push, FaultKind::Delay(Duration::from_millis(20))));
    let closing = upgrade("/socket.io/", "Connection: close\r\n");
    assert_eq!(parse(&exchange(standin.port(), closing.as_bytes())).status, 404);
    assert_eq!(exchange(standin.port(), closing.as_bytes()), b"");
    let mut client = Client::open(&standin);
    client.says("2");
    assert_eq!(client.text(), "3");
    let requests = standin.requests();
    assert!(requests.iter().all(|request| request.endpoint == Endpoint::Push));
    let outcomes: Vec<Outcome> = requests.iter().map(|request| request.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Answered(404), Outcome::Dropped, Outcome::Answered(101)]
    );
}

#[test]
fn the_oldest_requests_are_forgotten() {
    let standin = StandIn::start(Options {
        requests_kept: 8,
        ..Options::default()
    })
    .unwrap();
    for _ in 0..20 {
        assert_eq!(Caller::anybody(&standin).api("GET", "version").status, 200);
    }
    let requests = standin.requests();
    assert!((6..=8).contains(&requests.len()), "{}", requests.len());
    assert_eq!(requests.last().unwrap().number, 19);
    assert!(requests.iter().all(|request| request.outcome == Outcome::Answered(200)));
}
