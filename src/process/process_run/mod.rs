// SPDX-License-Identifier: GPL-3.0-or-later

//! One run of a program, seen from the worker: the conversation with its guard.
//!
//! ```text
//! abort, guard (GuardLink), output (OutputReader), clocks ─► RunEvent ─► handle ─► GuardCommand?
//! ```
//!
//! The wait prefers the abort to everything and output to nothing, and between two events everybody else in the event
//! loop has a turn: a flood of output delays neither.

mod deadlines;
mod guard_link;
mod handed;
mod output_reader;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::pin;

use nix::errno::Errno;
use tokio::time::{Instant, timeout};

use self::deadlines::Deadlines;
pub(super) use self::deadlines::RunLimits;
pub(super) use self::guard_link::GuardLink;
use self::guard_link::{GuardLife, LinkEvent};
pub(crate) use self::handed::HandedRun;
pub(super) use self::output_reader::OutputReader;
use super::exit_report::ExitReport;
use super::finished::{Exit, Finished, ProcessEvent, Usage};
use super::messages::{FinalMessage, GuardCommand, GuardMessage};
use super::spec::StartError;
use super::wait_status::{exit_of, seems_asked_to_end};
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
            deadlines: Deadlines::new(limits),
            is_noted,
        }
    }

    /// See [`Launcher::run_noted`](super::Launcher::run_noted). `request` is the frame that tells the guard what to run.
    ///
    /// # Errors
    /// When the program could not be started.
    pub(super) async fn run(
        &mut self,
        request: &[u8],
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        self.begin(request, abort).await?;
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

    /// Tells the guard what to run.
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
        let is_heard = self.started.is_some() || self.report.is_final() || self.guard.has_ended();
        tokio::select! {
            biased;
            reason = abort.raised_above(rank) => RunEvent::Aborted(reason),
            event = self.guard.next_event() => RunEvent::Guard(event),
            () = until(progress), if progress.is_some() => RunEvent::ProgressDue,
            count = self.output.read(), if is_heard && self.output.is_open() => RunEvent::Output(count),
            () = until(due), if due.is_some() => RunEvent::TooLate,
        }
    }

    fn handle(&mut self, event: RunEvent, on_event: &mut dyn FnMut(ProcessEvent<'_>)) -> Option<GuardCommand> {
        match event {
            RunEvent::Aborted(reason) => return self.abort(reason),
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
                on_event(ProcessEvent::Started { pid });
            }
            GuardMessage::CommandReceived => self.deadlines.answered(),
            GuardMessage::Exited(report) => self.report = Report::Exited(report),
            GuardMessage::LeftRunning(strays) => on_event(ProcessEvent::LeftRunning(&strays)),
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

    /// What became of the program, once the run is over.
    ///
    /// # Errors
    /// When the program could not be started.
    pub(super) async fn conclude(&self, abort: &mut Abort) -> Result<Finished, StartError> {
        let (report, is_complete) = match &self.report {
            Report::Final(FinalMessage::NotForked { errno }) => {
                return Err(StartError::Guard(io::Error::from_raw_os_error(*errno)));
            }
            Report::Final(FinalMessage::NotStarted { errno }) => return Err(StartError::Exec(Errno::from_raw(*errno))),
            Report::Final(FinalMessage::NotOnPath) => return Err(StartError::NotOnPath),
            Report::Final(FinalMessage::Ended(report)) => (Some(report), true),
            // What still held the output may have been the better part of the program.
            Report::Exited(report) => (Some(report).filter(|report| !report.output_held), false),
            Report::Pending => (None, false),
        };
        let Some(started) = self.started else {
            return Err(match &self.reason {
                Some(reason) => StartError::Aborted(reason.clone()),
                None => StartError::Guard(io::Error::other("it died before the program ran")),
            });
        };
        let Some(report) = report else {
            return Ok(self.lost(started));
        };
        let exit = self.exit(report, abort).await;
        let mut finished = report.clone().into_finished(started.pid, exit);
        if !is_complete {
            // The guard died over what the program left, which the worker has ended since.
            finished.strays = self.guard.strays();
        }
        finished.output_held |= self.output.is_held();
        Ok(finished)
    }

    /// A program that was asked to end and did is aborted, whatever it says itself. One that seems to have been asked by
    /// another waits a moment for our own reason: a service manager that ends a whole control group may reach the
    /// program before us.
    async fn exit(&self, report: &ExitReport, abort: &mut Abort) -> Exit {
        if let (true, Some(reason)) = (report.asked, &self.reason) {
            return Exit::Aborted(reason.clone());
        }
        let Some(status) = report.status else { return Exit::Lost };
        if seems_asked_to_end(status)
            && let Ok(reason) = timeout(self.deadlines.limits.foreign_signal, abort.raised()).await
        {
            return Exit::Aborted(reason);
        }
        exit_of(status, report.oom)
    }

    /// What can be said of a program whose guard died without a report.
    fn lost(&self, started: Started) -> Finished {
        Finished {
            pid: started.pid,
            exit: self.reason.clone().map_or(Exit::Lost, Exit::Aborted),
            usage: Usage {
                wall: started.at.elapsed(),
                ..Usage::default()
            },
            strays: self.guard.strays(),
            output_held: self.output.is_held(),
            writing: Vec::new(),
        }
    }
}
