// SPDX-License-Identifier: GPL-3.0-or-later

//! The states with hints: what each makes the worker ask, when, and that no more than that is asked.

use std::time::Duration;

use tokio::time::Instant;

use super::scripted::{JOB, Pushed, Scripted, TASK, echo_task, live, sleep_task};
use crate::manager::push::{HintSender, Interest, Link};
use crate::manager::{Assignment, Verdict};
use crate::protocol::{MayKeepRunning, WorkerStatus};
use crate::signals::{Order, Urgency};

const ASK: fn(&HintSender) = |source| source.ask_at(Instant::now());
const LISTENING: fn(&HintSender) = |source| source.set_link(Link::Listening);
const LOST: fn(&HintSender) = |source| source.set_link(Link::Down);

fn stop() -> Verdict {
    Verdict::Stop(MayKeepRunning {
        may_keep_running: false,
        reason: "canceled".into(),
        status_change_requested: false,
    })
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_asks_at_once_and_obeys_the_answer_not_the_hint() {
    let manager = Scripted::with_a_sleeper();
    manager.push.borrow_mut().extend([(5_000, ASK), (12_000, ASK)]);
    manager
        .requests
        .borrow_mut()
        .extend([Ok(None), Ok(Some(WorkerStatus::Awake))]);
    live(&manager, 15, &[]).await;
    assert_eq!(manager.times("status?"), [5_000, 12_000]);
    assert_eq!(manager.times("now awake"), [0, 12_000]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_fetches_at_once_and_runs_what_it_gets() {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .extend([Ok(Assignment::Nothing), Ok(echo_task())]);
    manager.push.borrow_mut().push_back((1_234, ASK));
    live(&manager, 3, &[]).await;
    assert_eq!(manager.times("fetch")[..2], [0, 1_234]);
    assert_eq!(manager.times("Completed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_task_runs_a_hint_asks_may_i_run_and_never_what_is_wished() {
    let manager = Scripted::new();
    manager.fetches.borrow_mut().push_back(Ok(sleep_task(100)));
    manager.push.borrow_mut().push_back((500, ASK));
    manager.verdicts.borrow_mut().push_back(stop());
    live(&manager, 4, &[]).await;
    assert_eq!(manager.times("may-i-run"), [500]);
    assert_eq!(
        manager.times("fetch")[1],
        500,
        "stopped, and the next call is the fetch"
    );
    assert!(manager.times("status?").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hint_during_a_call_means_one_more_call_after_it_and_never_two_at_once() {
    let manager = Scripted::with_a_sleeper();
    manager.delay.set(Duration::from_millis(1500));
    let hints = [2_000, 2_100, 2_200, 3_000].map(|at| (at, ASK));
    manager.push.borrow_mut().extend(hints);
    live(&manager, 10, &[]).await;
    assert_eq!(manager.times("status?"), [2_000, 3_500]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_hints_is_no_flood_of_questions() {
    let flood = || (3_000..13_000).map(|at| (at, ASK));
    let asleep = Scripted::with_a_sleeper();
    asleep.push.borrow_mut().extend(flood());
    live(&asleep, 14, &[]).await;
    assert!(
        (11..=13).contains(&asleep.times("status?").len()),
        "{:?}",
        asleep.times("status?")
    );
    let idle = Scripted::new();
    idle.push.borrow_mut().extend(flood());
    live(&idle, 14, &[]).await;
    assert!(idle.times("fetch").len() <= 16, "{:?}", idle.times("fetch"));
    let running = Scripted::new();
    running.fetches.borrow_mut().push_back(Ok(sleep_task(100)));
    running.push.borrow_mut().extend(flood());
    live(&running, 14, &[]).await;
    assert!(
        running.times("may-i-run").len() <= 16,
        "{:?}",
        running.times("may-i-run")
    );
}

#[tokio::test(start_paused = true)]
async fn while_hints_come_may_i_run_is_asked_less_and_never_less_than_every_ten_seconds() {
    let asked = async |push: &[Pushed]| {
        let manager = Scripted::new();
        manager.fetches.borrow_mut().push_back(Ok(sleep_task(200)));
        manager.push.borrow_mut().extend(push.iter().copied());
        live(&manager, 100, &[]).await;
        let at = manager.times("may-i-run");
        at.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    };
    let alone = asked(&[]).await;
    assert!(alone.iter().all(|pause| (4_000..=6_000).contains(pause)), "{alone:?}");
    let hinted = asked(&[(0, LISTENING)]).await;
    assert!(hinted.iter().all(|pause| (6_400..10_000).contains(pause)), "{hinted:?}");
    let lost = asked(&[(0, LISTENING), (50_000, LOST)]).await;
    assert!(lost.iter().rev().take(6).all(|pause| *pause <= 6_000), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn an_order_wins_over_a_hint_of_the_same_moment() {
    let manager = Scripted::with_a_sleeper();
    manager.push.borrow_mut().push_back((10_000, ASK));
    live(&manager, 20, &[(10, Order::Leave(Urgency::Now))]).await;
    assert!(manager.times("status?").is_empty(), "{:?}", manager.words());
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_that_was_given_up_says_its_state_again() {
    let manager = Scripted::with_a_sleeper();
    manager.push.borrow_mut().push_back((10_000, HintSender::mark_error));
    live(&manager, 45, &[]).await;
    assert_eq!(manager.times("now asleep"), [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn what_is_listened_for_follows_the_state() {
    let manager = Scripted::new();
    manager.fetches.borrow_mut().extend([
        Ok(Assignment::Nothing),
        Ok(sleep_task(10)),
        Ok(Assignment::GoTo(WorkerStatus::Asleep)),
    ]);
    live(&manager, 60, &[]).await;
    let running = Interest::Task {
        job: JOB.into(),
        task: TASK.into(),
    };
    let mut heard = manager.interests.take();
    // What comes first, the worker or its listener, is chance.
    heard.retain(|interest| *interest != Interest::Nothing);
    assert_eq!(heard, [Interest::Work, running, Interest::StatusRequests]);
}
