// SPDX-License-Identifier: GPL-3.0-or-later
//! The Manager's Socket.IO: who is connected, what they are subscribed to, and what waits to be written to them.
//!
//! ```text
//! Farm::announce -> Shared::change -> Push::broadcast -> crowd -> (shuffled) -> queue -> client's own task -> socket
//!                                                                                ^
//!                                          answers to its packets ---------------+
//! ```
//!
//! The real one starts a goroutine per event and client, and these race for a channel with 500 places: that is the crowd,
//! and the queue. So events come in any order, are dropped when there is no place, and a client with 499 waiting is dropped
//! itself. `handshake` the request - `packet` what a client says - `room` what it wants - `event` what it is told -
//! `talk` its connection -
//! `parted` its end.

mod event;
mod handshake;
mod packet;
mod parted;
mod room;
mod talk;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use fastrand::Rng;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use self::parted::Parted;
pub(crate) use self::{
    handshake::answer,
    room::Room,
    talk::{Ended, talk},
};
use crate::{
    farm::{Event, Farm},
    options::PushOptions,
    words::FarmStatus,
};

/// Places in the real one's channel.
const QUEUE: usize = 500;
/// A client with so many waiting is dropped before the next is written.
const OVERFLOODED: usize = QUEUE - 1;
/// With more than so many waiting a client is behind.
const BEHIND: usize = QUEUE / 2;
/// Texts written before the socket is flushed and others have their turn.
const BATCH: usize = 64;
/// Texts of a client remembered for tests.
const REMEMBERED: usize = 100;

/// A client of the Socket.IO as it is now.
#[derive(Clone, Debug)]
pub struct PushClient {
    /// Counts clients, from 0.
    pub number: u64,
    pub peer: SocketAddr,
    /// The rooms it is in by their real names, such as `/workers` and `/jobs/<uuid>`, sorted; `/lifecycle` and `/status`
    /// always.
    pub rooms: Vec<String>,
    /// Data messages it sent, pings of Engine.IO included, those of websocket not.
    pub received: u64,
    /// The last 100 of them.
    pub messages: Vec<String>,
    /// Texts that wait to be written to it, 0 to 500.
    pub waiting: usize,
}

/// Since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushCounts {
    /// Connections that were upgraded.
    pub connected: u64,
    /// Events queued, once per client.
    pub sent: u64,
    /// Events not queued, once per client: on purpose ([`PushOptions::lost`]), or for want of a place.
    pub lost: u64,
}

/// The packet that ended the Manager's process, and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    pub by: SocketAddr,
    pub packet: String,
}

pub(crate) struct Push {
    clients: BTreeMap<u64, Client>,
    rooms: HashMap<Room, BTreeSet<u64>>,
    dice: Rng,
    options: PushOptions,
    pub(crate) lost_share: f64,
    status: FarmStatus,
    /// How many clients are behind.
    behind: usize,
    pub(crate) counts: PushCounts,
    pub(crate) killed: Option<Killed>,
    /// In order.
    pub(crate) parted: Vec<Parted>,
    /// Nothing is broadcast any more.
    pub(crate) wedged: bool,
    /// Nothing is served from the fatal packet on until a person starts the Manager again.
    pub(crate) down: bool,
}

struct Client {
    peer: SocketAddr,
    /// Events that no order binds yet.
    crowd: Vec<Utf8Bytes>,
    queue: VecDeque<Utf8Bytes>,
    /// Not the Manager's: texts a test wants sent, and how often yet.
    raw: VecDeque<(Utf8Bytes, u64)>,
    received: u64,
    messages: VecDeque<String>,
    bells: Arc<Bells>,
}

/// What wakes a client's task.
#[derive(Default)]
struct Bells {
    something_waits: Notify,
    hang_up: Notify,
}

/// What a client's task is to do next.
enum Next {
    Write(Vec<Utf8Bytes>),
    Wait,
    HangUp,
}

impl Push {
    pub(crate) fn new(options: &PushOptions) -> Self {
        Self {
            clients: BTreeMap::new(),
            rooms: HashMap::new(),
            dice: Rng::with_seed(options.seed),
            lost_share: options.lost,
            options: options.clone(),
            parted: Vec::new(),
            wedged: false,
            status: FarmStatus::Starting,
            behind: 0,
            counts: PushCounts::default(),
            killed: None,
            down: false,
        }
    }

    /// A new client, its first two packets queued.
    fn join(&mut self, peer: SocketAddr) -> (u64, Arc<Bells>) {
        let number = self.counts.connected;
        self.counts.connected += 1;
        let bells = Arc::new(Bells::default());
        let open = packet::open(&mut self.dice);
        self.clients.insert(
            number,
            Client {
                peer,
                crowd: Vec::new(),
                queue: VecDeque::from([open, Utf8Bytes::from_static(packet::EMPTY)]),
                raw: VecDeque::new(),
                received: 0,
                messages: VecDeque::new(),
                bells: Arc::clone(&bells),
            },
        );
        for room in [Room::LifeCycle, Room::FarmStatus] {
            self.enter(number, room);
        }
        (number, bells)
    }

    fn leave(&mut self, number: u64) {
        if self.clients.remove(&number).is_some_and(|client| client.is_behind()) {
            self.behind -= 1;
        }
        self.rooms.retain(|_, members| {
            members.remove(&number);
            !members.is_empty()
        });
    }

    fn enter(&mut self, number: u64, room: Room) {
        if self.clients.contains_key(&number) {
            self.rooms.entry(room).or_default().insert(number);
        }
    }

    fn exit(&mut self, number: u64, room: &Room) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(&number);
        }
    }

    fn note(&mut self, number: u64, text: &str) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.received += 1;
            if client.messages.len() >= REMEMBERED {
                client.messages.pop_front();
            }
            client.messages.push_back(text.to_owned());
        }
    }

    /// An answer to one client, in order.
    fn reply(&mut self, number: u64, text: Utf8Bytes) {
        if let Some(client) = self.clients.get_mut(&number)
            && client.waiting() < QUEUE
        {
            client.queue.push_back(text);
            client.bells.something_waits.notify_one();
            self.behind += usize::from(client.waiting() == BEHIND + 1);
        }
    }

    fn next(&mut self, number: u64) -> Next {
        let Some(client) = self.clients.get_mut(&number) else {
            return Next::HangUp;
        };
        self.dice.shuffle(&mut client.crowd);
        client.queue.extend(client.crowd.drain(..));
        if client.queue.len() >= OVERFLOODED {
            return Next::HangUp;
        }
        let was_behind = client.is_behind();
        let mut texts: Vec<Utf8Bytes> = client.queue.drain(..client.queue.len().min(BATCH)).collect();
        self.behind -= usize::from(was_behind && !client.is_behind());
        while texts.len() < BATCH
            && let Some((text, times)) = client.raw.front_mut()
        {
            texts.push(text.clone());
            *times -= 1;
            if *times == 0 {
                client.raw.pop_front();
            }
        }
        if texts.is_empty() {
            Next::Wait
        } else {
            Next::Write(texts)
        }
    }

    fn kill(&mut self, by: SocketAddr, packet: &str) {
        self.killed = Some(Killed {
            by,
            packet: packet.to_owned(),
        });
        self.down = true;
    }

    /// Tells whoever listens; costs a look or two where nobody does.
    pub(crate) fn tell(&mut self, event: &Event) {
        if self.clients.is_empty() || self.wedged {
            return;
        }
        for room in event::rooms(event) {
            self.broadcast(&room, || event::text(event));
        }
    }

    fn broadcast(&mut self, room: &Room, text: impl FnOnce() -> Utf8Bytes) {
        let Some(members) = self.rooms.get(room).filter(|members| !members.is_empty()) else {
            return;
        };
        let text = text();
        for number in members {
            let Some(client) = self.clients.get_mut(number) else {
                continue;
            };
            if client.waiting() >= QUEUE || self.dice.f64() < self.lost_share {
                self.counts.lost += 1;
                continue;
            }
            self.counts.sent += 1;
            client.crowd.push(text.clone());
            client.bells.something_waits.notify_one();
            self.behind += usize::from(client.waiting() == BEHIND + 1);
        }
    }

    /// The farm's status is looked at anew, and told if it changed.
    pub(crate) fn recheck(&mut self, farm: &Farm) {
        let status = farm.status();
        if status != self.status {
            self.status = status;
            self.broadcast(&Room::FarmStatus, || event::status(status));
        }
    }

    pub(crate) fn shutting_down(&mut self) {
        self.broadcast(&Room::LifeCycle, event::shutdown);
    }

    /// The next Manager's process starts with what every process starts with.
    pub(crate) fn restarted(&mut self) {
        (self.status, self.down, self.wedged) = (FarmStatus::Starting, false, false);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Nobody is connected from here on.
    pub(crate) fn cut(&mut self) {
        for client in std::mem::take(&mut self.clients).into_values() {
            client.bells.hang_up.notify_one();
        }
        self.rooms.clear();
        self.behind = 0;
    }

    /// Some client has much to read yet: a turn for it before the next request keeps a burst of them from being its end. The
    /// real one's database takes longer than its sockets.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind > 0
    }

    pub(crate) fn send_raw(&mut self, text: &str, times: u64) {
        let text = Utf8Bytes::from(text);
        for client in self.clients.values_mut().filter(|_| times > 0) {
            client.raw.push_back((text.clone(), times));
            client.bells.something_waits.notify_one();
        }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = PushClient> {
        self.clients.iter().map(|(number, client)| PushClient {
            number: *number,
            peer: client.peer,
            rooms: self.rooms_of(*number),
            received: client.received,
            messages: client.messages.iter().cloned().collect(),
            waiting: client.waiting(),
        })
    }

    fn rooms_of(&self, number: u64) -> Vec<String> {
        let inside = self.rooms.iter().filter(|(_, members)| members.contains(&number));
        let mut names: Vec<String> = inside.map(|(room, _)| room.to_string()).collect();
        names.sort_unstable();
        names
    }
}

impl Client {
    fn waiting(&self) -> usize {
        self.crowd.len() + self.queue.len()
    }

    fn is_behind(&self) -> bool {
        self.waiting() > BEHIND
    }
}
