// SPDX-License-Identifier: GPL-3.0-or-later

//! Shows how far the running task is in the line below the log, once a second.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::status_view::StatusView;
use crate::logging::{LiveLine, LiveLineHandle};
use crate::progress::Unit;
use crate::snapshot::{Snapshot, TaskSnapshot};

/// How long a line stands at least: tasks that take no time, and a window that is being resized, do not make it flicker.
const SHORTEST: Duration = Duration::from_millis(200);

/// The clock in it goes on.
const SECOND: Duration = Duration::from_secs(1);

/// Takes the line away with what fed it, whatever ended that.
struct ClearOnDrop(LiveLineHandle);

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        self.0.show(None);
    }
}

/// Draws it for as long as it is polled; never where standard error is nothing to draw in.
pub(super) async fn draw(line: Option<LiveLineHandle>, mut view: StatusView<'_>) -> Infallible {
    let Some(line) = line else {
        return pending().await;
    };
    let shown = ClearOnDrop(line);
    // Without it the next second makes it fit.
    let mut resized = signal(SignalKind::window_change()).ok();
    loop {
        let live = live_line(&view.newest());
        let until_next = |live: &LiveLine| SECOND - Duration::from_nanos(live.elapsed.subsec_nanos().into());
        let rest = live.as_ref().map(until_next);
        let is_shown = shown.0.show(live);
        // What the terminal has not taken is tried again.
        let rest = rest.or((!is_shown).then_some(SECOND));
        tokio::select! {
            () = view.changed() => sleep(SHORTEST).await,
            () = next(rest) => {}
            () = resize(resized.as_mut()), if rest.is_some() => sleep(SHORTEST).await,
        }
    }
}

fn live_line(snapshot: &Snapshot) -> Option<LiveLine> {
    let task = snapshot.task.as_ref()?;
    let line = LiveLine {
        elapsed: task.elapsed(snapshot.time),
        name: task.name.clone(),
        ..LiveLine::default()
    };
    if let Some(reason) = &task.ending {
        let place = format!("ending: {reason}");
        return Some(LiveLine { place, ..line });
    }
    let estimate = task.estimate(snapshot.time);
    Some(LiveLine {
        share: estimate.share(),
        place: place(task, &estimate.position()),
        pace: estimate.each_in_words(),
        left: estimate.left_in_words(),
        ..line
    })
}

/// Where it is; what it does, where there is only one step.
fn place(task: &TaskSnapshot, position: &str) -> String {
    let place = match (task.unit, task.of, task.done) {
        (Unit::Frame, Some(1), _) => "rendering",
        (Unit::Step, Some(1), _) | (Unit::Step, None, 0) => "running",
        (Unit::Frame | Unit::Step, _, _) => position,
    };
    let paused = if task.paused_since.is_some() { "paused, " } else { "" };
    let last = if task.is_last || task.sleeps_after {
        "the last task, "
    } else {
        ""
    };
    format!("{paused}{last}{place}")
}

/// After so long; `None`: never.
async fn next(rest: Option<Duration>) {
    match rest {
        Some(rest) => sleep(rest).await,
        None => pending().await,
    }
}

/// When the window has another size.
async fn resize(resized: Option<&mut Signal>) {
    match resized {
        Some(resized) => {
            resized.recv().await;
        }
        None => pending().await,
    }
}
