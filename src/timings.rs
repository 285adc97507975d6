// SPDX-License-Identifier: GPL-3.0-or-later

//! Every duration of the daemon, each with its origin. An operator can change those of
//! [`Timings`] in the `[timings]` table of the configuration; tests do, to milliseconds.

use std::time::Duration;

/// What need not happen at all: ten years.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86400);

/// How long things take, at most or each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// First question whether the running task may go on. A task cancelled as it starts is stopped soon.
    pub first_may_i_run: Duration,
    /// Later such questions, +-20 %. The Manager needs to see us within 60 s; the Go worker asks every 10 s.
    pub may_i_run: Duration,
    /// The same while the Manager's hints reach us, +-20 %: within the 10 s after which the Go worker would know, should
    /// one be lost.
    pub may_i_run_hinted: Duration,
    /// First fetch after one that had nothing, +-20 %. The Go worker waits 20 s.
    pub idle_min: Duration,
    /// Where the pause between fetches stops growing. The Manager's patience is 60 s.
    pub idle_max: Duration,
    /// How often a sleeping worker asks whether to wake. The manual's 30 seconds.
    pub asleep_poll: Duration,
    /// First pause after a failed call; doubles each time, with full jitter where many may fail together.
    pub backoff_min: Duration,
    /// Where that pause stops growing.
    pub backoff_max: Duration,
    /// The same for a sleeping worker: with 30 s between polls, the 60 s of the Manager allow no more.
    pub asleep_backoff_max: Duration,
    /// Contact gap after which our state is said again: the Manager may have put us in `error` after 60 s.
    pub contact_gap: Duration,
    /// Longest wait for a TCP connection. The Manager closes one whose header is not there after 1 s.
    pub connect: Duration,
    /// Longest wait for the answer to a small question (state, may-i-run).
    pub ask: Duration,
    /// Longest wait for an answer that writes (registration, sign-on, fetch): a locked database was seen
    /// to hold requests for 20-35 s before they answered.
    pub answer: Duration,
    /// Longest wait for the answer to a task update or a picture; the same lock, and up to 512 KiB to carry.
    pub update: Duration,
    /// Between two questions that hints have brought about, should they come thick. The first three are asked at once.
    pub hint_pause: Duration,
    /// In a farm of a thousand, the longest random wait between a hint of new work and the fetch; in a smaller one in
    /// proportion. 500 fetches in the same instant are about a second of the Manager's CPU.
    pub work_wait: Duration,
    /// Push: the connection with its upgrade, the first packet, an acknowledgement and a write may take this long each.
    pub push_answer: Duration,
    /// Push: between two pings, unless the Manager asks for more. It drops who is silent for 60 s.
    pub push_ping: Duration,
    /// Push: a ping that is not answered for this long means that the connection is lost. The Manager's `pingTimeout`.
    pub push_silence: Duration,
    /// Push: shortest wait after something on the way refused the upgrade, as a proxy does that was not told of it; up
    /// to twice that.
    pub push_refused: Duration,
    /// Push: the number of events is counted over this long; above 20 a second the rooms of the whole farm are left.
    pub push_window: Duration,
    /// Push: how long those rooms are left.
    pub push_rest: Duration,
    /// How long a log may wait before it is sent although it is short.
    pub log_flush: Duration,
    /// How long steps and activity may wait, so that several become one update. The Manager sends two events to
    /// every open page for each.
    pub said_flush: Duration,
    /// An outcome without an answer for this long is fsynced.
    pub outcome_sync: Duration,
    /// How long an outcome may fail while the rest answers before it is set aside.
    pub set_aside: Duration,
    /// The polite signal's grace for Blender (SIGINT: it cleans up on that one only).
    pub blender_grace: Duration,
    /// What follows for Blender (SIGTERM) before SIGKILL.
    pub blender_firm_grace: Duration,
    /// The grace of every other program (SIGTERM) before SIGKILL.
    pub grace: Duration,
    /// After the program's exit, how long what it left in the pipe is waited for.
    pub drain: Duration,
    /// A tree that survives SIGKILL for this long is called unkillable.
    pub unkillable: Duration,
    /// A program that died of a TERM, INT or HUP we did not send: how long our own stop signal may follow.
    pub foreign_signal: Duration,
    /// A program killed by a signal within this time of its start has crashed at once: the node may be to blame.
    pub crash: Duration,
    /// How long a node pauses after too many such failures in a row; doubles until a task succeeds.
    pub strike_pause_min: Duration,
    /// Where that pause stops growing.
    pub strike_pause_max: Duration,
    /// How long the look at what this node needs may take.
    pub fitness: Duration,
    /// How often the free space is looked at while a task runs.
    pub space_check: Duration,
    /// `\r` progress is shown at most this often.
    pub progress: Duration,
    /// How long a start waits for a predecessor to let go of the home.
    pub lock: Duration,
    /// Told to leave before we were signed on: how long a call that may have changed something is waited for.
    pub leave_starting: Duration,
    /// Told to stop: how long all of it may take, the end of the task included. Less than the patience of any supervisor
    /// (systemd's default is 90 s, ours in `packaging` and `contrib` are 30 s).
    pub leave: Duration,
    /// Leaving: how long the log and the outcome may take to reach the Manager, within [`Self::leave`].
    pub leave_flush: Duration,
    /// Leaving: how long the sign-off may take, three tries in all.
    pub leave_sign_off: Duration,
    /// How long a picture may take to be read and scaled.
    pub picture: Duration,
    /// How long a task goes on although no answer comes to the question whether it may. Ten years, which is for ever: the
    /// render is worth more than the question. Where an outage must not keep a node busy, less.
    pub alone: Duration,
    /// Told to finish the task and leave: how long the task is waited for before it is ended and goes back. Ten years,
    /// which is for ever: whoever drains wants the frame. Where a machine must go down some time, less.
    pub drain_limit: Duration,
    /// Without any answer of the Manager's for this long, systemd's watchdog gets no sign of life, and restarts us. Ten
    /// years, which is for ever: that is no reason to end a render.
    pub watchdog_contact: Duration,
    /// 403 must stand this long, and be confirmed, before a registration counts as deleted.
    pub denied: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first_may_i_run: seconds(1),
            may_i_run: seconds(5),
            may_i_run_hinted: seconds(8),
            idle_min: seconds(5),
            idle_max: seconds(20),
            asleep_poll: seconds(30),
            backoff_min: seconds(1),
            backoff_max: seconds(30),
            asleep_backoff_max: seconds(10),
            contact_gap: seconds(45),
            connect: seconds(5),
            ask: seconds(10),
            answer: seconds(45),
            update: seconds(45),
            hint_pause: seconds(1),
            work_wait: seconds(2),
            push_answer: seconds(5),
            push_ping: seconds(25),
            push_silence: seconds(60),
            push_refused: seconds(300),
            push_window: seconds(60),
            push_rest: seconds(300),
            log_flush: seconds(2),
            said_flush: Duration::from_millis(250),
            outcome_sync: seconds(1),
            set_aside: seconds(600),
            blender_grace: seconds(8),
            blender_firm_grace: seconds(2),
            grace: seconds(8),
            drain: seconds(1),
            unkillable: seconds(15),
            foreign_signal: Duration::from_millis(500),
            crash: seconds(10),
            strike_pause_min: seconds(10),
            strike_pause_max: seconds(600),
            fitness: seconds(10),
            space_check: seconds(60),
            progress: seconds(1),
            lock: seconds(10),
            leave_starting: seconds(1),
            leave: seconds(20),
            leave_flush: seconds(10),
            leave_sign_off: seconds(6),
            picture: seconds(20),
            alone: FOR_EVER,
            drain_limit: FOR_EVER,
            watchdog_contact: FOR_EVER,
            denied: seconds(15),
        }
    }
}
