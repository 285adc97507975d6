// SPDX-License-Identifier: GPL-3.0-or-later

//! Tracks which rooms the connection is in, and makes the packets that bring it into the wanted ones. This file is pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Interest;
use super::packet::{ClientPacket, Room};
use crate::protocol::SubscriptionChange;

/// Which of the wanted rooms are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomScope {
    /// All of them.
    All,
    /// Only those that do not carry the events of the whole farm, because events come too fast.
    NotFarmWide,
}

/// The rooms of one connection.
///
/// The Manager handles each packet in a thread of its own, so that of two packets about one room the second may take effect
/// first. Therefore only one packet per room is under way at a time, and the next follows its acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    wanted: BTreeSet<Room>,
    /// Every room in which the Manager may have this connection.
    known: BTreeMap<Room, Membership>,
    last_id: u32,
}

/// Whether the connection is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Inside,
    /// A change was requested and is not acknowledged yet.
    Changing {
        id: u32,
        change: SubscriptionChange,
    },
}

impl Rooms {
    /// Sets which rooms are wanted, and returns the packets to send now.
    pub(super) fn set_wanted(&mut self, interest: &Interest, scope: RoomScope) -> Vec<ClientPacket> {
        self.wanted = wanted(interest, scope);
        self.next_packets()
    }

    /// Notes an acknowledgement, and returns the packets to send now.
    pub(super) fn acknowledge(&mut self, id: u32) -> Vec<ClientPacket> {
        self.finish_changes(|changing| changing == id);
        self.next_packets()
    }

    /// Stops waiting for acknowledgements: every change counts as acknowledged. Returns the packets to send now.
    pub(super) fn acknowledge_all(&mut self) -> Vec<ClientPacket> {
        self.finish_changes(|_| true);
        self.next_packets()
    }

    /// Counts every room that is being entered as entered, without its acknowledgement. Returns the packets to send now.
    pub(super) fn presume_inside(&mut self) -> Vec<ClientPacket> {
        for membership in self.known.values_mut().filter(|membership| membership.is_entering()) {
            *membership = Membership::Inside;
        }
        self.next_packets()
    }

    /// Whether a room of the whole farm is being entered: what happens until it is entered is missed. A job's room does not
    /// count, because the worker asks about its task soon anyway.
    pub(super) fn is_entering(&self) -> bool {
        self.known
            .iter()
            .any(|(room, membership)| room.is_farm_wide() && membership.is_entering())
    }

    /// Whether an acknowledgement is outstanding.
    pub(super) fn is_waiting(&self) -> bool {
        self.known
            .values()
            .any(|membership| matches!(membership, Membership::Changing { .. }))
    }

    /// Whether the connection is in no room, as far as acknowledgements tell.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn finish_changes(&mut self, is_finished: impl Fn(u32) -> bool) {
        self.known.retain(|_, membership| match *membership {
            Membership::Changing { id, change } if is_finished(id) => {
                *membership = Membership::Inside;
                change == SubscriptionChange::Subscribe
            }
            Membership::Changing { .. } | Membership::Inside => true,
        });
    }

    fn next_packets(&mut self) -> Vec<ClientPacket> {
        let to_leave = self
            .known
            .iter()
            .filter(|(room, membership)| **membership == Membership::Inside && !self.wanted.contains(*room))
            .map(|(room, _)| (room, SubscriptionChange::Unsubscribe));
        let to_enter = self
            .wanted
            .iter()
            .filter(|room| !self.known.contains_key(*room))
            .map(|room| (room, SubscriptionChange::Subscribe));
        let changes: Vec<_> = to_leave
            .chain(to_enter)
            .map(|(room, change)| (room.clone(), change))
            .collect();
        changes
            .into_iter()
            .map(|(room, change)| self.request(room, change))
            .collect()
    }

    fn request(&mut self, room: Room, change: SubscriptionChange) -> ClientPacket {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.known.insert(room.clone(), Membership::Changing { id, change });
        ClientPacket::ChangeSubscription { id, change, room }
    }
}

impl Membership {
    fn is_entering(&self) -> bool {
        matches!(
            self,
            Self::Changing {
                change: SubscriptionChange::Subscribe,
                ..
            }
        )
    }
}

/// The rooms for an interest. Each room is a risk to the Manager should this process be killed, and a cost with each event.
/// `/workers` is the only room that carries a worker's own Actions, so it is entered in every state that an Action can
/// change: asleep, idle, running. `/jobs` tells which new work exists and which job ends, which does not matter to a
/// sleeping worker. Before the sign-on and while leaving no hint matters.
fn wanted(interest: &Interest, scope: RoomScope) -> BTreeSet<Room> {
    let rooms = match interest {
        Interest::Nothing => vec![],
        Interest::StatusRequests => vec![Room::Workers],
        Interest::Work => vec![Room::Workers, Room::Jobs],
        Interest::Task { job, .. } => vec![Room::Workers, Room::Jobs, Room::Job(job.clone())],
    };
    let is_entered = |room: &Room| scope == RoomScope::All || !room.is_farm_wide();
    rooms.into_iter().filter(is_entered).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn change(rooms: &mut Rooms, interest: &Interest, scope: RoomScope) -> Vec<String> {
        rooms
            .set_wanted(interest, scope)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The Manager's side, which handles the packets in any order.
    #[derive(Default)]
    struct ManagerRooms {
        received: Vec<ClientPacket>,
        inside: BTreeSet<Room>,
    }

    impl ManagerRooms {
        fn handle_any(&mut self, dice: u16) -> Option<u32> {
            let which = usize::from(dice).checked_rem(self.received.len())?;
            let ClientPacket::ChangeSubscription { id, change, room } = self.received.swap_remove(which) else {
                return None;
            };
            match change {
                SubscriptionChange::Subscribe => self.inside.insert(room),
                SubscriptionChange::Unsubscribe => self.inside.remove(&room),
            };
            Some(id)
        }
    }

    fn running(job: &str) -> Interest {
        Interest::Task {
            job: job.into(),
            task: "t".into(),
        }
    }

    /// Acknowledges all that was requested, and returns what is sent then.
    fn acknowledge(rooms: &mut Rooms) -> Vec<String> {
        let requested: Vec<_> = rooms.known.values().copied().collect();
        let mut sent = Vec::new();
        for membership in requested {
            if let Membership::Changing { id, .. } = membership {
                sent.extend(rooms.acknowledge(id).iter().map(ToString::to_string));
            }
        }
        sent
    }

    #[test]
    fn only_changes_are_sent() {
        let mut rooms = Rooms::default();
        assert_eq!(
            change(&mut rooms, &Interest::StatusRequests, RoomScope::All),
            [r#"421["/subscription",{"op":"subscribe","type":"allWorkers"}]"#]
        );
        assert_eq!(
            change(&mut rooms, &Interest::Work, RoomScope::All),
            [r#"422["/subscription",{"op":"subscribe","type":"allJobs"}]"#]
        );
        assert_eq!(
            change(&mut rooms, &running("j"), RoomScope::All),
            [r#"423["/subscription",{"op":"subscribe","type":"job","uuid":"j"}]"#]
        );
        assert!(acknowledge(&mut rooms).is_empty());
        assert!(
            change(&mut rooms, &running("j"), RoomScope::All).is_empty(),
            "the next task of that job"
        );
        assert_eq!(
            change(&mut rooms, &running("k"), RoomScope::NotFarmWide),
            [
                r#"424["/subscription",{"op":"unsubscribe","type":"allWorkers"}]"#,
                r#"425["/subscription",{"op":"unsubscribe","type":"allJobs"}]"#,
                r#"426["/subscription",{"op":"unsubscribe","type":"job","uuid":"j"}]"#,
                r#"427["/subscription",{"op":"subscribe","type":"job","uuid":"k"}]"#
            ]
        );
        assert!(acknowledge(&mut rooms).is_empty());
        assert_eq!(change(&mut rooms, &Interest::Work, RoomScope::NotFarmWide).len(), 1);
    }

    #[test]
    fn i1_a_room_that_is_being_entered_is_left_after_the_acknowledgement() {
        let mut rooms = Rooms::default();
        change(&mut rooms, &running("j"), RoomScope::NotFarmWide);
        assert!(
            change(&mut rooms, &Interest::Nothing, RoomScope::All).is_empty(),
            "the Manager might handle that first"
        );
        assert!(!rooms.is_empty());
        assert_eq!(
            acknowledge(&mut rooms),
            [r#"422["/subscription",{"op":"unsubscribe","type":"job","uuid":"j"}]"#]
        );
        assert!(!rooms.is_empty() && rooms.is_waiting());
        rooms.acknowledge(1);
        assert!(!rooms.is_empty(), "that answered another packet");
        rooms.acknowledge(2);
        assert!(rooms.is_empty());
    }

    #[test]
    fn i1_a_room_whose_entering_is_never_acknowledged_is_left_all_the_same() {
        let mut rooms = Rooms::default();
        change(&mut rooms, &running("j"), RoomScope::NotFarmWide);
        assert!(change(&mut rooms, &Interest::Nothing, RoomScope::All).is_empty());
        assert_eq!(rooms.presume_inside().len(), 1);
        assert!(rooms.presume_inside().is_empty() && !rooms.is_empty());
        rooms.acknowledge(2);
        assert!(rooms.is_empty());
    }

    #[test]
    fn entering_ends_with_the_last_acknowledgement() {
        let mut rooms = Rooms::default();
        rooms.set_wanted(&Interest::Work, RoomScope::All);
        rooms.acknowledge(2);
        rooms.acknowledge(7);
        assert!(rooms.is_entering());
        rooms.acknowledge(1);
        assert!(!rooms.is_entering() && !rooms.is_waiting() && !rooms.is_empty());
    }

    proptest! {
        /// Whatever is wanted in turn, and in whatever order the Manager handles the packets that are under way: in the end it
        /// has the connection in no room.
        #[test]
        fn i1_whatever_was_wanted_in_the_end_every_room_is_left(steps in vec((0_u8..5, any::<u16>()), 0..40)) {
            let (mut rooms, mut manager) = (Rooms::default(), ManagerRooms::default());
            for (choice, dice) in steps {
                let interest = [Interest::Nothing, Interest::StatusRequests, Interest::Work, running("j"), running("k")];
                manager.received.extend(rooms.set_wanted(&interest[usize::from(choice)], RoomScope::All));
                if let Some(id) = manager.handle_any(dice) {
                    manager.received.extend(rooms.acknowledge(id));
                }
            }
            manager.received.extend(rooms.set_wanted(&Interest::Nothing, RoomScope::All));
            while let Some(id) = manager.handle_any(0) {
                manager.received.extend(rooms.acknowledge(id));
            }
            prop_assert!(rooms.is_empty() && manager.inside.is_empty());
        }
    }
}
