// SPDX-License-Identifier: GPL-3.0-or-later

//! Every duration of the daemon, each with its origin: the table `[timings]` of the configuration. Tests set them to
//! milliseconds.
//!
//! A new one is a row here and nothing else: the reader of the configuration, `check-config` and the manual are made of
//! the rows.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A field of [`Timings`], which is a key of `[timings]` as well, with all that is known of it.
#[derive(Debug)]
pub(crate) struct TimingKey {
    /// The name of both.
    pub name: &'static str,
    /// The text about it in the manual, in whole sentences.
    pub about: &'static str,
    /// The longest time that makes sense. The shortest is always [`SHORTEST`].
    pub longest: Duration,
    /// What the key was called before, if it was.
    pub old_name: Option<&'static str>,
    /// The value of the field.
    pub get: fn(&Timings) -> Duration,
    /// The field, to be set.
    pub field: fn(&mut Timings) -> &mut Duration,
}

/// The rows as the struct with its defaults, and as the list of keys. `up to` is the longest time that makes sense, `once`
/// a name that the key had before. The comment above a row is what the operator reads: in the manual, and in the
/// configuration file that packages bring.
macro_rules! timings {
    ($($(#[doc = $about:literal])+ $name:ident = $default:expr, up to $longest:expr $(, once $old:literal)?;)*) => {
        /// How long things take, at most or each time.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct Timings {
            $($(#[doc = $about])+ pub $name: Duration,)*
        }

        impl Default for Timings {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Timings {
            /// The keys, in the order of the manual.
            pub(crate) const KEYS: &[TimingKey] = &[$(TimingKey {
                name: stringify!($name),
                about: concat!($($about),+).trim_ascii(),
                longest: $longest,
                old_name: [$(Some($old),)? None][0],
                get: |timings| timings.$name,
                field: |timings| &mut timings.$name,
            },)*];
        }
    };
}

/// A timer of tokio's fires to the millisecond; anything less would be a busy loop.
pub(crate) const SHORTEST: Duration = millis(1);

/// The longest for what happens again and again. The Manager's patience (`worker_timeout`, 60 s unless changed there) is
/// not known here, so that this only keeps out what cannot be meant.
const HOUR: Duration = seconds(3600);
/// The longest for what happens once.
const DAY: Duration = seconds(86400);
/// The longest for what need not happen at all: a hundred years. A timer of tokio's takes hardly longer ones.
const NEVER: Duration = seconds(100 * 365 * 86400);

/// The default for what need not happen at all: ten years.
const FOR_EVER: Duration = seconds(10 * 365 * 86400);

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Pairs of keys whose second must not be less than the first: a pause grows from one to the other.
pub(crate) const GROWING: [(&str, &str); 4] = [
    ("strike_pause_min", "strike_pause_max"),
    ("idle_min", "idle_max"),
    ("backoff_min", "backoff_max"),
    ("backoff_min", "asleep_backoff_max"),
];

timings! {
    /// First question whether the running task may go on. A task cancelled as it starts is stopped soon.
    first_may_i_run = seconds(1), up to HOUR;
    /// Later such questions, +-20 %. The Manager needs to see us within 60 s; the Go worker asks every 10 s.
    may_i_run = seconds(5), up to HOUR;
    /// The same while the Manager's hints reach us, +-20 %: within the 10 s after which the Go worker would know, should
    /// one be lost.
    may_i_run_hinted = seconds(8), up to HOUR;
    /// First fetch after one that had nothing, +-20 %. The Go worker waits 20 s.
    idle_min = seconds(5), up to HOUR;
    /// Where the pause between fetches stops growing. The Manager's patience is 60 s.
    idle_max = seconds(20), up to HOUR;
    /// How often a sleeping worker asks whether to wake. The manual's 30 seconds.
    asleep_poll = seconds(30), up to HOUR;
    /// First pause after a failed call; doubles each time, with full jitter where many may fail together.
    backoff_min = seconds(1), up to HOUR;
    /// Where that pause stops growing.
    backoff_max = seconds(30), up to HOUR;
    /// The same for a sleeping worker: with 30 s between polls, the 60 s of the Manager allow no more.
    asleep_backoff_max = seconds(10), up to HOUR;
    /// Contact gap after which our state is said again: the Manager may have put us in `error` after 60 s.
    contact_gap = seconds(45), up to HOUR;
    /// Longest wait for a TCP connection. The Manager closes one whose header is not there after 1 s.
    connect = seconds(5), up to HOUR;
    /// Longest wait for the answer to a small question (state, may-i-run).
    question_timeout = seconds(10), up to HOUR, once "ask";
    /// Longest wait for an answer that writes (registration, sign-on, fetch): a locked database was seen
    /// to hold requests for 20-35 s before they answered.
    request_timeout = seconds(45), up to HOUR, once "answer";
    /// Longest wait for the answer to a task update or a picture; the same lock, and up to 512 KiB to carry.
    update_timeout = seconds(45), up to HOUR, once "update";
    /// Between two questions that hints have brought about, should they come thick. The first three are asked at once.
    hint_pause = seconds(1), up to HOUR;
    /// In a farm of a thousand, the longest random wait between a hint of new work and the fetch; in a smaller one in
    /// proportion. 500 fetches in the same instant are about a second of the Manager's CPU.
    work_wait = seconds(2), up to HOUR;
    /// Between a step of some job and the fetch of an idle worker, as it may have freed a task; also the shortest pause
    /// between two such fetches, longer in farms of more than 25 workers.
    step_wait = seconds(1), up to HOUR;
    /// Push: the connection with its upgrade, the first packet, an acknowledgement and a write may take this long each.
    push_answer = seconds(5), up to HOUR;
    /// Push: between two pings, unless the Manager asks for more. It drops who is silent for 60 s.
    push_ping = seconds(25), up to HOUR;
    /// Push: a ping that is not answered for this long means that the connection is lost. The Manager's `pingTimeout`.
    push_silence = seconds(60), up to HOUR;
    /// Push: shortest wait after something on the way refused the upgrade, as a proxy does that was not told of it; up
    /// to twice that.
    push_refused = seconds(300), up to DAY;
    /// Push: the number of events is counted over this long; above 20 a second the rooms of the whole farm are left.
    push_window = seconds(60), up to HOUR;
    /// Push: how long those rooms are left.
    push_rest = seconds(300), up to DAY;
    /// Push: before a connection is closed, the Manager has this long to acknowledge that we have left its rooms. One that
    /// closes while it is in a room can stop the Manager.
    push_leave = seconds(1), up to HOUR;
    /// Push: nothing is heard and said for this long before a connection is closed, nor after it before a sign-off.
    push_quiet = millis(50), up to HOUR;
    /// How long a log may wait before it is sent although it is short.
    log_flush = seconds(2), up to HOUR;
    /// How long steps and activity may wait, so that several become one update. The Manager sends two events to
    /// every open page for each.
    said_flush = millis(250), up to HOUR;
    /// An outcome without an answer for this long is fsynced.
    outcome_sync = seconds(1), up to HOUR;
    /// How long an outcome may fail while the rest answers before it is set aside.
    set_aside = seconds(600), up to DAY;
    /// The polite signal's grace for Blender (SIGINT: it cleans up on that one only).
    blender_grace = seconds(8), up to HOUR;
    /// What follows for Blender (SIGTERM) before SIGKILL.
    blender_firm_grace = seconds(2), up to HOUR;
    /// The grace of every other program (SIGTERM) before SIGKILL.
    grace = seconds(8), up to HOUR;
    /// After the program's exit, how long what it left in the pipe is waited for.
    output_drain = seconds(1), up to HOUR, once "drain";
    /// What a program that ended well left running, with its output open, is waited for until it has used no processor
    /// time and written nothing for this long. A renderer that reads its scene from a slow share shows one of both sooner.
    linger = seconds(5), up to HOUR;
    /// A tree that survives SIGKILL for this long is called unkillable.
    unkillable = seconds(15), up to HOUR;
    /// A guard that is stopped for this long is made to go on; one that is held by a tracer, or does not say that it has
    /// heard an order, is ended with all below it. With an overloaded machine it was seen to take ten seconds to be heard;
    /// half of `leave`.
    guard_silence = seconds(10), up to HOUR;
    /// A program that died of a TERM, INT or HUP we did not send: how long our own stop signal may follow.
    foreign_signal = millis(500), up to HOUR;
    /// A program killed by a signal within this time of its start has crashed at once: the node may be to blame.
    crash_window = seconds(10), up to HOUR, once "crash";
    /// How long a node pauses after too many such failures in a row; doubles until a task succeeds.
    strike_pause_min = seconds(10), up to DAY;
    /// Where that pause stops growing.
    strike_pause_max = seconds(600), up to DAY;
    /// How long the look at what this node needs may take.
    node_check_timeout = seconds(10), up to HOUR, once "fitness";
    /// How often the free space is looked at while a task runs.
    space_check = seconds(60), up to HOUR;
    /// `\r` progress is shown at most this often, but for its first and last state.
    progress = seconds(1), up to HOUR;
    /// How long a start waits for a predecessor that leaves to let go of the home; for one that stays it does not wait.
    lock_timeout = seconds(10), up to DAY, once "lock";
    /// Told to leave, to sleep or to wake: how long a call is waited for that may have changed something at the Manager.
    changing_call = seconds(1), up to HOUR, once "leave_starting";
    /// Told to stop: how long all of it may take, the end of the task included. Less than the patience of any supervisor
    /// (systemd's default is 90 s, ours in `packaging` and `contrib` are 30 s).
    leave = seconds(20), up to DAY;
    /// Leaving, within `leave`, or going to sleep: how long the log and the outcome may take to reach the Manager.
    leave_flush = seconds(10), up to DAY;
    /// Leaving: how long the sign-off may take, three tries in all.
    leave_sign_off = seconds(6), up to DAY;
    /// -flush: how long the home may take to answer, and how long it is tried to deliver while nothing gets through. More
    /// than an update may take.
    flush_patience = seconds(60), up to DAY;
    /// How long a picture for the "last rendered" view may take to be read and scaled. 4K takes less than a second.
    picture = seconds(10), up to HOUR;
    /// 403 must stand this long, and be confirmed, before a registration counts as deleted.
    reregister_after = seconds(15), up to DAY, once "denied";
    /// How long a task goes on although no answer comes to the question whether it may. Ten years, which is for ever: the
    /// render is worth more than the question. Where an outage must not keep a node busy, less.
    manager_lost_timeout = FOR_EVER, up to NEVER, once "alone";
    /// Told to finish the task and leave: how long the task is waited for before it is ended and goes back. Ten years,
    /// which is for ever: whoever drains wants the frame. Where a machine must go down some time, less.
    drain_limit = FOR_EVER, up to NEVER;
    /// Without any answer of the Manager's for this long, systemd's watchdog gets no sign of life, and restarts us. Ten
    /// years, which is for ever: that is no reason to end a render.
    watchdog_contact = FOR_EVER, up to NEVER;
}

impl Timings {
    /// The key of this name, which is none that it had before.
    pub(crate) fn key(name: &str) -> Option<&'static TimingKey> {
        Self::KEYS.iter().find(|key| key.name == name)
    }
}

/// Waits for a moment, or for ever where there is none to wait for. Cancel safe.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_could_be_written_and_every_name_is_there_once() {
        let defaults = Timings::default();
        for key in Timings::KEYS {
            assert!((SHORTEST..=key.longest).contains(&(key.get)(&defaults)), "{}", key.name);
            assert_ne!(key.about, "", "{}", key.name);
            assert!(
                key.old_name.is_none_or(|old| Timings::key(old).is_none()),
                "{}",
                key.name
            );
        }
        for (less, more) in GROWING {
            let [less, more] = [less, more].map(|name| (Timings::key(name).unwrap().get)(&defaults));
            assert!(less <= more);
        }
    }
}
