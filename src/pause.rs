// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether this machine is for tasks now: its worker may be paused by hand, or somebody sits at it.
//!
//! ```text
//! `pause`, `resume` ─► PauseSwitch::ask ──────╮
//! presence ──────────► PauseSwitch::somebody ─┴─► PauseWatch ─► the worker, and who shows what it does
//! ```
//!
//! It is a level and not a sequence of orders: who looks late sees what holds now.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock;

/// The clock may be set, and the machine may sleep, while an end is waited for: it is looked at again after so long.
const LOOK: Duration = Duration::from_secs(30);

/// Why this machine is not for tasks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PauseReason {
    /// Somebody is there.
    SomebodyHere,
    /// Somebody asked for it (`flamenco-worker pause`).
    Asked,
}

/// What a task comes to whose machine is not for tasks any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PausePolicy {
    /// Its programs stand still until the machine is.
    Freeze,
    /// It goes back to the Manager, who has others.
    Requeue,
    /// It goes on to its end, and is the last.
    Sleep,
}

/// Where it is seen whether somebody is at this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PresenceSource {
    /// Keyboards, mice and the like.
    Input,
    /// Terminals in which somebody types.
    Terminal,
    /// The desktop's session.
    Session,
}

/// That this machine is not for tasks, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// A pause that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedPause {
    /// Since when.
    pub since: Timestamp,
    /// `None`: until `resume`.
    pub until: Option<Timestamp>,
}

/// What is known of this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    asked: Option<AskedPause>,
    /// Since when somebody is there.
    somebody: Option<Timestamp>,
}

/// The side that says so. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct PauseSwitch(Rc<watch::Sender<Known>>);

/// The side that obeys.
#[derive(Debug, Clone)]
pub(crate) struct PauseWatch(watch::Receiver<Known>);

impl PausePolicy {
    /// Each, with its name in a configuration.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("freeze", Self::Freeze),
        ("requeue", Self::Requeue),
        ("sleep", Self::Sleep),
    ];
}

impl PresenceSource {
    /// Each, with its name in a configuration.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("input", Self::Input),
        ("terminal", Self::Terminal),
        ("session", Self::Session),
    ];
}

impl PauseSwitch {
    /// A switch with what was asked for in an earlier life.
    pub(crate) fn with(asked: Option<AskedPause>) -> Self {
        let switch = Self::default();
        if let Some(asked) = asked {
            switch.ask(asked);
        }
        switch
    }

    /// Pauses, until [`resume`](Self::resume) or `until`. What was asked before holds no more.
    pub(crate) fn ask(&self, asked: AskedPause) {
        self.0.send_modify(|known| known.asked = Some(asked));
    }

    /// Ends what was [asked](Self::ask) for. Returns what still keeps this machine from tasks.
    pub(crate) fn resume(&self) -> Option<Pause> {
        self.0.send_modify(|known| known.asked = None);
        self.0.borrow().pause()
    }

    /// What was [asked](Self::ask) for and holds.
    pub(crate) fn asked(&self) -> Option<AskedPause> {
        self.0.borrow().asked
    }

    /// Somebody is there, or nobody is any more.
    pub(crate) fn somebody(&self, is_here: bool) {
        self.0.send_if_modified(|known| {
            let changes = known.somebody.is_some() != is_here;
            if changes {
                known.somebody = is_here.then(clock::timestamp);
            }
            changes
        });
    }

    /// For whoever obeys.
    pub(crate) fn watch(&self) -> PauseWatch {
        PauseWatch(self.0.subscribe())
    }

    /// Returns when a pause that was asked for has come to its end, which is then gone. Cancel safe.
    pub(crate) async fn expired(&self) {
        let mut known = self.0.subscribe();
        loop {
            let until = known.borrow_and_update().asked.and_then(|asked| asked.until);
            let left =
                until.map(|until| Duration::try_from(until.duration_since(clock::timestamp())).unwrap_or_default());
            match left {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    tokio::select! {
                        () = sleep(left.min(LOOK)) => {}
                        _ = known.changed() => {}
                    }
                }
                // The sender is ours.
                None => drop(known.changed().await),
            }
        }
        self.resume();
    }
}

impl PauseWatch {
    /// What holds now.
    pub(crate) fn now(&self) -> Option<Pause> {
        self.0.borrow().pause()
    }

    /// Waits until it is paused, or is not any more, while the other `is_known`; returns why it is. Cancel safe.
    pub(crate) async fn other_than(&mut self, is_known: bool) -> Option<PauseReason> {
        match self.0.wait_for(|known| known.pause().is_some() != is_known).await {
            Ok(known) => known.pause().map(|pause| pause.reason),
            // Nothing changes any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Known {
    fn pause(&self) -> Option<Pause> {
        let asked = self.asked.map(|AskedPause { since, until }| Pause {
            reason: PauseReason::Asked,
            since,
            until,
        });
        let somebody = self.somebody.map(|since| Pause {
            reason: PauseReason::SomebodyHere,
            since,
            until: None,
        });
        asked.or(somebody)
    }
}

/// A time as people here say it: `14:05`, or with its day where that is another one.
pub(crate) fn time_of_day(time: Timestamp) -> String {
    let (time, now) = (time.to_zoned_datetime(clock::zone()), clock::now());
    let format = match time.date() == now.date() {
        true => "%H:%M",
        false => "%Y-%m-%d %H:%M",
    };
    time.strftime(format).to_string()
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SomebodyHere => "somebody is at this machine",
            Self::Asked => "this worker was paused by hand",
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn asked(until: Option<Timestamp>) -> AskedPause {
        AskedPause {
            since: clock::timestamp(),
            until,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn m1_one_reason_that_ends_leaves_the_other() {
        let switch = PauseSwitch::default();
        let mut watch = switch.watch();
        assert_eq!(watch.now(), None);
        switch.somebody(true);
        assert_eq!(watch.other_than(false).await, Some(PauseReason::SomebodyHere));
        switch.ask(asked(None));
        assert_eq!(watch.now().map(|pause| pause.reason), Some(PauseReason::Asked));
        let left = switch.resume().map(|pause| pause.reason);
        assert_eq!(left, Some(PauseReason::SomebodyHere));
        assert!(timeout(LOOK, watch.other_than(true)).await.is_err());
        switch.somebody(false);
        assert_eq!(watch.other_than(true).await, None);
    }

    #[tokio::test]
    async fn m1_a_pause_ends_when_its_time_is_over_and_not_before() {
        let switch = PauseSwitch::default();
        let ahead = |time| clock::timestamp().checked_add(time).ok();
        switch.ask(asked(ahead(Duration::from_secs(3600))));
        let soon = timeout(Duration::from_millis(20), switch.expired()).await;
        assert!(soon.is_err() && switch.watch().now().is_some());
        switch.ask(asked(ahead(Duration::from_millis(30))));
        switch.expired().await;
        assert_eq!(switch.watch().now(), None);
    }
}
