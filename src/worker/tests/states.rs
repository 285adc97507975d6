// SPDX-License-Identifier: GPL-3.0-or-later

//! The states without any hint: asking alone is enough.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::scripted::{Scripted, echo_task, live, live_in};
use crate::departure::Departure;
use crate::home::{Credentials, Home};
use crate::manager::Assignment;
use crate::pause::PauseReason;
use crate::protocol::WorkerStatus;
use crate::signals::{Order, Urgency};

#[tokio::test(start_paused = true)]
async fn an_idle_worker_signs_on_says_awake_asks_ever_less_often_and_signs_off() {
    let manager = Scripted::new();
    assert_eq!(live(&manager, 100, &[]).await, Departure::Signalled);
    let words = manager.words();
    assert_eq!(words[..4], ["identify old-id", "sign-on", "now awake", "fetch"]);
    assert_eq!(words.last().unwrap(), "sign-off");
    let fetches = manager.times("fetch");
    assert!((6..=12).contains(&fetches.len()), "{fetches:?}");
    assert!(
        fetches.windows(2).all(|pair| pair[1] - pair[0] <= 24_000),
        "{fetches:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn c20_a_state_is_told_until_it_is_accepted_before_the_first_fetch() {
    let manager = Scripted::new();
    manager.changes.borrow_mut().extend([Err(500), Err(502), Ok(())]);
    live(&manager, 30, &[]).await;
    let words = manager.words();
    assert_eq!(words[2..6], ["now awake", "now awake", "now awake", "fetch"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_task_the_next_call_is_the_fetch_and_at_once() {
    let manager = Scripted::new();
    manager.fetches.borrow_mut().push_back(Ok(echo_task()));
    live(&manager, 10, &[]).await;
    let words = manager.words();
    assert_eq!(words[3..6], ["fetch", "Completed", "fetch"]);
    let calls = manager.calls.borrow();
    assert!(calls[5].0 - calls[3].0 < 10, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn i31_a_fetch_on_its_way_is_seen_through_before_another_state_is_told() {
    let after_a_second = |order| [(1, order)];
    for (delay, order, told, at) in [
        (1_300, Order::Sleep, "now asleep", 1_300),
        (1_300, Order::Leave(Urgency::Now), "sign-off", 1_300),
        // No Manager is waited for longer than a second, and none by who cannot wait.
        (10_000, Order::Sleep, "now asleep", 2_000),
        (1_300, Order::Leave(Urgency::AtOnce), "sign-off", 1_000),
    ] {
        let manager = Scripted::new();
        manager.delay.set(Duration::from_millis(delay));
        manager.fetches.borrow_mut().push_back(Ok(echo_task()));
        live(&manager, 30, &after_a_second(order)).await;
        assert_eq!(manager.times(told)[0], at, "{order:?}: {:?}", manager.calls);
        assert!(manager.times("Completed").is_empty(), "it goes back");
    }
}

#[tokio::test(start_paused = true)]
async fn i31_nothing_is_told_before_what_was_told_is_answered() {
    let manager = Scripted::new();
    manager.telling.set(Duration::from_millis(1_300));
    live(&manager, 30, &[(1, Order::Sleep), (2, Order::Wake)]).await;
    assert_eq!(manager.times("now awake")[..2], [0, 2_600], "{:?}", manager.calls);
    assert_eq!(manager.times("now asleep"), [1_300]);
}

#[tokio::test(start_paused = true)]
async fn a_request_at_the_fetch_is_confirmed_and_asleep_asks_every_30_seconds() {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .push_back(Ok(Assignment::GoTo(WorkerStatus::Asleep)));
    manager
        .requests
        .borrow_mut()
        .extend([Ok(None), Ok(None), Ok(Some(WorkerStatus::Awake))]);
    live(&manager, 95, &[]).await;
    let words = manager.words();
    assert_eq!(
        words[3..10],
        [
            "fetch",
            "now asleep",
            "status?",
            "status?",
            "status?",
            "now awake",
            "fetch"
        ]
    );
    assert_eq!(manager.times("status?"), [30_000, 60_000, 90_000]);
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_that_gets_no_answer_asks_again_within_the_managers_patience() {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .push_back(Ok(Assignment::GoTo(WorkerStatus::Asleep)));
    manager.requests.borrow_mut().extend(std::iter::repeat_n(Err(502), 200));
    live(&manager, 120, &[]).await;
    let requests = manager.times("status?");
    assert_eq!(requests[0], 30_000);
    assert!(
        requests.windows(2).all(|pair| pair[1] - pair[0] <= 10_000),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_request_is_acknowledged_with_its_own_word() {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .push_back(Ok(Assignment::GoTo(WorkerStatus::Testing)));
    live(&manager, 10, &[]).await;
    assert_eq!(manager.times("now testing").len(), 1);
    assert_eq!(manager.words()[4..6], ["now testing", "sign-off"]);
}

#[tokio::test(start_paused = true)]
async fn c11_a_409_is_answered_by_saying_awake_and_fetching_at_once() {
    let manager = Scripted::new();
    let refusal = || Ok(Assignment::NotAwake("worker is in state \"error\"".into()));
    manager.fetches.borrow_mut().extend([refusal(), refusal()]);
    live(&manager, 60, &[]).await;
    let words = manager.words();
    assert_eq!(
        words[2..8],
        ["now awake", "fetch", "now awake", "fetch", "now awake", "fetch"]
    );
    let at = manager.times("fetch");
    assert_eq!(at[0], at[1], "the first time at once");
    assert!(at[2] > at[1], "the second time not in a tight loop");
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_contact_is_made_good_while_asleep() {
    let manager = Scripted::new();
    manager
        .fetches
        .borrow_mut()
        .push_back(Ok(Assignment::GoTo(WorkerStatus::Asleep)));
    manager.requests.borrow_mut().push_back(Err(502));
    live(&manager, 100, &[]).await;
    assert_eq!(manager.times("now asleep").len(), 2, "{:?}", manager.words());
}

#[tokio::test(start_paused = true)]
async fn orders_from_this_machine_put_it_to_sleep_and_wake_it() {
    let manager = Scripted::new();
    live(&manager, 60, &[(10, Order::Sleep), (20, Order::Wake)]).await;
    assert_eq!(manager.times("now asleep"), [10_000]);
    assert_eq!(manager.times("now awake"), [0, 20_000]);
}

const PAUSE: Order = Order::Pause(PauseReason::Asked);

#[tokio::test(start_paused = true)]
async fn m1_while_its_machine_is_paused_an_idle_worker_sleeps_and_wakes_by_itself() {
    let manager = Scripted::new();
    live(&manager, 60, &[(10, PAUSE), (20, Order::Resume)]).await;
    assert_eq!(manager.times("now asleep"), [10_000]);
    assert_eq!(manager.times("now awake"), [0, 20_000]);
    let fetches = manager.times("fetch");
    assert!(
        fetches.iter().all(|at| !(10_001..20_000).contains(at)),
        "no task is asked for: {fetches:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn m1_a_wake_up_of_the_managers_is_answered_and_the_machine_has_the_last_word() {
    let manager = Scripted::new();
    let requests = [Ok(None), Ok(Some(WorkerStatus::Awake))];
    manager.requests.borrow_mut().extend(requests);
    live(&manager, 120, &[(10, PAUSE), (100, Order::Resume)]).await;
    let (awake, asleep) = (manager.times("now awake"), manager.times("now asleep"));
    assert!(awake.len() == 3 && asleep.len() == 2, "{awake:?} {asleep:?}");
    assert!(awake[1] <= asleep[1] && asleep[1] < 100_000, "{awake:?} {asleep:?}");
}

#[tokio::test(start_paused = true)]
async fn m1_a_worker_that_starts_on_a_paused_machine_asks_for_no_task() {
    let manager = Scripted::new();
    live(&manager, 60, &[(0, PAUSE)]).await;
    assert_eq!(manager.times("fetch").len(), 0, "{:?}", manager.words());
    assert_eq!(manager.times("now asleep").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn m1_a_sleep_that_was_asked_for_outlives_a_pause() {
    let manager = Scripted::new();
    live(&manager, 60, &[(10, PAUSE), (15, Order::Sleep), (20, Order::Resume)]).await;
    assert_eq!(manager.times("now awake").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn b12_a_restart_answered_to_a_sign_on_is_cleared_and_work_goes_on() {
    let manager = Scripted::new();
    manager.sign_ons.borrow_mut().push_back(Ok(WorkerStatus::Restart));
    live(&manager, 5, &[]).await;
    assert_eq!(manager.words()[1..5], ["sign-on", "sign-off", "sign-on", "now awake"]);
}

#[tokio::test(start_paused = true)]
async fn b12_a_restart_answered_again_and_again_is_no_loop_and_ends_signed_on() {
    let manager = Scripted::new();
    let restart = Ok(WorkerStatus::Restart);
    manager.sign_ons.borrow_mut().extend(std::iter::repeat_n(restart, 5));
    live(&manager, 5, &[]).await;
    assert_eq!(
        manager.words()[1..6],
        ["sign-on", "sign-off", "sign-on", "now awake", "fetch"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_managers_shutdown_and_restart_end_with_their_codes() {
    for (asked, code) in [(WorkerStatus::Offline, 0), (WorkerStatus::Restart, 47)] {
        let manager = Scripted::new();
        manager.fetches.borrow_mut().push_back(Ok(Assignment::GoTo(asked)));
        assert_eq!(live(&manager, 10, &[]).await.code(), code);
        assert_eq!(manager.words()[3..], ["fetch", "sign-off"]);
    }
}

#[tokio::test(start_paused = true)]
async fn b11_an_unclean_end_is_made_up_for_and_a_forgotten_shutdown_obeyed() {
    let folder = TempDir::new().unwrap();
    let home = Home::open(folder.path().to_owned(), Duration::ZERO).await.unwrap();
    home.save_credentials(&Credentials {
        id: "old-id".into(),
        secret: "s".repeat(64),
    })
    .await
    .unwrap();
    home.remember_signed_on().await.unwrap();
    let manager = Scripted::new();
    manager.requests.borrow_mut().push_back(Ok(Some(WorkerStatus::Offline)));
    assert_eq!(live_in(&home, &manager, 5, &[]).await, Departure::ShutDown);
    assert_eq!(manager.words(), ["identify old-id", "status?", "sign-off"]);
    assert!(!home.signed_on());
}

#[tokio::test(start_paused = true)]
async fn e3_a_second_stop_of_the_same_moment_cuts_leaving_short() {
    let leaves = async |orders: &[(u64, Order)]| {
        let manager = Scripted::new();
        manager.sign_off.set(Duration::from_secs(3600));
        let began = Instant::now();
        live(&manager, 100, orders).await;
        began.elapsed().as_secs()
    };
    let (now, at_once) = (Order::Leave(Urgency::Now), Order::Leave(Urgency::AtOnce));
    let patient = leaves(&[(10, now)]).await;
    let hurried = leaves(&[(10, now), (10, at_once)]).await;
    assert!(hurried < 13 && patient >= 15, "{hurried} s and {patient} s");
}

#[tokio::test(start_paused = true)]
async fn c10_a_denial_that_stands_is_met_ever_less_often() {
    let manager = Scripted::new();
    manager
        .sign_ons
        .borrow_mut()
        .extend(std::iter::repeat_n(Err(403), 1000));
    live(&manager, 600, &[]).await;
    let calls = manager.times("sign-on");
    assert!(calls[1] < 2_000, "the first may be a hiccup: {calls:?}");
    assert!((15..60).contains(&calls.len()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn e4_a_sleep_during_a_start_is_kept_while_the_worker_registers_anew() {
    let manager = Scripted::new();
    manager.registered.set(false);
    manager.sign_ons.borrow_mut().extend(std::iter::repeat_n(Err(403), 30));
    live(&manager, 100, &[(5, Order::Sleep)]).await;
    let words = manager.words();
    assert_eq!(manager.times("register").len(), 1, "{words:?}");
    assert_eq!(manager.times("now asleep").len(), 1, "{words:?}");
    assert_eq!(manager.times("fetch").len(), 0, "{words:?}");
}

#[tokio::test(start_paused = true)]
async fn c10_only_a_denial_that_stands_and_a_row_that_is_gone_lead_to_a_new_registration() {
    let manager = Scripted::new();
    manager.sign_ons.borrow_mut().extend(std::iter::repeat_n(Err(403), 6));
    live(&manager, 60, &[]).await;
    assert_eq!(
        manager.times("register").len(),
        0,
        "the row is known: {:?}",
        manager.words()
    );

    let manager = Scripted::new();
    manager.registered.set(false);
    manager.sign_ons.borrow_mut().extend(std::iter::repeat_n(Err(403), 30));
    live(&manager, 60, &[]).await;
    assert_eq!(manager.times("register").len(), 1);
    assert!(manager.times("register")[0] >= 15_000);
}

/// The report waited for its back-off, up to nine seconds, while nothing could be fetched.
#[tokio::test(start_paused = true)]
async fn c10_what_a_deleted_worker_could_not_tell_is_told_as_soon_as_it_has_registered_anew() {
    let manager = Scripted::new();
    manager.registered.set(false);
    manager.fetches.borrow_mut().push_back(Ok(echo_task()));
    manager.requests.borrow_mut().extend(std::iter::repeat_n(Err(403), 30));
    live(&manager, 100, &[]).await;
    let words = manager.words();
    let registered = manager.times("register");
    assert_eq!(registered.len(), 1, "{words:?}");
    let told = manager.times("Completed");
    assert_eq!(told.last(), registered.first(), "{words:?}");
}

#[tokio::test(start_paused = true)]
async fn m8_a_sleep_that_the_manager_asks_for_outlives_one_of_our_own() {
    let manager = Scripted::new();
    let asleep = || Ok(Some(WorkerStatus::Asleep));
    manager.requests.borrow_mut().push_back(asleep());
    live(&manager, 60, &[(10, PAUSE), (20, Order::Resume)]).await;
    let words = manager.words();
    assert_eq!(manager.times("now awake").len(), 1, "{words:?}");
    assert_eq!(manager.times("now asleep").len(), 1, "{words:?}");
}
