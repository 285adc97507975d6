// SPDX-License-Identifier: GPL-3.0-or-later

//! Signals of the system, as messages to the one state machine.
//!
//! ```text
//! TERM, INT   1st: leave now   2nd: at once   3rd: exit in the handler itself, also with a stuck loop
//! QUIT  leave after the task   USR1 sleep   USR2 wake
//! HUP   leave now, of a worker that was started in a terminal: it went away; else reload
//!       (left ignored if we were started so, as nohup does)
//! ```
//!
//! Before all that, in the first milliseconds: see [`Early`].
//!
//! The handler counts, because the stream below it may fold two quick signals into one wake-up. The same signal twice
//! within [`ONE`] is one: timeout(1) sends it to its child and then to its group, and means it once. INT and QUIT
//! are taken also when a shell's `worker &` left them ignored: whoever sends them by hand means it. None stays blocked:
//! a mask goes through exec, and a careless parent's would keep us from hearing them, and SIGCHLD.

mod early;

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::departure::THIRD_SIGNAL;
use crate::logging::LineEraser;
use crate::pause::PauseReason;

pub(crate) use early::{Early, all_wait, block_all};

/// Milliseconds within which the same signal is meant once. Nobody types as fast.
const ONE: i64 = 100;

/// What a person or a supervisor tells us through the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// End this process.
    Leave(Urgency),
    /// Take no new task.
    Sleep,
    /// Take tasks again.
    Wake,
    /// This machine is not for tasks now.
    Pause(PauseReason),
    /// It is again.
    Resume,
    /// Become our own successor, if there is one that can take over.
    Reload,
    /// The same: there is one.
    HandOver,
}

/// How soon to leave; the greater one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Urgency {
    /// Finish the task, sign off, go.
    AfterTask,
    /// End the task, sign off, go.
    Now,
    /// The same, without grace for the program or for what still waits.
    AtOnce,
}

impl Order {
    /// Whether a task that runs is not waited for: it may be long.
    pub(crate) fn ends_the_task(self) -> bool {
        matches!(self, Self::Leave(urgency) if urgency >= Urgency::Now)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leave(Urgency::AfterTask) => "Drain",
            Self::Leave(Urgency::Now) => "Stop",
            Self::Leave(Urgency::AtOnce) => "StopNow",
            Self::Sleep => "Sleep",
            Self::Wake => "Wake",
            Self::Pause(_) => "Pause",
            Self::Resume => "Resume",
            Self::Reload => "HangUp",
            Self::HandOver => "HandOver",
        })
    }
}

/// The signals of this process, as orders.
#[derive(Debug)]
pub(crate) struct Signals {
    has_terminal: bool,
    stops: Arc<AtomicU32>,
    told: u32,
    term: Signal,
    int: Signal,
    quit: Signal,
    usr1: Signal,
    usr2: Signal,
    hup: Option<Signal>,
}

impl Signals {
    /// Takes over the signals of this process. Needs a running tokio runtime, and that no other thread was started yet. A line
    /// that stands in the terminal is to be gone when a third signal ends the process.
    ///
    /// # Errors
    /// What the system says when a handler cannot be installed.
    pub(crate) fn new(early: Early, line: Option<&LineEraser>) -> io::Result<Self> {
        early.hand_over(|| Self::listen(line))
    }

    fn listen(line: Option<&LineEraser>) -> io::Result<Self> {
        let stops = Arc::new(AtomicU32::new(0));
        for number in [SIGTERM, SIGINT] {
            count(number, Arc::clone(&stops), line.cloned())?;
        }
        Ok(Self {
            has_terminal: io::stderr().is_terminal() || io::stdin().is_terminal(),
            stops,
            told: 0,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            hup: if is_ignored(libc::SIGHUP) {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// The next order. Cancel safe.
    pub(crate) async fn next(&mut self) -> Order {
        loop {
            if let Some(order) = self.stop() {
                return order;
            }
            tokio::select! {
                _ = self.term.recv() => {}
                _ = self.int.recv() => {}
                _ = self.quit.recv() => return Order::Leave(Urgency::AfterTask),
                _ = self.usr1.recv() => return Order::Sleep,
                _ = self.usr2.recv() => return Order::Wake,
                () = hang_up(self.hup.as_mut()) => return self.hung_up(),
            }
        }
    }

    /// What has come and was not told. For when signals are blocked, and the runtime has had a turn since.
    pub(crate) async fn rest(&mut self) -> Vec<Order> {
        let mut rest = Vec::new();
        while let Ok(order) = timeout(Duration::ZERO, self.next()).await {
            rest.push(order);
        }
        rest
    }

    /// SIGHUP means a terminal that went away only to somebody who had one; to everybody else, a reload.
    fn hung_up(&self) -> Order {
        match self.has_terminal {
            true => Order::Leave(Urgency::Now),
            false => Order::Reload,
        }
    }

    /// A stop that was counted and not yet told.
    fn stop(&mut self) -> Option<Order> {
        let counted = self.stops.load(Ordering::SeqCst);
        if counted == self.told {
            return None;
        }
        self.told = counted;
        Some(Order::Leave(if counted == 1 { Urgency::Now } else { Urgency::AtOnce }))
    }
}

async fn hang_up(stream: Option<&mut Signal>) {
    match stream {
        Some(stream) => {
            stream.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[expect(unsafe_code, reason = "a signal handler is registered")]
fn count(number: i32, stops: Arc<AtomicU32>, line: Option<LineEraser>) -> io::Result<()> {
    let last = AtomicI64::new(-ONE);
    let action = move || {
        let now = now();
        if now - last.swap(now, Ordering::SeqCst) < ONE {
            return;
        }
        if stops.fetch_add(1, Ordering::SeqCst) >= 2 {
            if let Some(line) = &line {
                line.erase();
            }
            low_level::exit(i32::from(THIRD_SIGNAL));
        }
    };
    // SAFETY: the action only reads a clock, touches atomics, asks for process groups, writes and calls `_exit`, all
    // async-signal-safe.
    unsafe { low_level::register(number, action) }.map(|_| ())
}

/// Milliseconds of a clock that no one sets. Where it cannot be read, every signal counts.
fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(i64::MAX, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

/// Whether a signal was ignored when we were started.
#[expect(unsafe_code, reason = "asks for a signal's disposition")]
fn is_ignored(number: i32) -> bool {
    // SAFETY: with a null new action `sigaction` only writes the old one into the struct we own; all-zero
    // bytes are a valid `libc::sigaction`.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}
