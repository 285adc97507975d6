// SPDX-License-Identifier: GPL-3.0-or-later
//! Ctrl+C and its relatives, noticed where the demo waits; and the two ways a demo ends early.

use std::{
    io,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

/// Why the demo does not reach its end.
#[derive(Debug)]
pub(crate) enum End {
    /// By this signal.
    Interrupted(i32),
    /// One sentence, perhaps with lines of somebody's log below it.
    Failed(String),
}

/// Any error of ours, with what was being done.
pub(crate) fn failed<E: std::fmt::Display>(doing: &str) -> impl FnOnce(E) -> End {
    move |error| End::Failed(format!("{doing}: {error}"))
}

/// The signals that ask the demo to end.
pub(crate) struct Interrupt {
    signals: Receiver<i32>,
    first: Option<i32>,
}

impl Interrupt {
    /// From here on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            signals: receiver,
            first: None,
        })
    }

    /// Has one come yet?
    ///
    /// # Errors
    /// It has; for ever after.
    pub(crate) fn check(&mut self) -> Result<(), End> {
        self.rest(Duration::ZERO)
    }

    /// Waits for a signal for as long as nothing better is to be done.
    ///
    /// # Errors
    /// One came, now or earlier.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<(), End> {
        if self.first.is_none() {
            self.first = self.signals.recv_timeout(time).ok();
        }
        match self.first {
            Some(signal) => Err(End::Interrupted(signal)),
            None => Ok(()),
        }
    }

    /// Waits for one more signal, whatever came before: the person is in a hurry.
    pub(crate) fn another(&self, time: Duration) -> Option<i32> {
        self.signals.recv_timeout(time).ok()
    }
}
