// SPDX-License-Identifier: GPL-3.0-or-later

//! Every duration of the daemon, each with its origin. An operator can change those of
//! [`Timings`] in the `[timings]` table of the configuration; tests do, to milliseconds.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The fields with their defaults. What is said of one here is what the operator reads as well: in the
/// manual, and in the configuration file that packages bring.
macro_rules! timings {
    ($($(#[doc = $about:literal])+ $name:ident = $default:expr;)*) => {
        /// How long things take, at most or each time.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Timings {
            $($(#[doc = $about])+ pub $name: Duration,)*
        }

        impl Default for Timings {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Timings {
            /// The name of each field and what is said of it.
            pub const ABOUT: &[(&str, &str)] = &[$((stringify!($name), concat!($($about),+)),)*];
        }
    };
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// What need not happen at all: ten years.
const FOR_EVER: Duration = seconds(10 * 365 * 86400);

const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

timings! {
    /// First question whether the running task may go on. A task cancelled as it starts is stopped soon.
    first_may_i_run = seconds(1);
    /// Later such questions, +-20 %. The Manager needs to see us within 60 s; the Go worker asks every 10 s.
    may_i_run = seconds(5);
    /// The same while the Manager's hints reach us, +-20 %: within the 10 s after which the Go worker would know, should
    /// one be lost.
    may_i_run_hinted = seconds(8);
    /// First fetch after one that had nothing, +-20 %. The Go worker waits 20 s.
    idle_min = seconds(5);
    /// Where the pause between fetches stops growing. The Manager's patience is 60 s.
    idle_max = seconds(20);
    /// How often a sleeping worker asks whether to wake. The manual's 30 seconds.
    asleep_poll = seconds(30);
    /// First pause after a failed call; doubles each time, with full jitter where many may fail together.
    backoff_min = seconds(1);
    /// Where that pause stops growing.
    backoff_max = seconds(30);
    /// The same for a sleeping worker: with 30 s between polls, the 60 s of the Manager allow no more.
    asleep_backoff_max = seconds(10);
    /// Contact gap after which our state is said again: the Manager may have put us in `error` after 60 s.
    contact_gap = seconds(45);
    /// Longest wait for a TCP connection. The Manager closes one whose header is not there after 1 s.
    connect = seconds(5);
    /// Longest wait for the answer to a small question (state, may-i-run).
    question_timeout = seconds(10);
    /// Longest wait for an answer that writes (registration, sign-on, fetch): a locked database was seen
    /// to hold requests for 20-35 s before they answered.
    request_timeout = seconds(45);
    /// Longest wait for the answer to a task update or a picture; the same lock, and up to 512 KiB to carry.
    update_timeout = seconds(45);
    /// Between two questions that hints have brought about, should they come thick. The first three are asked at once.
    hint_pause = seconds(1);
    /// In a farm of a thousand, the longest random wait between a hint of new work and the fetch; in a smaller one in
    /// proportion. 500 fetches in the same instant are about a second of the Manager's CPU.
    work_wait = seconds(2);
    /// Between a step of some job and the fetch of an idle worker, as it may have freed a task; also the shortest pause
    /// between two such fetches, longer in farms of more than 25 workers.
    step_wait = seconds(1);
    /// Push: the connection with its upgrade, the first packet, an acknowledgement and a write may take this long each.
    push_answer = seconds(5);
    /// Push: between two pings, unless the Manager asks for more. It drops who is silent for 60 s.
    push_ping = seconds(25);
    /// Push: a ping that is not answered for this long means that the connection is lost. The Manager's `pingTimeout`.
    push_silence = seconds(60);
    /// Push: shortest wait after something on the way refused the upgrade, as a proxy does that was not told of it; up
    /// to twice that.
    push_refused = seconds(300);
    /// Push: the number of events is counted over this long; above 20 a second the rooms of the whole farm are left.
    push_window = seconds(60);
    /// Push: how long those rooms are left.
    push_rest = seconds(300);
    /// Push: before a connection is closed, the Manager has this long to acknowledge that we have left its rooms. One that
    /// closes while it is in a room can stop the Manager.
    push_leave = seconds(1);
    /// Push: nothing is heard and said for this long before a connection is closed, nor after it before a sign-off.
    push_quiet = millis(50);
    /// How long a log may wait before it is sent although it is short.
    log_flush = seconds(2);
    /// How long steps and activity may wait, so that several become one update. The Manager sends two events to
    /// every open page for each.
    said_flush = millis(250);
    /// An outcome without an answer for this long is fsynced.
    outcome_sync = seconds(1);
    /// How long an outcome may fail while the rest answers before it is set aside.
    set_aside = seconds(600);
    /// The polite signal's grace for Blender (SIGINT: it cleans up on that one only).
    blender_grace = seconds(8);
    /// What follows for Blender (SIGTERM) before SIGKILL.
    blender_firm_grace = seconds(2);
    /// The grace of every other program (SIGTERM) before SIGKILL.
    grace = seconds(8);
    /// After the program's exit, how long what it left in the pipe is waited for.
    output_drain = seconds(1);
    /// What a program that ended well left running, with its output open, is waited for until it has used no processor
    /// time and written nothing for this long. A renderer that reads its scene from a slow share shows one of both sooner.
    linger = seconds(5);
    /// A tree that survives SIGKILL for this long is called unkillable.
    unkillable = seconds(15);
    /// A guard that is stopped for this long is made to go on; one that is held by a tracer, or does not say that it has
    /// heard an order, is ended with all below it. With an overloaded machine it was seen to take ten seconds to be heard;
    /// half of `leave`.
    guard_silence = seconds(10);
    /// A program that died of a TERM, INT or HUP we did not send: how long our own stop signal may follow.
    foreign_signal = millis(500);
    /// A program killed by a signal within this time of its start has crashed at once: the node may be to blame.
    crash_window = seconds(10);
    /// How long a node pauses after too many such failures in a row; doubles until a task succeeds.
    strike_pause_min = seconds(10);
    /// Where that pause stops growing.
    strike_pause_max = seconds(600);
    /// How long the look at what this node needs may take.
    node_check_timeout = seconds(10);
    /// How often the free space is looked at while a task runs.
    space_check = seconds(60);
    /// `\r` progress is shown at most this often.
    progress = seconds(1);
    /// How long a start waits for a predecessor that leaves to let go of the home; for one that stays it does not wait.
    lock_timeout = seconds(10);
    /// Told to leave before we were signed on: how long a call that may have changed something is waited for.
    leave_starting = seconds(1);
    /// Told to stop: how long all of it may take, the end of the task included. Less than the patience of any supervisor
    /// (systemd's default is 90 s, ours in `packaging` and `contrib` are 30 s).
    leave = seconds(20);
    /// Leaving, within `leave`, or going to sleep: how long the log and the outcome may take to reach the Manager.
    leave_flush = seconds(10);
    /// Leaving: how long the sign-off may take, three tries in all.
    leave_sign_off = seconds(6);
    /// How long a picture may take to be read and scaled.
    picture = seconds(20);
    /// How long a task goes on although no answer comes to the question whether it may. Ten years, which is for ever: the
    /// render is worth more than the question. Where an outage must not keep a node busy, less.
    manager_lost_timeout = FOR_EVER;
    /// Told to finish the task and leave: how long the task is waited for before it is ended and goes back. Ten years,
    /// which is for ever: whoever drains wants the frame. Where a machine must go down some time, less.
    drain_limit = FOR_EVER;
    /// Without any answer of the Manager's for this long, systemd's watchdog gets no sign of life, and restarts us. Ten
    /// years, which is for ever: that is no reason to end a render.
    watchdog_contact = FOR_EVER;
    /// 403 must stand this long, and be confirmed, before a registration counts as deleted.
    reregister_after = seconds(15);
}

/// Waits for a moment, or for ever where there is none to wait for. Cancel safe.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
