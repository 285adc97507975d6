// SPDX-License-Identifier: GPL-3.0-or-later

//! What the sources have seen, put together.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pause::PresenceSource;

/// What is known of who is here. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Signs(Rc<watch::Sender<Seen>>, Rc<Cell<bool>>);

/// What was seen by now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// The last sign of somebody, of a source that has signs.
    pub(super) last: Option<Instant>,
    /// Which source that was.
    by: Option<PresenceSource>,
    /// The desktop's session is in use.
    pub(super) in_session: bool,
}

/// What a successor goes on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandedPresence {
    #[serde(default, with = "crate::elapsed::option")]
    last: Option<Instant>,
    #[serde(default)]
    in_session: bool,
}

impl Signs {
    /// Begins with what was handed over, as far as these sources could have told it.
    pub(super) fn new(handed: Option<&HandedPresence>, sources: &[PresenceSource]) -> Self {
        let mut seen = Seen::default();
        if let Some(handed) = handed {
            let has_session = sources.contains(&PresenceSource::Session);
            let has_others = sources.len() > usize::from(has_session);
            seen.last = handed.last.filter(|_| has_others);
            seen.in_session = handed.in_session && has_session;
        }
        Self(watch::Sender::new(seen).into(), Rc::default())
    }

    /// Somebody does something just now.
    pub(super) fn seen(&self, by: PresenceSource) {
        self.seen_at(by, Instant::now());
    }

    /// Somebody did something then.
    pub(super) fn seen_at(&self, by: PresenceSource, at: Instant) {
        self.0.send_if_modified(|seen| {
            let is_later = seen.last.is_none_or(|last| at > last);
            if is_later {
                seen.last = Some(at);
                seen.by = Some(by);
            }
            is_later
        });
    }

    /// The session is in use, or is not (any more).
    pub(super) fn session(&self, is_in_use: bool) {
        self.0
            .send_if_modified(|seen| std::mem::replace(&mut seen.in_session, is_in_use) != is_in_use);
    }

    /// The session cannot be asked: who used it was seen last at this moment.
    pub(super) fn session_is_unknown(&self) {
        if self.now().in_session {
            self.seen(PresenceSource::Session);
            self.session(false);
        }
    }

    /// What was seen by now.
    pub(super) fn now(&self) -> Seen {
        *self.0.borrow()
    }

    /// For whoever decides.
    pub(super) fn watch(&self) -> watch::Receiver<Seen> {
        self.0.subscribe()
    }

    /// Whether somebody was there at the last call of this, which is to know now.
    pub(super) fn was_here(&self, is_here: bool) -> bool {
        self.1.replace(is_here)
    }

    pub(super) fn hand_over(&self) -> HandedPresence {
        let Seen { last, in_session, .. } = self.now();
        HandedPresence { last, in_session }
    }
}

impl Seen {
    /// The source that tells that somebody is there, by its name in the configuration.
    pub(super) fn source(&self) -> &'static str {
        let by = match self.in_session {
            true => Some(PresenceSource::Session),
            false => self.by,
        };
        let named = PresenceSource::ALL.iter().find(|(_, source)| Some(*source) == by);
        named.map_or("before", |(name, _)| name)
    }
}
