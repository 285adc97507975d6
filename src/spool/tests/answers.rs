// SPDX-License-Identifier: GPL-3.0-or-later

//! What the sender makes of each answer.

use std::time::Duration;

use tokio::time::timeout;

use super::fake::{OTHER, Stage, TASK, accepted_log, assigned, completed, holds, seconds, status, task_id};
use crate::manager::Delivery;
use crate::spool::{Limits, Notice, SpoolError};

#[tokio::test(start_paused = true)]
async fn c9_a_transient_failure_is_tried_again_and_retry_after_honoured() {
    let mut stage = Stage::new();
    stage.manager.script.borrow_mut().extend([
        Err(status(429, Some(77))),
        Err(status(503, None)),
        Err(status(403, None)),
        Ok(Delivery::Accepted),
    ]);
    let mut entry = stage.begin(TASK);
    entry.line("", "line");
    entry.close(completed());
    stage.drain().await;
    assert_eq!(
        stage.manager.words(),
        ["line", "line", "line", "line", "(Completed) Completed"]
    );
    let times = stage.manager.times();
    assert!(times[1] - times[0] >= 77_000, "{times:?}");
    assert!(times[2] > times[1] && times[3] > times[2], "never at once: {times:?}");
    assert_eq!(
        stage.manager.asked.get(),
        2,
        "no question either to one that asked us to wait"
    );
}

#[tokio::test(start_paused = true)]
async fn c17_a_lost_answer_repeats_one_piece_and_not_more() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .manager
        .script
        .borrow_mut()
        .extend([Ok(Delivery::Accepted), Err(status(502, None))]);
    stage
        .during(async |_, manager| {
            entry.line("", "one");
            seconds(5).await;
            entry.line("", "two");
            seconds(60).await;
            entry.line("", "three");
            seconds(5).await;
            assert_eq!(manager.words(), ["one", "two", "two", "three"]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c14_too_large_a_request_is_halved_until_it_fits() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, update| {
        let size = update.log.as_ref().map_or(0, String::len);
        Ok(if size > 50_000 {
            Delivery::TooLarge
        } else {
            Delivery::Accepted
        })
    });
    let mut entry = stage.begin(TASK);
    let mut all = String::new();
    for number in 0..20_000 {
        entry.line("", &format!("line number {number}"));
        all += &format!("line number {number}\n");
    }
    entry.close(completed());
    stage.drain().await;
    let fitted = stage.manager.updates.borrow();
    let log: String = fitted
        .iter()
        .filter_map(|(_, _, update)| update.log.as_deref())
        .filter(|log| log.len() <= 50_000)
        .collect();
    assert_eq!(log, all);
    assert!(fitted.len() < 25, "{} requests", fitted.len());
}

#[tokio::test(start_paused = true)]
async fn c14_a_piece_that_stays_too_large_is_set_aside_and_the_rest_goes_on() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, update| match &update.log {
        Some(log) if log.contains("poison") => Ok(Delivery::TooLarge),
        Some(_) | None => Ok(Delivery::Accepted),
    });
    let mut entry = stage.begin(TASK);
    entry.line("", &format!("poison{}", "x".repeat(40_000)));
    entry.line("", "after");
    entry.close(completed());
    stage.drain().await;
    let words = stage.manager.words();
    let last = &words[words.len() - 2..];
    assert_eq!(
        last,
        [
            "[... 1 line (40007 bytes) of this log are missing here: the Manager refused them ...]|after",
            "(Completed) Completed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn c14_h4_a_refused_piece_of_log_is_set_aside_and_said() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, update| match &update.log {
        Some(log) if log.contains("poison") => Ok(Delivery::Refused("no".into())),
        Some(_) | None => Ok(Delivery::Accepted),
    });
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, manager| {
            entry.line("", "poison");
            (0..3).for_each(|_| entry.step());
            seconds(5).await;
            assert_eq!(
                manager.words(),
                [
                    "poison +3",
                    "poison",
                    "[... 1 line (7 bytes) of this log are missing here: the Manager refused them ...]",
                    "+3"
                ],
                "what was said beside it is not lost with it"
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c12_c13_the_managers_own_409_and_404_stop_the_task_and_drop_only_its_reports() {
    let told = [
        (Delivery::NotOurs, Notice::NotOurs(task_id(TASK))),
        (Delivery::Gone, Notice::Gone(task_id(TASK))),
    ];
    for (answer, notice) in told {
        let mut stage = Stage::new();
        let mut entry = stage.begin(TASK);
        entry.line("", "one");
        stage.manager.script.borrow_mut().push_back(Ok(answer));
        stage
            .during(async |spool, manager| {
                assert_eq!(
                    timeout(Duration::from_secs(3), spool.next_notice()).await.unwrap(),
                    notice
                );
                entry.line("", "two");
                entry.close(completed());
                assert!(!holds(spool, TASK));
                let mut other = spool.begin(&assigned(OTHER)).unwrap();
                other.line("", "x");
                other.close(completed());
                spool.drained().await;
                assert_eq!(manager.words(), ["one", "other: x", "other: (Completed) Completed"]);
                let again = spool.begin(&assigned(TASK));
                assert!(again.is_ok(), "it may come back to us");
                let late = timeout(Duration::from_secs(60), spool.next_notice()).await;
                assert!(late.is_err(), "an old notice must not stop it: {late:?}");
            })
            .await;
        let kept = &stage.folders("history")[0];
        assert!(
            std::fs::read_to_string(kept.join("log-000001"))
                .unwrap()
                .contains("one")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_nobody_heard_does_not_stop_the_same_task_when_it_comes_back() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage.manager.script.borrow_mut().push_back(Ok(Delivery::NotOurs));
    stage
        .during(async |spool, _| {
            entry.line("", "one");
            seconds(5).await;
            drop(entry);
            spool.handed_out(TASK);
            let _again = spool.begin(&assigned(TASK)).unwrap();
            let late = timeout(Duration::from_secs(60), spool.next_notice()).await;
            assert!(late.is_err(), "{late:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c29_an_outcome_is_set_aside_only_after_the_manager_answered_the_rest_for_ten_minutes() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, _| Err(status(403, None)));
    let mut entry = stage.begin(TASK);
    entry.line("", "line");
    entry.close(completed());
    stage
        .during(async |spool, manager| {
            seconds(500).await;
            assert!(holds(spool, TASK) && spool.pending().outcomes == 1);
            manager.may_run.set(None);
            seconds(3600).await;
            assert_eq!(spool.pending().outcomes, 1, "an outage does not count");
            manager.may_run.set(Some(true));
            seconds(550).await;
            assert_eq!(spool.pending().outcomes, 1, "and the time starts anew after it");
            seconds(150).await;
            assert_eq!(spool.pending().outcomes, 0);
            assert!(holds(spool, TASK), "it is remembered");
        })
        .await;
    assert_eq!(stage.folders("set-aside").len(), 1);
    stage.restart();
    assert!(holds(&stage.spool, TASK), "also after a restart");
    std::fs::rename(stage.folders("set-aside").remove(0), stage.path(TASK)).unwrap();
    stage.restart();
    assert!(
        holds(&stage.spool, TASK),
        "also when the process ended before it was moved"
    );
    assert_eq!(stage.spool.pending().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn c29_an_outcome_that_was_set_aside_is_sent_again_when_the_task_is_handed_out_again() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, _| Ok(Delivery::Refused("no".into())));
    stage.begin(TASK).close(completed());
    stage.drain().await;
    assert!(matches!(stage.spool.begin(&assigned(TASK)), Err(SpoolError::Held(_))));
    assert_eq!(stage.spool.pending().outcomes, 1, "it waits again");
    stage.restart();
    assert_eq!(stage.spool.pending().outcomes, 1);
    stage.manager.answers(|_, _| Ok(Delivery::Accepted));
    stage.drain().await;
    assert_eq!(stage.manager.words().last().unwrap(), "(Completed) Completed");
    assert!(!holds(&stage.spool, TASK) && stage.folders("set-aside").is_empty());
}

#[tokio::test(start_paused = true)]
async fn c14_only_the_line_that_is_too_large_is_set_aside() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, update| match &update.log {
        Some(log) if log.contains("poison") => Ok(Delivery::TooLarge),
        Some(_) | None => Ok(Delivery::Accepted),
    });
    let mut entry = stage.begin(TASK);
    for number in 0..1000 {
        let word = if number == 500 { "poison" } else { "" };
        entry.line(word, &format!("{number:>99}"));
    }
    entry.close(completed());
    stage.drain().await;
    let updates = stage.manager.updates.borrow();
    let logs = updates.iter().filter_map(|(_, _, update)| update.log.as_deref());
    let log: String = logs.filter(|log| !log.contains("poison")).collect();
    let numbers: Vec<usize> = log.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert!(numbers.into_iter().eq((0..1000).filter(|number| *number != 500)));
    assert!(log.contains("[... 1 line (106 bytes) of this log are missing here: the Manager refused them ...]"));
    assert!(updates.len() < 60, "{} requests", updates.len());
}

#[tokio::test(start_paused = true)]
async fn a_refused_outcome_is_tried_on_and_then_set_aside() {
    let mut stage = Stage::new();
    stage.manager.answers(|_, _| Ok(Delivery::Refused("no".into())));
    stage.begin(TASK).close(completed());
    stage.drain().await;
    let times = stage.manager.times();
    assert!(times.len() > 20 && *times.last().unwrap() >= 600_000, "{times:?}");
    assert!(holds(&stage.spool, TASK));
}

#[tokio::test(start_paused = true)]
async fn c16_a_manager_that_never_answers_leaves_a_bounded_folder() {
    let limits = Limits {
        segment_bytes: 10_000,
        ..Limits::default()
    };
    let mut stage = Stage::with(limits);
    stage.manager.delay.set(Duration::from_secs(1_000_000));
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, _| {
            for _ in 0..100 {
                for _ in 0..1000 {
                    entry.line("", &"x".repeat(99));
                }
                seconds(1).await;
            }
        })
        .await;
    let bytes: u64 = std::fs::read_dir(stage.path(TASK))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes of 10 MB");
    entry.close(completed());
    stage.manager.delay.set(Duration::ZERO);
    stage.restart();
    stage.manager.updates.borrow_mut().clear();
    stage.drain().await;
    assert!(accepted_log(&stage.manager).contains("the Manager did not keep up"));
}
