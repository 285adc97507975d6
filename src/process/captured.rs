// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs that are asked a question: run with a limit, with the start of their output kept.

use std::pin::pin;

use super::finished::{Exit, ProcessEvent};
use super::launcher::Launcher;
use super::spec::{ProcessSpec, StartError};
use crate::abort::{AbortReason, AbortSource};

/// How many lines of output are kept: an answer to `--version`, and warnings of a loader before it.
const LINES_KEPT: usize = 20;

/// What became of such a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Captured {
    /// How the program ended; [`Exit::Aborted`] when the limit was over before.
    pub exit: Exit,
    /// The first lines of its output, at most 20.
    pub lines: Vec<String>,
}

impl Launcher {
    /// Runs a program as [`run`](Self::run) does, and kills it without grace once `limit` is over.
    ///
    /// # Errors
    /// When the program could not be started at all.
    pub(crate) async fn run_within(
        &self,
        spec: &ProcessSpec,
        limit: impl Future<Output = ()>,
    ) -> Result<Captured, StartError> {
        let (source, mut abort) = AbortSource::new();
        let mut lines = Vec::new();
        let mut on_event = |event: ProcessEvent<'_>| match event {
            ProcessEvent::Line(line) if lines.len() < LINES_KEPT => lines.push(line.text.to_owned()),
            ProcessEvent::Line(_)
            | ProcessEvent::Started { .. }
            | ProcessEvent::LeftRunning(_)
            | ProcessEvent::NotFrozen(_) => {}
        };
        let finished = {
            let mut running = pin!(self.run(spec, &mut abort, &mut on_event));
            tokio::select! {
                biased;
                finished = &mut running => finished?,
                () = limit => {
                    source.raise(AbortReason::Force);
                    running.await?
                }
            }
        };
        Ok(Captured {
            exit: finished.exit,
            lines,
        })
    }
}
