// SPDX-License-Identifier: GPL-3.0-or-later

//! Runs a command's work on files in a thread beside the event loop, because a network file system can hold any call for
//! minutes.
//!
//! ```text
//! command ── run_file_work(work) ──► thread: work(&FileWork) ─ check() between steps: aborted?
//!    log ◄────────── lines ─────────────┘                                   paused: waits
//! ```

use std::io;
use std::pin::pin;
use std::time::Duration;

use nix::errno::Errno;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::admission::DeniedWatch;
use super::context::CommandContext;
use crate::abort::{Abort, AbortReason};
use crate::outcome::{Incomplete, RequeueReason};
use crate::report::TaskLog;
use crate::sandbox::{HeldError, run_held};

/// What work in the thread can see and do beside its files.
#[derive(Debug)]
pub(super) struct FileWork {
    abort: Abort,
    lines: UnboundedSender<String>,
}

/// Why work on files ended early. What it had begun is undone by then.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileWorkError {
    Aborted(AbortReason),
    /// The text is for the task's log.
    Failed(String),
}

impl FileWork {
    pub(super) fn new(abort: Abort, lines: UnboundedSender<String>) -> Self {
        Self { abort, lines }
    }

    /// Writes one line into the task's log.
    pub(super) fn log(&self, line: String) {
        // The receiver is gone only after an abort that was not noticed in time; the line is not wanted then.
        self.lines.send(line).ok();
    }

    /// To be called before each step that takes time or cannot be undone, in the thread of the work. While the task is to
    /// stand still it does not return.
    ///
    /// # Errors
    /// Returns the reason of an abort.
    pub(super) fn check(&self) -> Result<(), FileWorkError> {
        if self.abort.is_paused() {
            Handle::current().block_on(self.abort.pause_other_than(true));
        }
        match self.abort.reason() {
            Some(reason) => Err(FileWorkError::Aborted(reason)),
            None => Ok(()),
        }
    }
}

/// Runs `work` in a thread. After an abort the work has as long as the tools' `patience` to notice it. A call that hangs
/// longer than that, or a second abort, leaves the thread behind, which stops at its next step.
pub(super) async fn run_file_work<T: Send + 'static>(
    context: &mut CommandContext<'_>,
    work: impl FnOnce(&FileWork) -> Result<T, FileWorkError> + Send + 'static,
) -> Result<T, Incomplete> {
    let (sender, lines) = unbounded_channel();
    let inside = FileWork::new(context.abort.clone(), sender);
    let thread = run_held(context.held(), move || work(&inside));
    let ended = {
        let mut ended = pin!(join_and_log(thread, lines, context.log));
        tokio::select! {
            biased;
            ended = &mut ended => Ok(ended),
            reason = context.abort.raised() => tokio::select! {
                biased;
                ended = &mut ended => Ok(ended),
                () = out_of_patience(context.abort, &reason, context.tools.patience) => Err(reason),
            },
        }
    };
    match ended {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(FileWorkError::Aborted(reason)))) => Err(Incomplete::Aborted(reason)),
        Ok(Ok(Err(FileWorkError::Failed(why)))) => {
            let mut denied = DeniedWatch::new(context);
            denied.look(why.as_bytes());
            denied.remind(context);
            Err(denied.explain(Incomplete::Failed(why)))
        }
        Ok(Err(HeldError::Thread(error))) => Err(Incomplete::Requeued(RequeueReason::CannotStart(error.to_string()))),
        Ok(Err(error @ HeldError::NotHeld(_))) => Err(Incomplete::Failed(error.to_string())),
        Err(reason) => {
            context
                .log
                .line("the file system does not answer; its work is left behind and will be undone when it does");
            Err(Incomplete::Aborted(reason))
        }
    }
}

/// Waits for the thread, and passes its lines on.
async fn join_and_log<T>(
    thread: impl Future<Output = Result<T, HeldError>>,
    mut lines: UnboundedReceiver<String>,
    log: &mut dyn TaskLog,
) -> Result<T, HeldError> {
    let mut thread = pin!(thread);
    let ended = loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => log.line(&line),
            ended = &mut thread => break ended,
        }
    };
    while let Ok(line) = lines.try_recv() {
        log.line(&line);
    }
    ended
}

async fn out_of_patience(abort: &mut Abort, first: &AbortReason, patience: Duration) {
    tokio::select! {
        () = sleep(patience) => {}
        _greater = abort.raised_above(first.rank()) => {}
    }
}

/// What the system reported, without the number: `No such file or directory (ENOENT)`.
pub(super) fn error_text(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => format!("{} ({errno:?})", errno.desc()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::time::timeout;

    use super::*;
    use crate::abort::AbortSource;
    use crate::command::tests::{RecordingLog, TestCommand};

    #[tokio::test]
    async fn lines_come_in_order_and_before_the_end() {
        let mut log = RecordingLog::default();
        let mut test = TestCommand::new(&mut log);
        let ended = run_file_work(&mut test.context(), |work| {
            work.log("one".into());
            work.log("two".into());
            Ok(3)
        })
        .await;
        assert_eq!(
            (ended, log.lines.as_slice()),
            (Ok(3), &["one".to_owned(), "two".to_owned()][..])
        );
    }

    #[tokio::test]
    async fn work_that_finishes_in_spite_of_an_abort_is_done() {
        let mut log = RecordingLog::default();
        let mut test = TestCommand::new(&mut log);
        test.source.raise(AbortReason::Shutdown);
        assert_eq!(run_file_work(&mut test.context(), |_| Ok(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn m2_work_on_files_stands_still_between_two_steps_until_it_goes_on_or_is_to_end() {
        let ways: [fn(&AbortSource); 2] = [
            |source| source.pause(false),
            |source| source.raise(AbortReason::Reassigned),
        ];
        let expected = [Ok(()), Err(Incomplete::Aborted(AbortReason::Reassigned))];
        for (go_on, expected) in ways.into_iter().zip(expected) {
            let (tell, mut told) = unbounded_channel();
            let mut log = RecordingLog::default();
            let mut test = TestCommand::new(&mut log);
            let (source, abort) = AbortSource::new();
            test.abort = abort;
            source.pause(true);
            let mut context = test.context();
            let mut working = pin!(run_file_work(&mut context, move |work| {
                tell.send("begun").unwrap();
                let checked = work.check();
                tell.send("went on").unwrap();
                checked
            }));
            tokio::select! {
                ended = &mut working => panic!("{ended:?}"),
                begun = told.recv() => assert_eq!(begun, Some("begun")),
            }
            let still = timeout(Duration::from_millis(50), &mut working).await;
            assert!(still.is_err() && told.try_recv().is_err(), "{still:?}");
            go_on(&source);
            assert_eq!(working.await, expected);
        }
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_the_task_and_stops_later() {
        let (source, abort) = AbortSource::new();
        let (unhang, hung) = channel();
        let (tell, told) = channel();
        let mut log = RecordingLog::default();
        let mut test = TestCommand::new(&mut log);
        test.abort = abort;
        source.raise(AbortReason::Reassigned);
        let ended = run_file_work(&mut test.context(), move |work| {
            let _released = hung.recv();
            let seen = work.check();
            let _told = tell.send(seen == Err(FileWorkError::Aborted(AbortReason::Reassigned)));
            Ok(())
        })
        .await;
        assert_eq!(ended, Err(Incomplete::Aborted(AbortReason::Reassigned)));
        assert!(
            log.lines[0].starts_with("the file system does not answer"),
            "{:?}",
            log.lines
        );
        drop(source);
        unhang.send(()).unwrap();
        assert!(told.recv().unwrap(), "the work left behind did not see the abort");
    }
}
