// SPDX-License-Identifier: GPL-3.0-or-later

//! What a run that is over came to.

use std::io;

use nix::errno::Errno;
use tokio::time::timeout;

use super::{ProcessRun, Report, Started};
use crate::abort::Abort;
use crate::process::exit_report::ExitReport;
use crate::process::finished::{Exit, Finished, Usage};
use crate::process::messages::FinalMessage;
use crate::process::spec::StartError;
use crate::process::wait_status::{exit_of, seems_asked_to_end};

impl ProcessRun {
    /// What became of the program, once the run is over.
    ///
    /// # Errors
    /// When the program could not be started.
    pub(in crate::process) async fn conclude(&self, abort: &mut Abort) -> Result<Finished, StartError> {
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
                wall: started.at.elapsed().saturating_sub(self.clock.frozen()),
                frozen: self.clock.frozen(),
                ..Usage::default()
            },
            strays: self.guard.strays(),
            output_held: self.output.is_held(),
            writing: Vec::new(),
        }
    }
}
