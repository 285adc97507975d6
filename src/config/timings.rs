// SPDX-License-Identifier: GPL-3.0-or-later

//! The keys of `[timings]`: one for each field of [`Timings`], with what makes sense for it.

use std::time::Duration;

use super::units::{duration, duration_text};
use crate::timings::Timings;

/// A key and the field it sets.
pub(crate) struct TimingKey {
    pub(crate) name: &'static str,
    pub(crate) field: fn(&mut Timings) -> &mut Duration,
    /// Longest that makes sense; the shortest is always [`SHORTEST`].
    pub(crate) longest: Duration,
}

/// A timer of tokio's fires to the millisecond; anything less would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);
/// For what happens again and again. The Manager's patience (`worker_timeout`, 60 s unless changed there) is
/// not known here, so that this only keeps out what cannot be meant.
const HOUR: Duration = Duration::from_secs(3600);
/// For what happens once.
const DAY: Duration = Duration::from_secs(86400);

/// For what need not happen at all. A hundred years; a timer of tokio's takes no much longer ones.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86400);

macro_rules! keys {
    ($($field:ident: $longest:expr),* $(,)?) => {
        &[$(TimingKey { name: stringify!($field), field: |timings| &mut timings.$field, longest: $longest }),*]
    };
}

pub(crate) const KEYS: &[TimingKey] = keys! {
    first_may_i_run: HOUR,
    may_i_run: HOUR,
    may_i_run_hinted: HOUR,
    idle_min: HOUR,
    idle_max: HOUR,
    asleep_poll: HOUR,
    backoff_min: HOUR,
    backoff_max: HOUR,
    asleep_backoff_max: HOUR,
    contact_gap: HOUR,
    connect: HOUR,
    question_timeout: HOUR,
    request_timeout: HOUR,
    update_timeout: HOUR,
    hint_pause: HOUR,
    work_wait: HOUR,
    step_wait: HOUR,
    push_answer: HOUR,
    push_ping: HOUR,
    push_silence: HOUR,
    push_refused: DAY,
    push_window: HOUR,
    push_rest: DAY,
    push_leave: HOUR,
    push_quiet: HOUR,
    log_flush: HOUR,
    said_flush: HOUR,
    outcome_sync: HOUR,
    set_aside: DAY,
    blender_grace: HOUR,
    blender_firm_grace: HOUR,
    grace: HOUR,
    output_drain: HOUR,
    linger: HOUR,
    unkillable: HOUR,
    guard_silence: HOUR,
    foreign_signal: HOUR,
    crash_window: HOUR,
    strike_pause_min: DAY,
    strike_pause_max: DAY,
    node_check_timeout: HOUR,
    space_check: HOUR,
    progress: HOUR,
    lock_timeout: DAY,
    leave_starting: HOUR,
    leave: DAY,
    leave_flush: DAY,
    leave_sign_off: DAY,
    picture: HOUR,
    reregister_after: DAY,
    manager_lost_timeout: NEVER,
    drain_limit: NEVER,
    watchdog_contact: NEVER,
};

/// Pairs where the second must not be less than the first: a pause grows from one to the other.
pub(crate) const GROWING: [(&str, &str); 4] = [
    ("strike_pause_min", "strike_pause_max"),
    ("idle_min", "idle_max"),
    ("backoff_min", "backoff_max"),
    ("backoff_min", "asleep_backoff_max"),
];

/// Names that keys had before, and have now.
const RENAMED: [(&str, &str); 9] = [
    ("alone", "manager_lost_timeout"),
    ("answer", "request_timeout"),
    ("ask", "question_timeout"),
    ("crash", "crash_window"),
    ("denied", "reregister_after"),
    ("drain", "output_drain"),
    ("fitness", "node_check_timeout"),
    ("lock", "lock_timeout"),
    ("update", "update_timeout"),
];

/// What a key of this name is called now, where that is another one.
pub(crate) fn renamed(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
}

pub(crate) fn key(name: &str) -> Option<&'static TimingKey> {
    KEYS.iter().find(|key| key.name == name)
}

impl TimingKey {
    /// What is said of the field.
    pub(crate) fn about(&self) -> &'static str {
        let about = Timings::ABOUT.iter().find(|(field, _)| *field == self.name);
        about.map_or("", |(_, about)| about)
    }

    /// Reads a value for this key.
    ///
    /// # Errors
    /// The end of a sentence that starts with the key.
    pub(crate) fn read(&self, text: &str) -> Result<Duration, String> {
        let time = duration(text)?;
        if (SHORTEST..=self.longest).contains(&time) {
            return Ok(time);
        }
        Err(format!(
            "must be between {} and {}, not {}",
            duration_text(SHORTEST),
            duration_text(self.longest),
            duration_text(time)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_key_and_each_key_its_own_field() {
        let mut timings = Timings::default();
        for (index, key) in (1..).zip(KEYS) {
            *(key.field)(&mut timings) = Duration::from_secs(1_000_000 + index);
        }
        let text = format!("{timings:?}");
        for (index, key) in (1..).zip(KEYS) {
            assert_ne!(key.about(), "", "{}", key.name);
            assert!(
                text.contains(&format!("{}: {}s", key.name, 1_000_000 + index)),
                "{}: {text}",
                key.name
            );
        }
        assert_eq!(text.matches(": ").count(), KEYS.len(), "a field without a key: {text}");
    }

    #[test]
    fn every_default_is_one_that_could_be_written() {
        let mut timings = Timings::default();
        for key in KEYS {
            let text = duration_text(*(key.field)(&mut timings));
            assert_eq!(key.read(&text), Ok(*(key.field)(&mut timings)), "{}", key.name);
        }
        for (old, new) in RENAMED {
            assert!(key(old).is_none() && key(new).is_some(), "{old}, {new}");
        }
        for (less, more) in GROWING {
            let (less, more) = (key(less).unwrap(), key(more).unwrap());
            let less = *(less.field)(&mut timings);
            assert!(less <= *(more.field)(&mut timings));
        }
    }
}
