// SPDX-License-Identifier: GPL-3.0-or-later

//! Work on files, in a thread beside the event loop. A network file system can hold any call for minutes.
//!
//! ```text
//! command ── aside(work) ──► thread: work(&Aside) ─ check() between steps: aborted?
//!    log ◄───── lines ──────────┘
//! ```

use std::pin::pin;
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::tools::Stage;
use crate::abort::{Abort, AbortReason};
use crate::outcome::Incomplete;
use crate::report::TaskLog;

/// What work in the thread has of the world outside.
#[derive(Debug)]
pub(super) struct Aside {
    abort: Abort,
    lines: UnboundedSender<String>,
}

/// Why such work ended early. What it had begun is undone by then.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Aborted(AbortReason),
    /// In words for the task's log.
    Failed(String),
}

impl Aside {
    pub(super) fn new(abort: Abort, lines: UnboundedSender<String>) -> Self {
        Self { abort, lines }
    }

    /// One line for the task's log.
    pub(super) fn say(&self, line: String) {
        // Nobody listens only after an abort that was not noticed in time; then nothing is to be said.
        let _unheard = self.lines.send(line);
    }

    /// To be asked before each step that takes time or cannot be undone.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        match self.abort.reason() {
            Some(reason) => Err(Trouble::Aborted(reason)),
            None => Ok(()),
        }
    }
}

/// Does `work` in a thread. After an abort it has the patience of [`Tools`](super::Tools) to notice; a call
/// that hangs longer than that, or a second abort, leaves the thread behind, which stops at its next step.
pub(super) async fn aside<T: Send + 'static>(
    stage: &mut Stage<'_>,
    work: impl FnOnce(&Aside) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Incomplete> {
    let (sender, lines) = unbounded_channel();
    let inside = Aside::new(stage.abort.clone(), sender);
    let thread = spawn_blocking(move || work(&inside));
    let ended = {
        let mut ended = pin!(listen(thread, lines, stage.voice));
        tokio::select! {
            biased;
            ended = &mut ended => Ok(ended),
            reason = stage.abort.raised() => tokio::select! {
                biased;
                ended = &mut ended => Ok(ended),
                () = out_of_patience(stage.abort, &reason, stage.tools.patience) => Err(reason),
            },
        }
    };
    match ended {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(Trouble::Aborted(reason)))) => Err(Incomplete::Aborted(reason)),
        Ok(Ok(Err(Trouble::Failed(why)))) => Err(Incomplete::Failed(why)),
        Ok(Err(broken)) => Err(Incomplete::Failed(format!("a fault in the worker: {broken}"))),
        Err(reason) => {
            stage
                .voice
                .line("the file system does not answer; its work is left behind and will be undone when it does");
            Err(Incomplete::Aborted(reason))
        }
    }
}

/// Waits for the thread, and passes its lines on.
async fn listen<T>(
    mut thread: JoinHandle<T>,
    mut lines: UnboundedReceiver<String>,
    voice: &mut dyn TaskLog,
) -> Result<T, JoinError> {
    let ended = loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => voice.line(&line),
            ended = &mut thread => break ended,
        }
    };
    while let Ok(line) = lines.try_recv() {
        voice.line(&line);
    }
    ended
}

async fn out_of_patience(abort: &mut Abort, first: &AbortReason, patience: Duration) {
    tokio::select! {
        () = sleep(patience) => {}
        _greater = abort.raised_above(first.rank()) => {}
    }
}

/// What the system said, without the number: `No such file or directory (ENOENT)`.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => format!("{} ({errno:?})", errno.desc()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::abort::AbortSource;
    use crate::command::tests::{Said, Scene};

    #[tokio::test]
    async fn lines_come_in_order_and_before_the_end() {
        let mut said = Said::default();
        let mut scene = Scene::new(&mut said);
        let ended = aside(&mut scene.stage(), |aside| {
            aside.say("one".into());
            aside.say("two".into());
            Ok(3)
        })
        .await;
        assert_eq!(
            (ended, said.lines.as_slice()),
            (Ok(3), &["one".to_owned(), "two".to_owned()][..])
        );
    }

    #[tokio::test]
    async fn work_that_finishes_in_spite_of_an_abort_is_done() {
        let mut said = Said::default();
        let mut scene = Scene::new(&mut said);
        scene.source.raise(AbortReason::Shutdown);
        assert_eq!(aside(&mut scene.stage(), |_| Ok(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_hold_the_task_and_stops_later() {
        let (source, abort) = AbortSource::new();
        let (unhang, hung) = channel();
        let (tell, told) = channel();
        let mut said = Said::default();
        let mut scene = Scene::new(&mut said);
        scene.abort = abort;
        source.raise(AbortReason::Reassigned);
        let ended = aside(&mut scene.stage(), move |aside| {
            let _released = hung.recv();
            let seen = aside.check();
            let _told = tell.send(seen == Err(Trouble::Aborted(AbortReason::Reassigned)));
            Ok(())
        })
        .await;
        assert_eq!(ended, Err(Incomplete::Aborted(AbortReason::Reassigned)));
        assert!(
            said.lines[0].starts_with("the file system does not answer"),
            "{:?}",
            said.lines
        );
        drop(source);
        unhang.send(()).unwrap();
        assert!(told.recv().unwrap(), "the work left behind did not see the abort");
    }
}
