// SPDX-License-Identifier: GPL-3.0-or-later

//! Tasks whose worker was killed. One whose program had ended by then is over, if that end alone decides it.

use std::time::Duration;

use tracing::warn;

use crate::command::{conclude, end_summary};
use crate::outcome::Incomplete;
use crate::report::OrphanedRunEnd;
use crate::spool::Spool;

/// Gives each run that ended with its worker the outcome that its program's end has for it; the others are counted. For
/// the start, when nothing of them runs any more and before a task can be given out again.
pub(crate) async fn settle(spool: &Spool) {
    for run in spool.orphaned_runs() {
        let end = OrphanedRunEnd::read(&run).await;
        let judged = end.and_then(|end| Some((verdict(&end)?, end)));
        let Some((failure, end)) = judged else {
            spool.count_orphaned(&run);
            continue;
        };
        let how = end_summary(end.finished());
        warn!(
            task = run.task.as_str(),
            "the last run was killed when the program of this task had ended: {how}"
        );
        end.settle(spool, failure.as_deref(), &how);
    }
}

/// Why the task has failed, or that it has not; `None` where commands would have followed, or nothing can be said.
fn verdict(end: &OrphanedRunEnd) -> Option<Option<String>> {
    match conclude(end.finished().clone(), Duration::ZERO) {
        Ok(()) => end.is_last().then_some(None),
        Err(Incomplete::Failed(why) | Incomplete::SuspectNode(why)) => Some(Some(why)),
        Err(Incomplete::Aborted(_) | Incomplete::Requeued(_)) => None,
    }
}
