// SPDX-License-Identifier: GPL-3.0-or-later

//! Which rooms we are in, and what to say to get into those we want: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Interest;
use crate::protocol::{Subscription, SubscriptionChange};

/// Where the Manager sends events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// `/workers`: of every worker; there is none for a single one.
    Workers,
    /// `/jobs`: of every job; a job's own room says nothing of the job itself.
    Jobs,
    /// `/task` of every task of a job.
    Job(String),
}

/// Which of the wanted rooms are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    All,
    /// Only those that do not carry the whole farm: events come too fast.
    Narrow,
}

/// A packet of ours; its `Display` is the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Saying {
    Ping,
    /// The acknowledgement will carry the id.
    Change {
        id: u32,
        change: SubscriptionChange,
        room: Room,
    },
}

/// The rooms of one connection.
///
/// The Manager takes each packet in a thread of its own: of two about one room the second may be done first. So there is
/// one at a time for each room, and the next only after its acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    wanted: BTreeSet<Room>,
    /// Every room in which the Manager may have us.
    known: BTreeMap<Room, Place>,
    last_id: u32,
}

/// How we stand to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    /// A change was asked for and is not acknowledged yet.
    Asked {
        id: u32,
        change: SubscriptionChange,
    },
}

impl Rooms {
    /// What to say now so that we get to where `interest` wants us.
    pub(super) fn change(&mut self, interest: &Interest, breadth: Breadth) -> Vec<Saying> {
        self.wanted = wanted(interest, breadth);
        self.next_sayings()
    }

    /// An acknowledgement came. What to say now.
    pub(super) fn acknowledged(&mut self, id: u32) -> Vec<Saying> {
        self.done(|asked| asked == id);
        self.next_sayings()
    }

    /// No acknowledgement will come any more: carry on as if all had come. What to say now.
    pub(super) fn settle(&mut self) -> Vec<Saying> {
        self.done(|_| true);
        self.next_sayings()
    }

    /// We are in every room that we asked to enter, whatever the Manager says. What to say now.
    pub(super) fn presume_inside(&mut self) -> Vec<Saying> {
        for place in self.known.values_mut() {
            if let Place::Asked {
                change: SubscriptionChange::Subscribe,
                ..
            } = place
            {
                *place = Place::Inside;
            }
        }
        self.next_sayings()
    }

    /// Whether we are about to enter a room of the whole farm: what happens until then goes unheard. A job's room does not
    /// count, because its task is asked about soon anyway.
    pub(super) fn is_entering(&self) -> bool {
        let enters = |place: &Place| {
            matches!(
                place,
                Place::Asked {
                    change: SubscriptionChange::Subscribe,
                    ..
                }
            )
        };
        self.known.iter().any(|(room, place)| room.is_broad() && enters(place))
    }

    /// Whether an acknowledgement is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.known.values().any(|place| matches!(place, Place::Asked { .. }))
    }

    /// Whether we are in no room, acknowledged.
    pub(super) fn is_out(&self) -> bool {
        self.known.is_empty()
    }

    fn done(&mut self, is_done: impl Fn(u32) -> bool) {
        self.known.retain(|_, place| match *place {
            Place::Asked { id, change } if is_done(id) => {
                *place = Place::Inside;
                change == SubscriptionChange::Subscribe
            }
            Place::Asked { .. } | Place::Inside => true,
        });
    }

    fn next_sayings(&mut self) -> Vec<Saying> {
        let is_inside = |place: &Place| *place == Place::Inside;
        let left = self
            .known
            .iter()
            .filter(|(room, place)| is_inside(place) && !self.wanted.contains(*room));
        let left: Vec<_> = left
            .map(|(room, _)| (room.clone(), SubscriptionChange::Unsubscribe))
            .collect();
        let entered = self.wanted.iter().filter(|room| !self.known.contains_key(*room));
        let entered: Vec<_> = entered
            .map(|room| (room.clone(), SubscriptionChange::Subscribe))
            .collect();
        left.into_iter()
            .chain(entered)
            .map(|(room, change)| self.ask(room, change))
            .collect()
    }

    fn ask(&mut self, room: Room, change: SubscriptionChange) -> Saying {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.known.insert(room.clone(), Place::Asked { id, change });
        Saying::Change { id, change, room }
    }
}

/// Each room is a risk to the Manager should this process be killed, and a cost with each event. A worker's own Actions are
/// told in `/workers` alone, so that one is for every state that an Action can change: asleep, idle, running. `/jobs` says
/// what work there is and which job ends, which is nothing to somebody asleep. Before the sign-on and while leaving there is
/// nothing to hear.
fn wanted(interest: &Interest, breadth: Breadth) -> BTreeSet<Room> {
    let rooms = match interest {
        Interest::Nothing => vec![],
        Interest::Wishes => vec![Room::Workers],
        Interest::Work => vec![Room::Workers, Room::Jobs],
        Interest::Task { job, .. } => vec![Room::Workers, Room::Jobs, Room::Job(job.clone())],
    };
    let enters = |room: &Room| breadth == Breadth::All || !room.is_broad();
    rooms.into_iter().filter(enters).collect()
}

impl Room {
    fn is_broad(&self) -> bool {
        match self {
            Self::Workers | Self::Jobs => true,
            Self::Job(_) => false,
        }
    }
}

impl fmt::Display for Saying {
    /// Exactly as the Manager's naive parser wants it: `42<id>["/subscription",{...}]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, change, room) = match self {
            Self::Ping => return f.write_str("2"),
            Self::Change { id, change, room } => (id, *change, room),
        };
        let (kind, uuid) = match room {
            Room::Workers => ("allWorkers", None),
            Room::Jobs => ("allJobs", None),
            Room::Job(uuid) => ("job", Some(uuid.as_str())),
        };
        let argument = serde_json::to_string(&Subscription { op: change, kind, uuid }).map_err(|_| fmt::Error)?;
        write!(f, r#"42{id}["/subscription",{argument}]"#)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn say(rooms: &mut Rooms, interest: &Interest, breadth: Breadth) -> Vec<String> {
        rooms
            .change(interest, breadth)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The Manager's end, which does what it was told in any order.
    #[derive(Default)]
    struct RoomsThere {
        told: Vec<Saying>,
        inside: BTreeSet<Room>,
    }

    impl RoomsThere {
        fn does_any(&mut self, dice: u16) -> Option<u32> {
            let which = usize::from(dice).checked_rem(self.told.len())?;
            let Saying::Change { id, change, room } = self.told.swap_remove(which) else {
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

    /// What is said next once all that was said is acknowledged.
    fn acknowledge(rooms: &mut Rooms) -> Vec<String> {
        let asked: Vec<_> = rooms.known.values().copied().collect();
        let mut said = Vec::new();
        for place in asked {
            if let Place::Asked { id, .. } = place {
                said.extend(rooms.acknowledged(id).iter().map(ToString::to_string));
            }
        }
        said
    }

    #[test]
    fn only_what_changes_is_said() {
        let mut rooms = Rooms::default();
        assert_eq!(
            say(&mut rooms, &Interest::Wishes, Breadth::All),
            [r#"421["/subscription",{"op":"subscribe","type":"allWorkers"}]"#]
        );
        assert_eq!(
            say(&mut rooms, &Interest::Work, Breadth::All),
            [r#"422["/subscription",{"op":"subscribe","type":"allJobs"}]"#]
        );
        assert_eq!(
            say(&mut rooms, &running("j"), Breadth::All),
            [r#"423["/subscription",{"op":"subscribe","type":"job","uuid":"j"}]"#]
        );
        assert!(acknowledge(&mut rooms).is_empty());
        assert!(
            say(&mut rooms, &running("j"), Breadth::All).is_empty(),
            "the next task of that job"
        );
        assert_eq!(
            say(&mut rooms, &running("k"), Breadth::Narrow),
            [
                r#"424["/subscription",{"op":"unsubscribe","type":"allWorkers"}]"#,
                r#"425["/subscription",{"op":"unsubscribe","type":"allJobs"}]"#,
                r#"426["/subscription",{"op":"unsubscribe","type":"job","uuid":"j"}]"#,
                r#"427["/subscription",{"op":"subscribe","type":"job","uuid":"k"}]"#
            ]
        );
        assert!(acknowledge(&mut rooms).is_empty());
        assert_eq!(say(&mut rooms, &Interest::Work, Breadth::Narrow).len(), 1);
    }

    #[test]
    fn i1_a_room_that_is_being_entered_is_left_after_the_acknowledgement() {
        let mut rooms = Rooms::default();
        say(&mut rooms, &running("j"), Breadth::Narrow);
        assert!(
            say(&mut rooms, &Interest::Nothing, Breadth::All).is_empty(),
            "the Manager might do that first"
        );
        assert!(!rooms.is_out());
        assert_eq!(
            acknowledge(&mut rooms),
            [r#"422["/subscription",{"op":"unsubscribe","type":"job","uuid":"j"}]"#]
        );
        assert!(!rooms.is_out() && rooms.is_waiting());
        rooms.acknowledged(1);
        assert!(!rooms.is_out(), "that was another's");
        rooms.acknowledged(2);
        assert!(rooms.is_out());
    }

    #[test]
    fn i1_a_room_whose_entering_is_never_acknowledged_is_left_all_the_same() {
        let mut rooms = Rooms::default();
        say(&mut rooms, &running("j"), Breadth::Narrow);
        assert!(say(&mut rooms, &Interest::Nothing, Breadth::All).is_empty());
        assert_eq!(rooms.presume_inside().len(), 1);
        assert!(rooms.presume_inside().is_empty() && !rooms.is_out());
        rooms.acknowledged(2);
        assert!(rooms.is_out());
    }

    #[test]
    fn it_is_entered_when_the_last_acknowledgement_has_come() {
        let mut rooms = Rooms::default();
        rooms.change(&Interest::Work, Breadth::All);
        rooms.acknowledged(2);
        rooms.acknowledged(7);
        assert!(rooms.is_entering());
        rooms.acknowledged(1);
        assert!(!rooms.is_entering() && !rooms.is_waiting() && !rooms.is_out());
    }

    proptest! {
        /// Whatever a Manager calls a job: never the packet that would end it, and always JSON.
        #[test]
        fn nothing_that_is_said_starts_with_43(id in any::<u32>(), job in "\\PC{0,40}|43.*") {
            let text = Saying::Change { id, change: SubscriptionChange::Subscribe, room: Room::Job(job) }.to_string();
            prop_assert!(text.starts_with("42"));
            let json = &text[text.find('[').unwrap()..];
            prop_assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }

        /// Whatever is wanted in turn, and in whatever order the Manager does what it is told at one time: in the end it has
        /// us in no room.
        #[test]
        fn i1_whatever_was_wanted_in_the_end_every_room_is_left(steps in vec((0_u8..5, any::<u16>()), 0..40)) {
            let (mut rooms, mut manager) = (Rooms::default(), RoomsThere::default());
            for (wish, dice) in steps {
                let interest = [Interest::Nothing, Interest::Wishes, Interest::Work, running("j"), running("k")];
                manager.told.extend(rooms.change(&interest[usize::from(wish)], Breadth::All));
                if let Some(id) = manager.does_any(dice) {
                    manager.told.extend(rooms.acknowledged(id));
                }
            }
            manager.told.extend(rooms.change(&Interest::Nothing, Breadth::All));
            while let Some(id) = manager.does_any(0) {
                manager.told.extend(rooms.acknowledged(id));
            }
            prop_assert!(rooms.is_out() && manager.inside.is_empty());
        }
    }
}
