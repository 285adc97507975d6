// SPDX-License-Identifier: GPL-3.0-or-later

//! The state of one connection without the connection: what received texts mean, what is to be sent, and when something is
//! due. It has no runtime and no socket; [`PushListener`](super::PushListener) does the reading and writing.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::event_filter::{EventFilter, Hint};
use super::farm_load::FarmLoad;
use super::packet::{ClientPacket, ServerPacket};
use super::progress::ProgressSchedule;
use super::rooms::{RoomScope, Rooms};
use super::{HintSender, Interest, Link};
use crate::protocol::Handshake;
use crate::random::random;
use crate::timings::Timings;

/// The shortest time between two pings. A Manager that asks for more of them does not get them.
const MIN_PING_INTERVAL: Duration = Duration::from_secs(1);

/// The state of one connection, from its first packet on.
pub(super) struct ConnectionState<'a> {
    filter: EventFilter,
    rooms: Rooms,
    farm: &'a mut FarmLoad,
    progress: ProgressSchedule,
    hints: &'a HintSender,
    timings: &'a Timings,
    outbox: VecDeque<ClientPacket>,
    ping_interval: Duration,
    next_ping: Instant,
    /// When the first ping was sent that is not answered yet.
    unanswered_ping: Option<Instant>,
    /// When outstanding acknowledgements are given up.
    acknowledged_by: Option<Instant>,
    manager_stops: bool,
}

/// A ping was not answered in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PingTimeout;

impl<'a> ConnectionState<'a> {
    pub(super) fn new(
        filter: EventFilter,
        farm: &'a mut FarmLoad,
        hints: &'a HintSender,
        timings: &'a Timings,
    ) -> Self {
        let now = Instant::now();
        Self {
            filter,
            rooms: Rooms::default(),
            farm,
            progress: ProgressSchedule::default(),
            hints,
            timings,
            outbox: VecDeque::new(),
            ping_interval: timings.push_ping,
            next_ping: now + timings.push_ping,
            unanswered_ping: None,
            acknowledged_by: None,
            manager_stops: false,
        }
    }

    /// Handles the first packet. The Manager does not repeat earlier events, so one question is due as soon as the rooms are
    /// entered.
    pub(super) fn open(&mut self, handshake: &Handshake) {
        let now = Instant::now();
        if let Some(millis) = handshake.ping_interval {
            let wanted = Duration::from_millis(millis).max(MIN_PING_INTERVAL);
            self.ping_interval = self.ping_interval.min(wanted);
        }
        self.next_ping = now + self.ping_interval;
        self.enter_rooms(now);
        if !self.rooms.is_entering() {
            self.rooms_entered(now);
        }
    }

    /// Changes what the worker wants hints about.
    pub(super) fn set_interest(&mut self, interest: Interest) {
        self.filter.set_interest(interest);
        self.progress.cancel_repeat();
        self.enter_rooms(Instant::now());
    }

    pub(super) fn interest(&self) -> &Interest {
        self.filter.interest()
    }

    /// Handles a text that was received.
    pub(super) fn receive(&mut self, text: &str) {
        let now = Instant::now();
        match ServerPacket::parse(text) {
            ServerPacket::Pong => self.unanswered_ping = None,
            ServerPacket::Acknowledged(id) => self.update_rooms(now, |rooms| rooms.acknowledge(id)),
            ServerPacket::Event { name, payload } => self.handle_event(name, payload, now),
            ServerPacket::Open(_) | ServerPacket::Other => {}
        }
    }

    fn handle_event(&mut self, name: &str, payload: &str, now: Instant) {
        if self.farm.count_event(now, self.timings) {
            debug!("events come too fast: leaving the rooms of the whole farm for a while");
            self.hints.set_link(Link::Connected);
            self.enter_rooms(now);
        }
        if name == "/workers" {
            self.farm.count_worker(payload);
        }
        let Some(hint) = self.filter.hint(name, payload) else {
            return;
        };
        trace!(?hint, name, "a hint");
        match hint {
            Hint::AskNow => self.hints.ask_at(now),
            Hint::MarkedError => self.hints.mark_error(),
            Hint::NewWork => {
                let delay = self.farm.fetch_delay(self.timings.work_wait, random());
                self.hints.ask_at(now + delay);
            }
            Hint::JobProgress => {
                let wait = self.timings.step_wait;
                let pause = self.farm.progress_pause(wait);
                if let Some(at) = self.progress.step(now, wait, pause, random()) {
                    self.hints.ask_at(at);
                }
            }
            Hint::ManagerStops => {
                info!("the Manager stops");
                self.manager_stops = true;
            }
        }
    }

    /// Queues the packets that lead into the rooms that are wanted now.
    fn enter_rooms(&mut self, now: Instant) {
        let scope = if self.farm.is_overloaded(now) {
            RoomScope::NotFarmWide
        } else {
            RoomScope::All
        };
        let packets = self.rooms.set_wanted(self.filter.interest(), scope);
        self.queue(packets, now);
    }

    /// Handles acknowledgements that came, or that are given up.
    fn update_rooms(&mut self, now: Instant, update: impl FnOnce(&mut Rooms) -> Vec<ClientPacket>) {
        let was_entering = self.rooms.is_entering();
        let packets = update(&mut self.rooms);
        self.queue(packets, now);
        if was_entering && !self.rooms.is_entering() {
            self.rooms_entered(now);
        }
    }

    fn queue(&mut self, packets: Vec<ClientPacket>, now: Instant) {
        if !packets.is_empty() {
            self.acknowledged_by = Some(now + self.timings.push_answer);
        }
        if !self.rooms.is_waiting() {
            self.acknowledged_by = None;
        }
        self.outbox.extend(packets);
    }

    /// The connection is now in every farm-wide room that it may be in. Earlier events were missed, so a question is due.
    fn rooms_entered(&mut self, now: Instant) {
        if *self.filter.interest() == Interest::Nothing {
            return;
        }
        self.hints.set_link(if self.farm.is_overloaded(now) {
            Link::Connected
        } else {
            Link::Listening
        });
        self.hints.ask_at(now);
    }

    /// Queues the packets that lead out of every room.
    pub(super) fn leave_rooms(&mut self) {
        self.hints.set_link(Link::Connected);
        self.set_interest(Interest::Nothing);
    }

    /// Queues the packets that lead out of the rooms whose entering the Manager has not acknowledged.
    pub(super) fn leave_unacknowledged_rooms(&mut self) {
        self.outbox.extend(self.rooms.presume_inside());
    }

    /// Whether the Manager has acknowledged that the connection is in no room.
    pub(super) fn has_left_rooms(&self) -> bool {
        self.rooms.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn next_timeout(&self) -> Instant {
        let lost = self.unanswered_ping.map(|since| since + self.timings.push_silence);
        [
            lost,
            self.acknowledged_by,
            self.farm.overloaded_until(),
            self.progress.repeats_at(),
        ]
        .into_iter()
        .flatten()
        .fold(self.next_ping, Instant::min)
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// Returns [`PingTimeout`] when a ping was not answered in time.
    pub(super) fn handle_timeout(&mut self) -> Result<(), PingTimeout> {
        let now = Instant::now();
        if self
            .unanswered_ping
            .is_some_and(|since| now >= since + self.timings.push_silence)
        {
            return Err(PingTimeout);
        }
        if now >= self.next_ping {
            self.outbox.push_back(ClientPacket::Ping);
            self.unanswered_ping.get_or_insert(now);
            self.next_ping = now + self.ping_interval;
        }
        if self.acknowledged_by.is_some_and(|by| now >= by) {
            self.update_rooms(now, Rooms::acknowledge_all);
        }
        if self.progress.take_repeat(now) {
            self.hints.ask_at(now);
        }
        if self.farm.overloaded_until().is_some_and(|until| now >= until) {
            debug!("trying the rooms of the whole farm again");
            self.farm.reset(now);
            self.enter_rooms(now);
        }
        Ok(())
    }

    /// The packet to send next. It stays the next one until [`packet_sent`](Self::packet_sent).
    pub(super) fn next_packet(&self) -> Option<&ClientPacket> {
        self.outbox.front()
    }

    /// Removes the packet that was sent.
    pub(super) fn packet_sent(&mut self) -> Option<ClientPacket> {
        self.outbox.pop_front()
    }

    /// Whether the Manager has announced that it stops.
    pub(super) fn manager_stops(&self) -> bool {
        self.manager_stops
    }
}

#[cfg(test)]
mod tests;
