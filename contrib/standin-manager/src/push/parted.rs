// SPDX-License-Identifier: GPL-3.0-or-later
//! Clients that leave, and what the Manager's library makes of one that leaves while it is in a room: a broadcast holds the
//! lock of all rooms and waits for the client's, the client's end holds that one and waits for the lock of all rooms. From
//! then on nothing is broadcast, and whatever would be does not come back: sign-ons, sign-offs, Worker Actions, task
//! updates. What changes nothing is still answered, and pings are; nobody gets into a room any more, or out of one.

use std::time::Duration;

use super::{Push, room::Room};

/// A client that closed its connection, or died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    /// As in [`PushClient`](super::PushClient).
    pub number: u64,
    /// The rooms it was in, but for `/lifecycle` and `/status`, which cannot be left.
    pub rooms: Vec<String>,
    /// On the clock of [`Seen`](crate::Seen).
    pub at: Duration,
}

impl Push {
    /// The client itself ends the connection. Where a real Manager would have to be unlucky, this one always is, if it was
    /// told to ([`PushOptions::wedges`](crate::PushOptions::wedges)).
    pub(super) fn client_parts(&mut self, number: u64, at: Duration) {
        if !self.clients.contains_key(&number) {
            return;
        }
        let unasked = [Room::LifeCycle, Room::FarmStatus].map(|room| room.to_string());
        let mut rooms = self.rooms_of(number);
        rooms.retain(|room| !unasked.contains(room));
        self.wedged |= self.options.wedges && !rooms.is_empty();
        self.parted.push(Parted { number, rooms, at });
        self.leave(number);
    }
}
