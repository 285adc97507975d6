// SPDX-License-Identifier: GPL-3.0-or-later

//! One connection without the connection: what is heard, what is to be said, and when something is due. No runtime, no
//! socket; [`Listener`](super::Listener) carries it out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::crowd::Crowd;
use super::ear::{Ear, Heard};
use super::rooms::{Breadth, Rooms, Saying};
use super::steps::Steps;
use super::{Interest, Link, Packet, Source};
use crate::protocol::Handshake;
use crate::random::random;
use crate::timings::Timings;

/// A Manager that asks for pings more often is not followed.
const SHORTEST_PING: Duration = Duration::from_secs(1);

/// The state of one connection, from its first packet on.
pub(super) struct Conversation<'a> {
    ear: Ear,
    rooms: Rooms,
    crowd: &'a mut Crowd,
    steps: Steps,
    source: &'a Source,
    timings: &'a Timings,
    to_say: VecDeque<Saying>,
    ping_pause: Duration,
    next_ping: Instant,
    /// When the first ping was sent that has no answer yet.
    unanswered: Option<Instant>,
    /// When acknowledgements are no longer waited for.
    answer_by: Option<Instant>,
    shutdown: bool,
}

/// Nobody answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Silent;

impl<'a> Conversation<'a> {
    pub(super) fn new(ear: Ear, crowd: &'a mut Crowd, source: &'a Source, timings: &'a Timings) -> Self {
        let now = Instant::now();
        Self {
            ear,
            rooms: Rooms::default(),
            crowd,
            steps: Steps::default(),
            source,
            timings,
            to_say: VecDeque::new(),
            ping_pause: timings.push_ping,
            next_ping: now + timings.push_ping,
            unanswered: None,
            answer_by: None,
            shutdown: false,
        }
    }

    /// The first packet came. Nothing is replayed: one question is due as soon as the rooms are entered.
    pub(super) fn open(&mut self, handshake: &Handshake) {
        let now = Instant::now();
        if let Some(millis) = handshake.ping_interval {
            let wanted = Duration::from_millis(millis).max(SHORTEST_PING);
            self.ping_pause = self.ping_pause.min(wanted);
        }
        self.next_ping = now + self.ping_pause;
        self.enter(now);
        if !self.rooms.is_entering() {
            self.entered(now);
        }
    }

    pub(super) fn care_for(&mut self, interest: Interest) {
        self.ear.turn_to(interest);
        self.steps.forget();
        self.enter(Instant::now());
    }

    pub(super) fn interest(&self) -> &Interest {
        self.ear.interest()
    }

    pub(super) fn hear(&mut self, text: &str) {
        let now = Instant::now();
        match Packet::parse(text) {
            Packet::Pong => self.unanswered = None,
            Packet::Acknowledged(id) => self.moved(now, |rooms| rooms.acknowledged(id)),
            Packet::Event { name, payload } => self.event(name, payload, now),
            Packet::Open(_) | Packet::Other => {}
        }
    }

    fn event(&mut self, name: &str, payload: &str, now: Instant) {
        if self.crowd.is_too_much(now, self.timings) {
            debug!("events come too fast: leaving the rooms of the whole farm for a while");
            self.source.set_link(Link::Connected);
            self.enter(now);
        }
        if name == "/workers" {
            self.crowd.saw_worker(payload);
        }
        let Some(heard) = self.ear.hear(name, payload) else {
            return;
        };
        trace!(?heard, name, "a hint");
        match heard {
            Heard::Ours => self.source.ask_at(now),
            Heard::GivenUp => self.source.given_up(),
            Heard::Work => {
                let wait = self.crowd.work_wait(self.timings.work_wait, random());
                self.source.ask_at(now + wait);
            }
            Heard::Step => {
                let wait = self.timings.step_wait;
                let pause = self.crowd.step_pause(wait);
                if let Some(at) = self.steps.heard(now, wait, pause, random()) {
                    self.source.ask_at(at);
                }
            }
            Heard::Shutdown => {
                info!("the Manager stops");
                self.shutdown = true;
            }
        }
    }

    /// Says what brings us into the rooms that are wanted now.
    fn enter(&mut self, now: Instant) {
        let breadth = if self.crowd.rests(now) {
            Breadth::Narrow
        } else {
            Breadth::All
        };
        let sayings = self.rooms.change(self.ear.interest(), breadth);
        self.say(sayings, now);
    }

    /// Acknowledgements came, or are no longer waited for.
    fn moved(&mut self, now: Instant, how: impl FnOnce(&mut Rooms) -> Vec<Saying>) {
        let was_entering = self.rooms.is_entering();
        let sayings = how(&mut self.rooms);
        self.say(sayings, now);
        if was_entering && !self.rooms.is_entering() {
            self.entered(now);
        }
    }

    fn say(&mut self, sayings: Vec<Saying>, now: Instant) {
        if !sayings.is_empty() {
            self.answer_by = Some(now + self.timings.push_answer);
        }
        if !self.rooms.is_waiting() {
            self.answer_by = None;
        }
        self.to_say.extend(sayings);
    }

    /// We are in every room of the whole farm that there is for us now; what happened before went unheard.
    fn entered(&mut self, now: Instant) {
        if *self.ear.interest() == Interest::Nothing {
            return;
        }
        self.source.set_link(if self.crowd.rests(now) {
            Link::Connected
        } else {
            Link::Listening
        });
        self.source.ask_at(now);
    }

    /// Says what gets us out of every room.
    pub(super) fn leave(&mut self) {
        self.source.set_link(Link::Connected);
        self.care_for(Interest::Nothing);
    }

    /// The same for rooms that the Manager does not say we are in.
    pub(super) fn leave_blindly(&mut self) {
        self.to_say.extend(self.rooms.presume_inside());
    }

    /// Whether the Manager has acknowledged that we are in no room.
    pub(super) fn is_out(&self) -> bool {
        self.rooms.is_out()
    }

    /// When [`act`](Self::act) has something to do.
    pub(super) fn due(&self) -> Instant {
        let lost = self.unanswered.map(|since| since + self.timings.push_silence);
        [lost, self.answer_by, self.crowd.rest_until(), self.steps.due()]
            .into_iter()
            .flatten()
            .fold(self.next_ping, Instant::min)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// A ping was not answered in time.
    pub(super) fn act(&mut self) -> Result<(), Silent> {
        let now = Instant::now();
        if self
            .unanswered
            .is_some_and(|since| now >= since + self.timings.push_silence)
        {
            return Err(Silent);
        }
        if now >= self.next_ping {
            self.to_say.push_back(Saying::Ping);
            self.unanswered.get_or_insert(now);
            self.next_ping = now + self.ping_pause;
        }
        if self.answer_by.is_some_and(|by| now >= by) {
            self.moved(now, Rooms::settle);
        }
        if self.steps.again(now) {
            self.source.ask_at(now);
        }
        if self.crowd.rest_until().is_some_and(|until| now >= until) {
            debug!("trying the rooms of the whole farm again");
            self.crowd.rested(now);
            self.enter(now);
        }
        Ok(())
    }

    /// What is to be said next.
    pub(super) fn next_saying(&self) -> Option<&Saying> {
        self.to_say.front()
    }

    /// It was said, and is no longer next.
    pub(super) fn said(&mut self) -> Option<Saying> {
        self.to_say.pop_front()
    }

    /// Whether the Manager has said that it stops.
    pub(super) fn was_told_goodbye(&self) -> bool {
        self.shutdown
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::manager::push::{Hints, Pause, hints};

    const OWN: &str = "349101db-3efa-44fe-92e9-f82ca8e0032b";

    struct Scene {
        hints: Hints,
        source: Source,
        crowd: Crowd,
        timings: Timings,
    }

    impl Scene {
        fn new() -> Self {
            let timings = Timings::default();
            let (hints, source) = hints(&timings);
            Self {
                hints,
                source,
                crowd: Crowd::new(Instant::now()),
                timings,
            }
        }

        /// A connection that is open, and how the worker fares with it.
        fn open(&mut self, interest: Interest) -> (Conversation<'_>, &mut Hints) {
            let ear = Ear::new(OWN.into(), interest);
            let mut talk = Conversation::new(ear, &mut self.crowd, &self.source, &self.timings);
            talk.open(&Handshake {
                ping_interval: Some(30_000),
            });
            (talk, &mut self.hints)
        }
    }

    fn said(talk: &mut Conversation<'_>) -> Vec<String> {
        std::iter::from_fn(|| talk.said())
            .map(|saying| saying.to_string())
            .collect()
    }

    /// How long until the worker asks, in seconds: 5 without a connection, 10 with one.
    async fn asks_in(hints: &mut Hints) -> u64 {
        let start = Instant::now();
        hints
            .due(Pause {
                alone: Duration::from_secs(5),
                hinted: Duration::from_secs(10),
            })
            .await;
        start.elapsed().as_secs()
    }

    fn acknowledge(talk: &mut Conversation<'_>) {
        talk.hear(r#"431["ok"]"#);
        talk.hear(r#"432["ok"]"#);
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_rooms_are_entered_one_question_is_due_and_then_the_longer_pause() {
        let mut scene = Scene::new();
        let (mut talk, hints) = scene.open(Interest::Work);
        assert_eq!(said(&mut talk).len(), 2);
        assert_eq!(asks_in(hints).await, 5, "not yet acknowledged");
        acknowledge(&mut talk);
        assert_eq!(asks_in(hints).await, 0);
        assert_eq!(asks_in(hints).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_that_do_not_come_are_not_waited_for() {
        let mut scene = Scene::new();
        let (mut talk, hints) = scene.open(Interest::Wishes);
        assert_eq!(talk.due() - Instant::now(), Duration::from_secs(5));
        advance(Duration::from_secs(5)).await;
        talk.act().unwrap();
        assert_eq!(asks_in(hints).await, 0);
        assert_eq!(talk.due() - Instant::now(), Duration::from_secs(20), "the ping");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_is_said_every_25_seconds_and_one_without_an_answer_ends_it() {
        let mut scene = Scene::new();
        let (mut talk, _) = scene.open(Interest::Wishes);
        acknowledge(&mut talk);
        said(&mut talk);
        for answered in [true, true, false, false, false] {
            advance(talk.due() - Instant::now()).await;
            assert_eq!(talk.act(), Ok(()));
            assert_eq!(said(&mut talk), ["2"]);
            if answered {
                talk.hear("3");
            }
        }
        advance(talk.due() - Instant::now()).await;
        assert_eq!(talk.act(), Err(Silent));
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_that_wants_a_ping_every_millisecond_gets_one_a_second() {
        let mut scene = Scene::new();
        let (mut talk, _) = scene.open(Interest::Nothing);
        talk.open(&Handshake { ping_interval: Some(1) });
        assert_eq!(talk.due() - Instant::now(), SHORTEST_PING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_empties_the_broad_rooms_for_a_while() {
        let mut scene = Scene::new();
        let (mut talk, hints) = scene.open(Interest::Work);
        acknowledge(&mut talk);
        said(&mut talk);
        asks_in(hints).await;
        for _ in 0..10_000 {
            talk.hear(r#"42["/status",{"status":"active"}]"#);
        }
        assert_eq!(said(&mut talk).len(), 2, "left once");
        talk.hear(r#"433["ok"]"#);
        talk.hear(r#"434["ok"]"#);
        assert_eq!(asks_in(hints).await, 5, "as without a connection");
        advance(Duration::from_secs(300)).await;
        talk.act().unwrap();
        assert_eq!(said(&mut talk).len(), 3, "entered again, and a ping");
        talk.hear(r#"435["ok"]"#);
        talk.hear(r#"436["ok"]"#);
        assert_eq!(asks_in(hints).await, 0);
        assert_eq!(asks_in(hints).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nonsense_changes_nothing() {
        let mut scene = Scene::new();
        let (mut talk, hints) = scene.open(Interest::Wishes);
        acknowledge(&mut talk);
        said(&mut talk);
        asks_in(hints).await;
        for text in "|43|42|42[\"/workers\",7]|439999[]|1|41|0{}|\u{0}".split('|') {
            talk.hear(text);
        }
        assert!(said(&mut talk).is_empty());
        assert_eq!(asks_in(hints).await, 10);
    }
}
