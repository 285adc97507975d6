// SPDX-License-Identifier: GPL-3.0-or-later

//! Reports to systemd what the worker does, at most once a second.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::status_view::StatusView;
use crate::systemd::Systemd;

/// Shortest time between two reports.
const SHORTEST: Duration = Duration::from_secs(1);

/// Longest time between two reports without a task. Little changes then by itself: the minutes since the last task, what
/// waits to be sent, whether the Manager answers.
const IDLE: Duration = Duration::from_secs(10);

/// Reports what there is to see.
pub(super) struct StatusReporter<'a> {
    pub(super) systemd: &'a Systemd,
    pub(super) view: StatusView<'a>,
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
                timeout(IDLE, self.view.changed()).await.ok();
            }
        }
    }

    /// Reports once. Returns whether there may soon be more to report.
    fn report(&mut self) -> bool {
        let snapshot = self.view.newest();
        self.systemd.status(&snapshot.line());
        let silence = self.view.manager.since_last_answer().unwrap_or_default();
        self.systemd.withhold_heartbeat(silence > self.longest_silence);
        snapshot.task.is_some() || snapshot.trouble.is_some()
    }
}
