// SPDX-License-Identifier: GPL-3.0-or-later

//! Cancellation that knows why.
//!
//! ```text
//! worker ── AbortSource::raise(reason) ──► Abort (task, command, process): one way, only escalates
//! ```
//!
//! Whoever runs a task holds the source; every wait below holds an [`Abort`]. The first reason stands
//! unless a greater one comes, and a wait that has already seen one can go on to wait for a greater.
//!
//! It also carries the wish to hand the task over to a successor of this process, which is no reason to stop: waits that can
//! be gone on with elsewhere end at it, all others do not notice. And it carries the wish that programs stand still for a
//! while, which comes and goes; a reason to stop ends it, because who stands still hears nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::pause::PauseReason;

/// When this process was told to stop so long ago, nothing but the Manager is to be waited for any more: less than the
/// `leave` of the timings, which is for all of it.
const STOP: Duration = Duration::from_secs(17);
/// What is waited for all the same, where a program was given more time than that to end.
const LEAST: Duration = Duration::from_secs(1);

/// Why a task is stopped before its program ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AbortReason {
    /// The Manager asked this worker for another state, "immediately".
    StateChange,
    /// The Manager no longer wants this task run; its own words.
    ManagerStopped(String),
    /// For this long nobody answered whether the task may go on, and the operator wants no more of that.
    Alone(Duration),
    /// This machine is not for tasks now, and its operator wants them given back.
    Paused(PauseReason),
    /// For this long its programs stood still, and the operator wants no more of that.
    PausedTooLong(Duration),
    /// The Manager has given the task to another worker, or deleted it.
    Reassigned,
    /// This process was told to stop.
    Shutdown,
    /// Told to stop a second time: no grace for the program.
    Force,
}

impl AbortReason {
    /// The order of reasons, written out: a derived `Ord` would compare the text inside a variant.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::StateChange | Self::Paused(_) | Self::PausedTooLong(_) => 1,
            Self::ManagerStopped(_) | Self::Alone(_) => 2,
            Self::Reassigned => 3,
            Self::Shutdown => 4,
            Self::Force => 5,
        }
    }

    /// The whole process is to end.
    pub(crate) fn is_stop(&self) -> bool {
        match self {
            Self::Shutdown | Self::Force => true,
            Self::StateChange
            | Self::Paused(_)
            | Self::PausedTooLong(_)
            | Self::ManagerStopped(_)
            | Self::Alone(_)
            | Self::Reassigned => false,
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateChange => f.write_str("the Manager asked this worker to change its state"),
            Self::ManagerStopped(words) => write!(f, "the Manager stopped the task: {words}"),
            Self::Alone(time) => write!(f, "no answer for {time:?} whether the task may go on"),
            Self::Paused(reason) => reason.fmt(f),
            Self::PausedTooLong(time) => write!(f, "it stood still for {time:?}, because this machine is paused"),
            Self::Reassigned => f.write_str("the task is no longer ours"),
            Self::Shutdown => f.write_str("the worker is shutting down"),
            Self::Force => f.write_str("the worker was told to stop at once"),
        }
    }
}

/// The side that decides to stop.
#[derive(Debug)]
pub(crate) struct AbortSource(watch::Sender<Raised>);

/// The side that obeys. Clones see the same reason.
#[derive(Debug, Clone)]
pub(crate) struct Abort(watch::Receiver<Raised>);

/// What was raised so far.
#[derive(Debug, Default)]
struct Raised {
    reason: Option<AbortReason>,
    /// When this process was first told to stop.
    stopped: Option<Instant>,
    /// A successor is to go on with the task.
    to_hand_over: bool,
    /// Programs are to stand still.
    is_paused: bool,
}

impl AbortSource {
    /// A source with nothing raised, and its first listener.
    pub(crate) fn new() -> (Self, Abort) {
        let (sender, receiver) = watch::channel(Raised::default());
        (Self(sender), Abort(receiver))
    }

    /// Stops whoever listens. Ignored when an equal or greater reason already stands.
    pub(crate) fn raise(&self, reason: AbortReason) {
        self.0.send_if_modified(|current| {
            let greater = current.reason.as_ref().is_none_or(|old| reason.rank() > old.rank());
            if greater {
                if reason.is_stop() {
                    current.stopped.get_or_insert_with(Instant::now);
                }
                current.reason = Some(reason);
                current.is_paused = false;
            }
            greater
        });
    }

    /// The reason that stands now.
    pub(crate) fn reason(&self) -> Option<AbortReason> {
        self.0.borrow().reason.clone()
    }

    /// Whether programs are to stand still from now on. What is being ended does not.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.0.send_if_modified(|current| {
            let changes = current.reason.is_none() && current.is_paused != is_paused;
            if changes {
                current.is_paused = is_paused;
            }
            changes
        });
    }

    /// Asks for the task to be handed over where that can be done.
    pub(crate) fn hand_over(&self) {
        self.0.send_modify(|current| current.to_hand_over = true);
    }
}

impl Abort {
    /// The reason that stands now.
    pub(crate) fn reason(&self) -> Option<AbortReason> {
        self.0.borrow().reason.clone()
    }

    /// Waits for the first reason; at once if there is one. Cancel safe.
    pub(crate) async fn raised(&mut self) -> AbortReason {
        self.raised_above(0).await
    }

    /// Waits for a reason of a rank above `rank` (see [`AbortReason::rank`]). Cancel safe.
    /// When the source is gone nothing can be raised any more, and this waits for ever.
    pub(crate) async fn raised_above(&mut self, rank: u8) -> AbortReason {
        let found = self
            .0
            .wait_for(|now| now.reason.as_ref().is_some_and(|reason| reason.rank() > rank))
            .await;
        match found.ok().and_then(|raised| raised.reason.clone()) {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Waits until the task is to be handed over; at once if it is. Cancel safe, and beside any other wait.
    pub(crate) fn to_hand_over(&self) -> impl Future<Output = ()> + use<> {
        let mut raised = self.0.clone();
        async move {
            if raised.wait_for(|now| now.to_hand_over).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Whether programs are to stand still.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.borrow().is_paused
    }

    /// Waits until programs are to stand still, or are not to any more, while the other `is_known`; returns which. Cancel
    /// safe, and beside any other wait.
    pub(crate) fn pause_other_than(&self, is_known: bool) -> impl Future<Output = bool> + use<> {
        let mut raised = self.0.clone();
        async move {
            match raised.wait_for(|now| now.is_paused != is_known).await {
                Ok(now) => now.is_paused,
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Waits for `time`, that left out in which programs stand still: it is for waiting for one. Cancel safe.
    pub(crate) async fn unpaused(&self, time: Duration) {
        let mut left = time;
        loop {
            self.pause_other_than(true).await;
            let begun = Instant::now();
            if timeout(left, self.pause_other_than(false)).await.is_err() {
                return;
            }
            left = left.saturating_sub(begun.elapsed());
        }
    }

    /// Waits for `longest`, which is how long something may take that a task can do without; when this process is told to
    /// stop, for no longer than a stop may take. Cancel safe.
    pub(crate) async fn patience(&self, longest: Duration) {
        let begun = Instant::now();
        let mut raised = self.0.clone();
        let stopped = async move {
            match raised
                .wait_for(|now| now.stopped.is_some())
                .await
                .ok()
                .and_then(|now| now.stopped)
            {
                Some(stopped) => stopped,
                None => std::future::pending().await,
            }
        };
        let Ok(stopped) = timeout(longest, stopped).await else {
            return;
        };
        sleep_until((begun + longest).min((stopped + STOP).max(begun + LEAST))).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[test]
    fn the_first_reason_stands_unless_a_greater_one_comes() {
        let (source, abort) = AbortSource::new();
        source.raise(AbortReason::Reassigned);
        source.raise(AbortReason::ManagerStopped("later".into()));
        assert_eq!(abort.reason(), Some(AbortReason::Reassigned));
        source.raise(AbortReason::Force);
        source.raise(AbortReason::Shutdown);
        assert_eq!(abort.reason(), Some(AbortReason::Force));
    }

    #[tokio::test]
    async fn a_wait_that_saw_one_reason_sees_only_a_greater_one() {
        let (source, mut abort) = AbortSource::new();
        source.raise(AbortReason::Shutdown);
        let seen = abort.raised().await;
        source.raise(AbortReason::StateChange);
        source.raise(AbortReason::Force);
        assert_eq!(abort.raised_above(seen.rank()).await, AbortReason::Force);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hand_over_is_no_reason_to_stop() {
        let (source, mut abort) = AbortSource::new();
        let wished = abort.to_hand_over();
        source.hand_over();
        wished.await;
        abort.to_hand_over().await;
        assert_eq!(abort.reason(), None);
        assert!(timeout(Duration::from_secs(60), abort.raised()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn m7_a_reason_to_stop_ends_a_pause_and_none_begins_after_it() {
        let (source, abort) = AbortSource::new();
        source.pause(true);
        assert!(abort.pause_other_than(false).await);
        assert!(
            timeout(Duration::from_secs(60), abort.pause_other_than(true))
                .await
                .is_err()
        );
        source.pause(false);
        assert!(!abort.pause_other_than(true).await);
        source.pause(true);
        source.raise(AbortReason::StateChange);
        assert!(!abort.pause_other_than(true).await);
        source.pause(true);
        assert!(
            timeout(Duration::from_secs(60), abort.pause_other_than(false))
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn m6_time_in_which_programs_stand_still_is_no_time_that_is_waited() {
        let (source, abort) = AbortSource::new();
        let begun = Instant::now();
        let pauses = async {
            for _ in 0..3 {
                sleep(Duration::from_secs(2)).await;
                source.pause(true);
                sleep(Duration::from_secs(100)).await;
                source.pause(false);
            }
        };
        tokio::join!(abort.unpaused(Duration::from_secs(10)), pauses);
        assert_eq!(begun.elapsed().as_secs(), 310);
        source.pause(true);
        assert!(
            timeout(Duration::from_secs(99), abort.unpaused(Duration::ZERO))
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn i29_a_stop_limits_what_is_waited_for_and_other_reasons_do_not() {
        let (source, abort) = AbortSource::new();
        let waits = async |longest| {
            let begun = Instant::now();
            abort.patience(Duration::from_secs(longest)).await;
            begun.elapsed().as_secs()
        };
        assert_eq!(waits(60).await, 60);
        source.raise(AbortReason::StateChange);
        assert_eq!(waits(60).await, 60);
        let later = async {
            sleep(Duration::from_secs(2)).await;
            source.raise(AbortReason::Shutdown);
        };
        assert_eq!(tokio::join!(waits(60), later).0, 2 + STOP.as_secs());
        // That time is over, and a second stop begins no new one.
        source.raise(AbortReason::Force);
        assert_eq!(waits(60).await, LEAST.as_secs());
        drop(source);
        assert_eq!(waits(60).await, LEAST.as_secs());
    }
}
