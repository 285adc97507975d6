// SPDX-License-Identifier: GPL-3.0-or-later

//! Which rooms we are in, and what to say to get into those we want: pure.

use std::collections::BTreeSet;
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
    /// With an id, an acknowledgement is asked for.
    Change {
        id: Option<u32>,
        change: SubscriptionChange,
        room: Room,
    },
}

/// The rooms of one connection.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    joined: BTreeSet<Room>,
    last_id: u32,
    unacknowledged: BTreeSet<u32>,
}

impl Rooms {
    /// What to say so that we are where `interest` wants us. For the broad rooms an acknowledgement is asked for, as
    /// what happened before it went unheard; for a job's not, because its task is asked about soon anyway.
    pub(super) fn change(&mut self, interest: &Interest, breadth: Breadth) -> Vec<Saying> {
        let wanted = wanted(interest, breadth);
        let left: Vec<_> = self.joined.difference(&wanted).cloned().collect();
        let entered: Vec<_> = wanted.difference(&self.joined).cloned().collect();
        self.joined = wanted;
        let leave = left.into_iter().map(|room| Saying::Change {
            id: None,
            change: SubscriptionChange::Unsubscribe,
            room,
        });
        let enter = entered.into_iter().map(|room| {
            let id = room.is_broad().then(|| {
                self.last_id = self.last_id.wrapping_add(1);
                self.unacknowledged.insert(self.last_id);
                self.last_id
            });
            Saying::Change {
                id,
                change: SubscriptionChange::Subscribe,
                room,
            }
        });
        leave.chain(enter).collect()
    }

    pub(super) fn acknowledged(&mut self, id: u32) {
        self.unacknowledged.remove(&id);
    }

    /// Whether every acknowledgement has come.
    pub(super) fn settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// No acknowledgement will come any more: carry on.
    pub(super) fn settle(&mut self) {
        self.unacknowledged.clear();
    }
}

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
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        write!(f, r#"42{id}["/subscription",{argument}]"#)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn say(rooms: &mut Rooms, interest: &Interest, breadth: Breadth) -> Vec<String> {
        rooms
            .change(interest, breadth)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn running(job: &str) -> Interest {
        Interest::Task {
            job: job.into(),
            task: "t".into(),
        }
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
            [r#"42["/subscription",{"op":"subscribe","type":"job","uuid":"j"}]"#]
        );
        assert!(
            say(&mut rooms, &running("j"), Breadth::All).is_empty(),
            "the next task of that job"
        );
        assert_eq!(
            say(&mut rooms, &running("k"), Breadth::Narrow),
            [
                r#"42["/subscription",{"op":"unsubscribe","type":"allWorkers"}]"#,
                r#"42["/subscription",{"op":"unsubscribe","type":"allJobs"}]"#,
                r#"42["/subscription",{"op":"unsubscribe","type":"job","uuid":"j"}]"#,
                r#"42["/subscription",{"op":"subscribe","type":"job","uuid":"k"}]"#
            ]
        );
        assert_eq!(say(&mut rooms, &Interest::Work, Breadth::Narrow).len(), 1);
    }

    #[test]
    fn it_is_settled_when_the_last_acknowledgement_has_come() {
        let mut rooms = Rooms::default();
        rooms.change(&Interest::Work, Breadth::All);
        rooms.acknowledged(2);
        rooms.acknowledged(7);
        assert!(!rooms.settled());
        rooms.acknowledged(1);
        assert!(rooms.settled());
    }

    proptest! {
        /// Whatever a Manager calls a job: never the packet that would end it, and always JSON.
        #[test]
        fn nothing_that_is_said_starts_with_43(id in any::<Option<u32>>(), job in "\\PC{0,40}|43.*") {
            let text = Saying::Change { id, change: SubscriptionChange::Subscribe, room: Room::Job(job) }.to_string();
            prop_assert!(text.starts_with("42"));
            let json = &text[text.find('[').unwrap()..];
            prop_assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }
    }
}
