// SPDX-License-Identifier: GPL-3.0-or-later

//! Signals before there is anybody to tell: from the first line of `main` until [`Signals`](super::Signals) listens.
//!
//! ```text
//! take ── TERM, INT, QUIT: the handler leaves with 0, nothing was begun ──► hand_over: blocked, until the next handlers are there
//!      └─ HUP, USR1, USR2: wait, blocked ─────────────────────────────────────────┴──► given back, where no worker will be
//! ```
//!
//! Without it a stop in the first milliseconds is a death by signal, which a supervisor takes for a failure and answers
//! with a new start. It also ends what a careless parent leaves to its children: a mask that blocks the signals we are
//! to be stopped with.

use std::fs;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};
use signal_hook::low_level;

use crate::departure::Departure;

const LEAVE: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
const WAIT: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// The signals of a process that has just begun, and what was with them before.
#[derive(Debug)]
pub(crate) struct Early {
    actions: Vec<(Signal, SigAction)>,
    mask: SigSet,
}

impl Early {
    /// Call it first of all, and before there is a second thread. None of it can fail for these signals.
    #[must_use]
    pub(crate) fn take() -> Self {
        let leave = SigAction::new(SigHandler::Handler(leave), SaFlags::empty(), SigSet::all());
        let actions = LEAVE.iter().filter_map(|signal| Some((*signal, set(*signal, &leave)?)));
        let actions = actions.collect();
        let mut mask = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::from_iter(WAIT)), Some(&mut mask)).ok();
        Self { actions, mask }
    }

    /// The signals of a process that has just become another program: they wait, blocked, for the handlers to come, as they
    /// did before ([`block_all`]). A stop is an order of the worker's, whose task runs.
    #[must_use]
    pub(crate) fn keep_blocked() -> Self {
        block_all();
        Self {
            actions: Vec::new(),
            mask: SigSet::empty(),
        }
    }

    /// As it was before, for who only looks or says something and is to be interrupted as any program.
    pub(crate) fn give_back(self) {
        for (signal, action) in &self.actions {
            set(*signal, action);
        }
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None).ok();
    }

    /// Takes the handlers away with `instead` as the next. What comes meanwhile waits for those.
    pub(super) fn hand_over<T>(self, instead: impl FnOnce() -> T) -> T {
        block_all();
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // Only our own: where this process was a worker before, the handlers are there, and would not be installed again.
        for (signal, _) in &self.actions {
            set(*signal, &default);
        }
        let next = instead();
        // A file that may not grow is an error of the write, as a full disk is, not a reason to die.
        let blocked = SigSet::from(Signal::SIGXFSZ);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None).ok();
        next
    }
}

/// Lets every signal wait that can, until [`Signals`](super::Signals) listen, in this program or in the one that it becomes.
/// In this thread: where another takes one, it does not wait.
pub(crate) fn block_all() {
    let all = SigSet::from_iter(LEAVE.into_iter().chain(WAIT));
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&all), None).ok();
}

/// Whether no thread of this process takes a signal that waits: one that is being made has the mask of its maker until its own
/// first step.
pub(crate) fn all_wait() -> bool {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut masks = threads.filter_map(|thread| blocked(&fs::read_to_string(thread.path().join("status")).ok()?));
    let all = LEAVE
        .iter()
        .chain(&WAIT)
        .fold(0_u64, |mask, signal| mask | 1 << (*signal as i32 - 1));
    masks.all(|mask| mask & all == all)
}

/// The mask of a thread, from its `status` (proc_pid_status(5)).
fn blocked(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

extern "C" fn leave(_signal: libc::c_int) {
    low_level::exit(i32::from(Departure::Signalled.code()));
}

#[expect(unsafe_code, reason = "a signal handler is set")]
fn set(signal: Signal, action: &SigAction) -> Option<SigAction> {
    // SAFETY: the only handler ever set here calls nothing but `_exit`, which is async-signal-safe; others are what the
    // process had before.
    unsafe { sigaction(signal, action) }.ok()
}
