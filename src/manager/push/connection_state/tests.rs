// SPDX-License-Identifier: GPL-3.0-or-later

use tokio::time::advance;

use super::*;
use crate::manager::push::{HintReceiver, PollInterval, hint_channel};

const OWN: &str = "349101db-3efa-44fe-92e9-f82ca8e0032b";

struct Fixture {
    hints: HintReceiver,
    sender: HintSender,
    farm: FarmLoad,
    timings: Timings,
}

impl Fixture {
    fn new() -> Self {
        let timings = Timings::default();
        let (hints, sender) = hint_channel(&timings);
        Self {
            hints,
            sender,
            farm: FarmLoad::new(Instant::now()),
            timings,
        }
    }

    /// A connection that is open, and the worker's end of its hints.
    fn open(&mut self, interest: Interest) -> (ConnectionState<'_>, &mut HintReceiver) {
        let filter = EventFilter::new(OWN.into(), interest);
        let mut state = ConnectionState::new(filter, &mut self.farm, &self.sender, &self.timings);
        state.open(&Handshake {
            ping_interval: Some(30_000),
        });
        (state, &mut self.hints)
    }
}

fn sent(state: &mut ConnectionState<'_>) -> Vec<String> {
    std::iter::from_fn(|| state.packet_sent())
        .map(|packet| packet.to_string())
        .collect()
}

/// How long until the worker asks, in seconds: 5 without a connection, 10 with one.
async fn asks_in(hints: &mut HintReceiver) -> u64 {
    let start = Instant::now();
    hints
        .next_poll(PollInterval {
            without_hints: Duration::from_secs(5),
            with_hints: Duration::from_secs(10),
        })
        .await;
    start.elapsed().as_secs()
}

fn acknowledge(state: &mut ConnectionState<'_>) {
    state.receive(r#"431["ok"]"#);
    state.receive(r#"432["ok"]"#);
}

#[tokio::test(start_paused = true)]
async fn once_the_rooms_are_entered_one_question_is_due_and_then_the_longer_pause() {
    let mut fixture = Fixture::new();
    let (mut state, hints) = fixture.open(Interest::Work);
    assert_eq!(sent(&mut state).len(), 2);
    assert_eq!(asks_in(hints).await, 5, "not yet acknowledged");
    acknowledge(&mut state);
    assert_eq!(asks_in(hints).await, 0);
    assert_eq!(asks_in(hints).await, 10);
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_do_not_come_are_not_waited_for() {
    let mut fixture = Fixture::new();
    let (mut state, hints) = fixture.open(Interest::StatusRequests);
    assert_eq!(state.next_timeout() - Instant::now(), Duration::from_secs(5));
    advance(Duration::from_secs(5)).await;
    state.handle_timeout().unwrap();
    assert_eq!(asks_in(hints).await, 0);
    assert_eq!(
        state.next_timeout() - Instant::now(),
        Duration::from_secs(20),
        "the ping"
    );
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_sent_every_25_seconds_and_one_without_an_answer_ends_it() {
    let mut fixture = Fixture::new();
    let (mut state, _) = fixture.open(Interest::StatusRequests);
    acknowledge(&mut state);
    sent(&mut state);
    for answered in [true, true, false, false, false] {
        advance(state.next_timeout() - Instant::now()).await;
        assert_eq!(state.handle_timeout(), Ok(()));
        assert_eq!(sent(&mut state), ["2"]);
        if answered {
            state.receive("3");
        }
    }
    advance(state.next_timeout() - Instant::now()).await;
    assert_eq!(state.handle_timeout(), Err(PingTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_wants_a_ping_every_millisecond_gets_one_a_second() {
    let mut fixture = Fixture::new();
    let (mut state, _) = fixture.open(Interest::Nothing);
    state.open(&Handshake { ping_interval: Some(1) });
    assert_eq!(state.next_timeout() - Instant::now(), MIN_PING_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_flood_empties_the_farm_wide_rooms_for_a_while() {
    let mut fixture = Fixture::new();
    let (mut state, hints) = fixture.open(Interest::Work);
    acknowledge(&mut state);
    sent(&mut state);
    asks_in(hints).await;
    for _ in 0..10_000 {
        state.receive(r#"42["/status",{"status":"active"}]"#);
    }
    assert_eq!(sent(&mut state).len(), 2, "left once");
    state.receive(r#"433["ok"]"#);
    state.receive(r#"434["ok"]"#);
    assert_eq!(asks_in(hints).await, 5, "as without a connection");
    advance(Duration::from_secs(300)).await;
    state.handle_timeout().unwrap();
    assert_eq!(sent(&mut state).len(), 3, "entered again, and a ping");
    state.receive(r#"435["ok"]"#);
    state.receive(r#"436["ok"]"#);
    assert_eq!(asks_in(hints).await, 0);
    assert_eq!(asks_in(hints).await, 10);
}

#[tokio::test(start_paused = true)]
async fn nonsense_changes_nothing() {
    let mut fixture = Fixture::new();
    let (mut state, hints) = fixture.open(Interest::StatusRequests);
    acknowledge(&mut state);
    sent(&mut state);
    asks_in(hints).await;
    for text in "|43|42|42[\"/workers\",7]|439999[]|1|41|0{}|\u{0}".split('|') {
        state.receive(text);
    }
    assert!(sent(&mut state).is_empty());
    assert_eq!(asks_in(hints).await, 10);
}
