// SPDX-License-Identifier: GPL-3.0-or-later

//! One run of a program, seen from the worker: the conversation with its guard.
//!
//! ```text
//! abort, pause, guard (GuardLink), output (OutputReader), clocks ─► RunEvent ─► handle ─► GuardCommand?
//! ```
//!
//! The wait prefers the abort to everything and output to nothing, and between two events everybody else in the event
//! loop has a turn: a flood of output delays neither.

mod conclusion;
mod deadlines;
mod guard_link;
mod handed;
mod output_reader;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use self::deadlines::Deadlines;
pub(super) use self::deadlines::RunLimits;
pub(super) use self::guard_link::GuardLink;
use self::guard_link::{GuardLife, LinkEvent};
pub(crate) use self::handed::HandedRun;
pub(super) use self::output_reader::OutputReader;
use super::exit_report::ExitReport;
use super::finished::{Finished, ProcessEvent};
use super::messages::{FinalMessage, GuardCommand, GuardMessage};
use super::run_clock::RunClock;
use super::spec::StartError;
use crate::abort::{Abort, AbortReason};
use crate::timings::until;

/// A program and its guard, from the guard's start to its end.
#[derive(Debug)]
pub(super) struct ProcessRun {
    guard: GuardLink,
    output: OutputReader,
    started: Option<Started>,
    report: Report,
    /// The greatest reason to stop that was seen.
    reason: Option<AbortReason>,
    /// It stands still while the guard was told that its program is to.
    clock: RunClock,
    deadlines: Deadlines,
    /// The guard has an [`EndNote`](super::EndNote), and stays after its last message.
    is_noted: bool,
}

/// Where a run stands when it is not attended to any more.
#[derive(Debug)]
pub(super) enum RunPause {
    Over(Finished),
    /// It goes on; a successor is to attend to it.
    ToHandOver,
}

/// A program that runs, or ran.
#[derive(Debug, Clone, Copy)]
struct Started {
    pid: i32,
    at: Instant,
}

/// What the guard has told of the program's end.
#[derive(Debug)]
enum Report {
    /// Nothing yet.
    Pending,
    /// The program has ended; its guard still sees to what it left.
    Exited(ExitReport),
    /// All there is to tell.
    Final(FinalMessage),
}

/// What a run waits for.
#[derive(Debug)]
enum RunEvent {
    Aborted(AbortReason),
    /// The program is to stand still, or to go on.
    Paused(bool),
    Guard(LinkEvent),
    /// So many bytes; none at the end.
    Output(usize),
    ProgressDue,
    TooLate,
}

impl Report {
    /// Whether nothing is left of the program.
    fn is_complete(&self) -> bool {
        matches!(self, Self::Final(FinalMessage::Ended(report)) if report.strays.unkillable.is_empty())
    }

    /// Whether the guard stays with what it cannot kill.
    fn is_hopeless(&self) -> bool {
        matches!(self, Self::Final(FinalMessage::Ended(report)) if !report.strays.unkillable.is_empty())
    }

    fn is_final(&self) -> bool {
        matches!(self, Self::Final(_))
    }
}

impl ProcessRun {
    /// `is_noted`: the guard has an [`EndNote`](super::EndNote).
    pub(super) fn new(guard: GuardLink, output: OutputReader, is_noted: bool, limits: RunLimits) -> Self {
        Self {
            guard,
            output,
            started: None,
            report: Report::Pending,
            reason: None,
            clock: RunClock::default(),
            deadlines: Deadlines::new(limits),
            is_noted,
        }
    }

    /// Sees a run that has begun through to its end: see [`Launcher::run`](super::Launcher::run).
    ///
    /// # Errors
    /// When the program could not be started.
    pub(super) async fn run(
        &mut self,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        match self.run_beside(pending::<Infallible>(), abort, on_event).await {
            Some(never) => match never {},
            None => self.conclude(abort).await,
        }
    }

    /// Sees a run that has begun through to its end, or to where a successor is to go on with it.
    ///
    /// # Errors
    /// When the program could not be started.
    pub(super) async fn run_or_hand_over(
        &mut self,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<RunPause, StartError> {
        let mut wish = pin!(abort.to_hand_over());
        while !self.is_over() {
            let event = tokio::select! {
                biased;
                () = &mut wish, if self.can_be_handed_over() => return Ok(RunPause::ToHandOver),
                event = self.next(abort) => event,
            };
            self.attend(event, on_event).await;
        }
        self.conclude(abort).await.map(RunPause::Over)
    }

    /// Tells the guard what to run: `request` is the frame that says it.
    ///
    /// # Errors
    /// When it is not to be run any more.
    pub(super) async fn begin(&mut self, request: &[u8], abort: &mut Abort) -> Result<(), StartError> {
        tokio::select! {
            biased;
            // The guard has not been told what to run, and never will.
            reason = abort.raised() => Err(StartError::Aborted(reason)),
            () = self.guard.send_request(request) => Ok(()),
        }
    }

    /// Attends to the run until `work` is done; `None`: the run is over before. A flood of output does not keep `work` from
    /// its end.
    pub(super) async fn run_beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Option<T> {
        let mut work = pin!(work);
        while !self.is_over() {
            let event = tokio::select! {
                biased;
                done = &mut work => return Some(done),
                event = self.next(abort) => event,
            };
            self.attend(event, on_event).await;
        }
        None
    }

    async fn attend(&mut self, event: RunEvent, on_event: &mut dyn FnMut(ProcessEvent<'_>)) {
        if let Some(command) = self.handle(event, on_event) {
            self.guard.send(command).await;
        }
        tokio::task::yield_now().await;
    }

    /// The guard's pid.
    pub(super) fn guard(&self) -> i32 {
        self.guard.pid()
    }

    /// The guard, if it waits to be told that the end it reported is on disk.
    pub(super) fn waiting_guard(&self) -> Option<i32> {
        let lives = match self.guard.life() {
            GuardLife::Alive | GuardLife::GivenUp => true,
            GuardLife::Abandoned | GuardLife::Ended(_) => false,
        };
        (self.is_noted && self.report.is_complete() && lives).then(|| self.guard.pid())
    }

    /// Lets go of a guard that waits, and sees it leave.
    pub(super) async fn release(self) {
        self.guard.release(self.deadlines.limits.guard_silence).await;
    }

    /// The guard is gone, or stays with what it cannot kill; and nothing more is to be heard.
    fn is_over(&self) -> bool {
        let guard_is_done =
            self.guard.is_gone() || self.report.is_hopeless() || (self.is_noted && self.report.is_complete());
        guard_is_done && !self.output.is_open()
    }

    async fn next(&mut self, abort: &mut Abort) -> RunEvent {
        let rank = self.reason.as_ref().map_or(0, AbortReason::rank);
        let progress = self.output.progress_due();
        let due = self.deadlines.next();
        let pause = abort.pause_other_than(self.clock.is_stopped());
        let has_guard = !self.report.is_final() && matches!(self.guard.life(), GuardLife::Alive);
        let is_heard = self.started.is_some() || self.report.is_final() || self.guard.has_ended();
        tokio::select! {
            biased;
            reason = abort.raised_above(rank) => RunEvent::Aborted(reason),
            is_paused = pause, if has_guard => RunEvent::Paused(is_paused),
            event = self.guard.next_event() => RunEvent::Guard(event),
            () = until(progress), if progress.is_some() => RunEvent::ProgressDue,
            count = self.output.read(), if is_heard && self.output.is_open() => RunEvent::Output(count),
            () = until(due), if due.is_some() => RunEvent::TooLate,
        }
    }

    fn handle(&mut self, event: RunEvent, on_event: &mut dyn FnMut(ProcessEvent<'_>)) -> Option<GuardCommand> {
        match event {
            RunEvent::Aborted(reason) => return self.abort(reason),
            RunEvent::Paused(is_paused) => return Some(self.pause(is_paused)),
            RunEvent::Guard(LinkEvent::Message(message)) => self.accept(message, on_event),
            RunEvent::Guard(LinkEvent::Closed) => self.guard.close(),
            RunEvent::Guard(LinkEvent::Ended(end)) => {
                self.guard.ended(end);
                self.expect_last_output();
            }
            RunEvent::Output(count) => self
                .output
                .accept(count, &mut |line| on_event(ProcessEvent::Line(line))),
            RunEvent::ProgressDue => self
                .output
                .show_progress(&mut |line| on_event(ProcessEvent::Line(line))),
            RunEvent::TooLate => self.give_up(on_event),
        }
        None
    }

    fn accept(&mut self, message: GuardMessage, on_event: &mut dyn FnMut(ProcessEvent<'_>)) {
        match message {
            GuardMessage::Started { pid } => {
                let at = Instant::now();
                self.started = Some(Started { pid, at });
                // It is frozen from here on, if at all.
                self.clock = RunClock::new(Duration::ZERO, self.clock.is_stopped());
                on_event(ProcessEvent::Started { pid });
            }
            GuardMessage::CommandReceived => self.deadlines.answered(),
            GuardMessage::Exited(report) => self.report = Report::Exited(report),
            GuardMessage::LeftRunning(strays) => on_event(ProcessEvent::LeftRunning(&strays)),
            GuardMessage::NotFrozen(strays) => on_event(ProcessEvent::NotFrozen(&strays)),
            GuardMessage::Final(message) => {
                self.report = Report::Final(message);
                self.expect_last_output();
            }
        }
    }

    fn abort(&mut self, reason: AbortReason) -> Option<GuardCommand> {
        let is_first = self.reason.is_none();
        let is_stop = reason.is_stop();
        let command = match &reason {
            AbortReason::Force => GuardCommand::Kill,
            AbortReason::StateChange
            | AbortReason::Paused(_)
            | AbortReason::PausedTooLong(_)
            | AbortReason::ManagerStopped(_)
            | AbortReason::Alone(_)
            | AbortReason::Reassigned
            | AbortReason::Shutdown => GuardCommand::Terminate,
        };
        self.reason = Some(reason);
        // Either command lets go on what was frozen.
        self.clock.go_on();
        if self.report.is_final() {
            return None;
        }
        let is_forced = command == GuardCommand::Kill;
        self.deadlines.expect_end(is_forced, is_stop);
        // Otherwise the kill sequence has begun already.
        (is_first || is_forced).then(|| {
            self.deadlines.expect_answer();
            command
        })
    }

    fn pause(&mut self, is_paused: bool) -> GuardCommand {
        self.deadlines.expect_answer();
        if is_paused {
            self.clock.stop();
            GuardCommand::Freeze
        } else {
            self.clock.go_on();
            GuardCommand::Thaw
        }
    }

    /// How long it has stood still so far.
    pub(super) fn frozen(&self) -> Duration {
        self.clock.frozen()
    }

    fn expect_last_output(&mut self) {
        self.output.drain();
        self.deadlines.expect_last_output();
    }

    /// Gives up what was waited for too long: the output, the guard's answer, or its end.
    fn give_up(&mut self, on_event: &mut dyn FnMut(ProcessEvent<'_>)) {
        self.deadlines.clear();
        let was_given_up = matches!(self.guard.life(), GuardLife::GivenUp);
        if self.output.is_draining() || (self.output.is_open() && was_given_up) {
            self.output.close_held(&mut |line| on_event(ProcessEvent::Line(line)));
        }
        match self.guard.life() {
            // The socket is open only if another process has got hold of it.
            GuardLife::Ended(_) => self.guard.close(),
            GuardLife::GivenUp => self.guard.abandon(),
            GuardLife::Abandoned => {}
            GuardLife::Alive if self.report.is_hopeless() => {}
            GuardLife::Alive => {
                tracing::warn!(
                    pid = self.guard.pid(),
                    "a guard does not answer; ending it and its program"
                );
                self.guard.give_up();
                let is_stop = self.reason.as_ref().is_some_and(AbortReason::is_stop);
                self.deadlines.expect_guard_end(is_stop);
            }
        }
    }
}
