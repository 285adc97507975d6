// SPDX-License-Identifier: GPL-3.0-or-later

//! What it means for a task that its program could not be started.

use nix::errno::Errno;

use super::program::{CommandProgram, HINT};
use super::start_hint;
use super::text::quoted;
use crate::abort::Abort;
use crate::blocking::run_blocking_within;
use crate::outcome::{Incomplete, RequeueReason};
use crate::process::StartError;
use crate::sandbox::{HeldTo, run_held_within};

/// The program's own words are longer than any kernel takes them.
const TOO_LONG: [Errno; 2] = [Errno::E2BIG, Errno::ENAMETOOLONG];
/// The node has no process or descriptor to give just now.
const NO_ROOM: [Errno; 3] = [Errno::EAGAIN, Errno::ENFILE, Errno::EMFILE];
/// So many characters of a program's name are shown where it could not be run.
const SHOWN: usize = 200;

impl CommandProgram {
    /// What becomes of the task. Its program was `held` to that, if to anything: so is the search for a hint, which tells no name
    /// that the task may not read.
    pub(super) async fn not_started(&self, error: StartError, abort: &Abort, held: Option<HeldTo>) -> Incomplete {
        let (what, errno) = match error {
            StartError::Aborted(reason) => return Incomplete::Aborted(reason),
            StartError::Guard(error) => return Incomplete::Requeued(RequeueReason::CannotStart(error.to_string())),
            StartError::Exec(errno) => (format!("{} ({errno:?})", errno.desc()), errno),
            StartError::NotOnPath => ("executable file not found on PATH".to_owned(), Errno::ENOENT),
            StartError::Nul(_) => {
                return Incomplete::Failed(format!("{}: cannot run {}: {error}", self.command, self.shown()));
            }
        };
        if NO_ROOM.contains(&errno) {
            return Incomplete::Requeued(RequeueReason::CannotStart(what));
        }
        let text = format!("{}: cannot run {}: {what}", self.command, self.shown());
        if let Some(held) = held.clone().filter(|_| errno == Errno::EACCES) {
            let exe = self.exe.clone();
            let look = move || held.refused_to_start(exe.as_ref());
            if let Some(Some(refused)) = run_blocking_within(abort.patience(HINT), look).await {
                return Incomplete::Failed(format!("{text}; {refused}"));
            }
        }
        let exe = self.exe.clone();
        let look = move || start_hint::start_hint(&exe, errno);
        let text = match run_held_within(held, abort.patience(HINT), look).await {
            Some(Some(hint)) => format!("{text}; {hint}"),
            Some(None) | None => text,
        };
        if TOO_LONG.contains(&errno) {
            Incomplete::Failed(text)
        } else {
            Incomplete::SuspectNode(text)
        }
    }

    /// Its name in quotes, as far as a person reads it.
    fn shown(&self) -> String {
        match self.exe.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}...", quoted(&self.exe[..end])),
            None => quoted(&self.exe),
        }
    }
}
