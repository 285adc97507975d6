// SPDX-License-Identifier: GPL-3.0-or-later

//! A clock that stands still while a program does: no limit runs out for who is frozen.

use std::time::Duration;

use super::procfs::now;

/// The monotonic clock without the time in which a program was frozen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RunClock {
    /// The time in which it stood still, up to `since`.
    frozen: Duration,
    /// Since when it stands still, on the monotonic clock.
    since: Option<Duration>,
}

impl RunClock {
    /// A clock that has stood still for `frozen` so far.
    pub(super) fn new(frozen: Duration, is_stopped: bool) -> Self {
        Self {
            frozen,
            since: is_stopped.then(now),
        }
    }

    /// The time since an arbitrary start.
    pub(super) fn now(&self) -> Duration {
        self.at(now())
    }

    /// How long it has stood still, all in all.
    pub(super) fn frozen(&self) -> Duration {
        self.frozen_at(now())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.since.is_some()
    }

    /// It stands still from now on.
    pub(super) fn stop(&mut self) {
        self.since.get_or_insert_with(now);
    }

    /// It goes on.
    pub(super) fn go_on(&mut self) {
        *self = Self::new(self.frozen(), false);
    }

    fn at(&self, now: Duration) -> Duration {
        now.saturating_sub(self.frozen_at(now))
    }

    fn frozen_at(&self, now: Duration) -> Duration {
        self.frozen + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m6_time_in_which_a_program_is_frozen_does_not_count() {
        let second = Duration::from_secs;
        let clock = RunClock {
            frozen: second(3),
            since: Some(second(20)),
        };
        assert_eq!((clock.at(second(20)), clock.at(second(90))), (second(17), second(17)));
        assert_eq!(clock.frozen_at(second(90)), second(73));
        let mut clock = RunClock::new(second(3), true);
        clock.stop();
        clock.go_on();
        let (frozen, at) = (clock.frozen(), clock.now());
        assert!(frozen >= second(3) && frozen < second(60) && !clock.is_stopped());
        assert!(clock.now() >= at && clock.frozen() == frozen);
    }
}
