// SPDX-License-Identifier: GPL-3.0-or-later

//! Tasks that come again: ever more slowly, whatever is wrong with them; and what happens in the pause is not their doing.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::scripted::{Scripted, TASK, echo_task, live, live_in, sleep_task};
use crate::departure::Departure;
use crate::home::{Credentials, Home};
use crate::manager::{Assignment, Verdict};
use crate::protocol::MayKeepRunning;
use crate::spool::{Limits, Spool};
use crate::timings::Timings;

fn spool(home: &Home) -> Spool {
    Spool::open(&home.spool_dir(), Limits::default(), &Timings::default())
        .unwrap()
        .0
}

/// A home whose worker has ended so many times with the task.
async fn home_after(times: u32, folder: &TempDir) -> Home {
    let home = Home::open(folder.path().to_owned(), Duration::ZERO).await.unwrap();
    let credentials = Credentials {
        id: "old-id".into(),
        secret: "s".repeat(64),
    };
    home.save_credentials(&credentials).await.unwrap();
    let spool = spool(&home);
    for _ in 0..times {
        spool.count_interruption(TASK);
    }
    home
}

fn handing_out(task: fn() -> Assignment, times: usize) -> Scripted {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .extend(std::iter::repeat_with(|| Ok(task())).take(times));
    manager
}

#[tokio::test(start_paused = true)]
async fn i6_a_stop_counts_for_a_task_that_ran_and_not_in_the_pause_before_it() {
    for (before, after) in [(0, 1), (2, 2)] {
        let folder = TempDir::new().unwrap();
        let home = home_after(before, &folder).await;
        let manager = handing_out(|| sleep_task(100), 1);
        assert_eq!(live_in(&home, &manager, 1, &[]).await, Departure::Signalled);
        assert_eq!(spool(&home).interruptions(TASK), after);
    }
}

#[tokio::test(start_paused = true)]
async fn i6_a_worker_that_is_killed_in_the_pause_does_not_count_that() {
    let folder = TempDir::new().unwrap();
    let home = home_after(2, &folder).await;
    let manager = handing_out(echo_task, 1);
    let killed = timeout(Duration::from_millis(1500), live_in(&home, &manager, 100, &[])).await;
    assert!(killed.is_err());
    assert!(spool(&home).orphaned_runs().is_empty());
    assert_eq!(spool(&home).interruptions(TASK), 2);
}

#[tokio::test(start_paused = true)]
async fn i6_a_task_that_the_manager_stops_in_the_pause_is_not_run() {
    let folder = TempDir::new().unwrap();
    let home = home_after(2, &folder).await;
    let manager = handing_out(echo_task, 1);
    manager.verdicts.borrow_mut().push_back(Verdict::Stop(MayKeepRunning {
        may_keep_running: false,
        reason: "canceled".into(),
        status_change_requested: false,
    }));
    live_in(&home, &manager, 4, &[]).await;
    assert_eq!(manager.times("fetch")[..2], [0, 1_000]);
    assert!(manager.times("Completed").is_empty(), "{:?}", manager.words());
    assert_eq!(spool(&home).interruptions(TASK), 2);
}

#[tokio::test(start_paused = true)]
async fn i10_a_task_that_cannot_be_read_comes_ever_more_slowly() {
    let unreadable = || Assignment::Unreadable {
        task: String::from(TASK).try_into().unwrap(),
        why: "odd".into(),
    };
    let manager = handing_out(unreadable, 300);
    live(&manager, 120, &[]).await;
    let failed = manager.times("Failed");
    assert!((4..=6).contains(&failed.len()), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn i10_a_task_that_fails_as_it_ends_its_worker_is_one_that_was_handed_out() {
    let folder = TempDir::new().unwrap();
    let home = home_after(3, &folder).await;
    let manager = handing_out(echo_task, 300);
    live_in(&home, &manager, 60, &[]).await;
    assert_eq!(manager.times("Failed").len(), 1, "{:?}", manager.words());
    assert_eq!(manager.times("Completed").len(), 3, "{:?}", manager.times("Completed"));
    assert_eq!(spool(&home).interruptions(TASK), 0);
}
