// SPDX-License-Identifier: GPL-3.0-or-later

//! A program that is kept between the tasks it works for, below a guard of its own like any other.
//!
//! ```text
//! start_kept ─► attend (until it is ready) ─► settle ─► attend (one piece of work) ─► end_new ─► attend ... ─► end
//!                  └─ it is over: Finished        what it has started since `settle` is the task's, and goes with it
//! ```
//!
//! What is said to it goes over its [`channel`](super::channel). Dropped, its guard ends it at once.

use std::collections::HashSet;
use std::future::pending;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::finished::{Finished, ProcessEvent};
use super::kill::{self, KillOutcome};
use super::launcher::Launcher;
use super::process_run::ProcessRun;
use super::procfs::{ProcessStat, descendants, forget_peak, memory};
use super::spec::{ProcessSpec, StartError};
use super::stray::{Stray, Strays};
use crate::abort::{Abort, AbortReason, AbortSource};

/// Between two looks at processes that were killed.
const PAUSE: Duration = Duration::from_millis(2);

/// A program that is kept, and its guard.
#[derive(Debug)]
pub(crate) struct KeptProgram {
    run: ProcessRun,
    launcher: Launcher,
    /// The processes of its own, by pid and start.
    own: HashSet<(i32, u64)>,
}

/// What an [`attend`](KeptProgram::attend) came to.
#[derive(Debug)]
pub(crate) enum Attended<T> {
    /// The work is done, and the program goes on.
    Done(T),
    /// The program is over, and nothing of it is left.
    Over(Result<Finished, StartError>),
}

impl Launcher {
    /// Starts a program that is to be kept, with its end of a channel. It is attended to by
    /// [`attend`](KeptProgram::attend) alone, which also tells whether it could be started.
    ///
    /// # Errors
    /// When no guard could be started, or it is not to be run any more.
    pub(crate) async fn start_kept(
        &self,
        spec: &ProcessSpec,
        channel: BorrowedFd<'_>,
        abort: &mut Abort,
    ) -> Result<KeptProgram, StartError> {
        Ok(KeptProgram {
            run: self.begin_kept(spec, channel, abort).await?,
            launcher: self.clone(),
            own: HashSet::new(),
        })
    }
}

impl KeptProgram {
    /// Attends to the program until `work` is done. An abort ends the program, as it does that of a [`Launcher::run`].
    pub(crate) async fn attend<T>(
        &mut self,
        work: impl Future<Output = T>,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Attended<T> {
        match self.run.run_beside(work, abort, on_event).await {
            Some(done) => Attended::Done(done),
            None => {
                let end = self.run.conclude(abort).await;
                Attended::Over(end.map(|finished| self.launcher.with_escaped(finished)))
            }
        }
    }

    /// Takes every process that it has now for its own.
    pub(crate) fn settle(&mut self) {
        self.own = self.processes().iter().map(|stat| (stat.pid, stat.start)).collect();
    }

    /// Ends what it has started since [`settle`](Self::settle), and waits up to `limit` until that is gone.
    pub(crate) async fn end_new(&self, limit: Duration) -> Strays {
        let deadline = Instant::now() + limit;
        let mut ended: Vec<Stray> = Vec::new();
        loop {
            let new = self
                .processes()
                .into_iter()
                .filter(|stat| !self.own.contains(&(stat.pid, stat.start)));
            let alive = |stat: &ProcessStat| kill::process_that_began(stat.pid, stat.start) != KillOutcome::Gone;
            let left: Vec<Stray> = new.filter(alive).map(|stat| Stray::from(&stat)).collect();
            for stray in &left {
                if !ended.contains(stray) {
                    ended.push(stray.clone());
                }
            }
            if left.is_empty() || Instant::now() >= deadline {
                ended.retain(|stray| !left.contains(stray));
                return Strays {
                    ended,
                    unkillable: left,
                };
            }
            sleep(PAUSE).await;
        }
    }

    /// The bytes of memory that all of it has resident, and the most since [`forget_peak`](Self::forget_peak). What several of
    /// its processes share counts for each.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let each = self.processes().into_iter().map(|stat| memory(stat.pid));
        each.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// The most memory counts from now on.
    pub(crate) fn forget_peak(&self) {
        self.processes().iter().for_each(|stat| forget_peak(stat.pid));
    }

    /// The processor time of all of it so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let ticks: u64 = self
            .processes()
            .iter()
            .map(|stat| stat.ticks + stat.childrens_ticks)
            .sum();
        Duration::from_millis(ticks.saturating_mul(10))
    }

    /// How long it has stood still so far.
    pub(crate) fn frozen(&self) -> Duration {
        self.run.frozen()
    }

    /// Ends it without grace, and sees it gone.
    ///
    /// # Errors
    /// When it had not begun.
    pub(crate) async fn end(&mut self, on_event: &mut dyn FnMut(ProcessEvent<'_>)) -> Result<Finished, StartError> {
        let (source, mut abort) = AbortSource::new();
        source.raise(AbortReason::Force);
        match self.attend(pending::<()>(), &mut abort, on_event).await {
            Attended::Over(end) => end,
            Attended::Done(()) => Err(StartError::Aborted(AbortReason::Force)),
        }
    }

    fn processes(&self) -> Vec<ProcessStat> {
        descendants(self.run.guard())
    }
}
