// SPDX-License-Identifier: GPL-3.0-or-later

//! What the worker does now, put together of those who know it, for whoever shows it.

use tokio::sync::watch;

use crate::manager::HttpManager;
use crate::pause::PauseWatch;
use crate::process::Launcher;
use crate::snapshot::{Identity, Snapshot};
use crate::spool::Spool;
use crate::warm::WarmBlender;
use crate::worker::{Status, StatusDetails};

/// Those who know what there is to see. Each clone notices changes for itself.
#[derive(Debug, Clone)]
pub(super) struct StatusView<'a> {
    pub(super) status: watch::Receiver<Status>,
    pub(super) spool: Spool,
    pub(super) manager: &'a HttpManager,
    pub(super) launcher: Launcher,
    /// Where it is switched on.
    pub(super) warm: Option<WarmBlender>,
    pub(super) pauses: PauseWatch,
    /// All but its Manager, which may have to be found.
    pub(super) identity: Identity,
}

impl StatusView<'_> {
    /// What there is to see now. Costs next to nothing, and is put together anew each time: nothing of it is kept up to date
    /// while nobody looks.
    pub(super) fn snapshot(&self) -> Snapshot {
        let status = self.status.borrow();
        status.snapshot(StatusDetails {
            identity: Identity {
                manager: self.manager.place().map(|(url, _)| url.to_string()),
                ..self.identity.clone()
            },
            progress: status.task().and_then(|task| self.spool.progress(task)),
            processes_left: self.launcher.survivors(),
            warm_blender: self.warm.as_ref().map(WarmBlender::status),
            pause: self.pauses.now(),
            waiting: self.spool.pending().tasks,
            trouble: self.manager.last_error(),
            since_answer: self.manager.since_last_answer(),
        })
    }

    /// The same, after which [`changed`](Self::changed) waits for what is newer.
    pub(super) fn newest(&mut self) -> Snapshot {
        self.status.mark_unchanged();
        self.snapshot()
    }

    /// Waits until the worker itself goes to another state, or a task begins, ends or is ended. Cancel safe.
    pub(super) async fn changed(&mut self) {
        // A change and its absence are the same here; the worker lives as long as anybody looks.
        self.status.changed().await.ok();
    }
}
