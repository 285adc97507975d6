// SPDX-License-Identifier: GPL-3.0-or-later

//! Reports to systemd what the worker does, at most once a second.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::manager::HttpManager;
use crate::spool::Spool;
use crate::systemd::Systemd;
use crate::worker::{Status, StatusDetails};

/// Shortest time between two reports.
const SHORTEST: Duration = Duration::from_secs(1);

/// Longest time between two reports without a task. Little changes then by itself: the minutes since the last task, what
/// waits to be sent, whether the Manager answers.
const IDLE: Duration = Duration::from_secs(10);

/// Those who know what there is to report.
pub(super) struct StatusReporter<'a> {
    pub(super) systemd: &'a Systemd,
    pub(super) status: watch::Receiver<Status>,
    pub(super) spool: Spool,
    pub(super) manager: &'a HttpManager,
    /// [`Timings::watchdog_contact`](crate::timings::Timings::watchdog_contact).
    pub(super) longest_silence: Duration,
}

impl StatusReporter<'_> {
    /// Reports for as long as it is polled.
    pub(super) async fn run(mut self) -> Infallible {
        if !self.systemd.listens() {
            return pending().await;
        }
        loop {
            let busy = self.report();
            sleep(SHORTEST).await;
            if !busy {
                // A change and its absence are followed by the same; the worker lives as long as this runs.
                timeout(IDLE, self.status.changed()).await.ok();
            }
        }
    }

    /// Reports once. Returns whether there may soon be more to report.
    fn report(&mut self) -> bool {
        let status = self.status.borrow_and_update();
        let task = status.task();
        let details = StatusDetails {
            progress: task.and_then(|task| self.spool.progress(task)),
            waiting: self.spool.pending().tasks,
            trouble: self.manager.last_error(),
        };
        self.systemd.status(&status.line(&details));
        let silence = self.manager.since_last_answer().unwrap_or_default();
        self.systemd.withhold_heartbeat(silence > self.longest_silence);
        task.is_some() || details.trouble.is_some()
    }
}
