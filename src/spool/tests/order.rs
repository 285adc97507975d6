// SPDX-License-Identifier: GPL-3.0-or-later

//! What is sent when, and in which order.

use std::time::Duration;

use super::fake::{OTHER, Stage, TASK, accepted_log, assigned, completed, failed, holds, seconds, status};
use crate::manager::Delivery;
use crate::protocol::{AssignedTask, TaskUpdate};
use crate::spool::{Limits, PendingReports, SpoolError};

#[tokio::test(start_paused = true)]
async fn h5_all_of_a_log_is_accepted_before_the_outcome_and_at_once() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    entry.activity("Started".into());
    for number in 0..30_000 {
        entry.line("pid=1 > ", &format!("line {number} of the log of a task"));
    }
    (0..7).for_each(|_| entry.step());
    entry.close(completed());
    assert_eq!(stage.spool.pending(), PendingReports { tasks: 1, outcomes: 1 });
    stage.drain().await;
    let words = stage.manager.words();
    assert!(
        words.len() > 2 && words.last().unwrap() == "(Completed) +7 Completed",
        "{}",
        words.last().unwrap()
    );
    assert!(
        words[..words.len() - 1]
            .iter()
            .all(|word| !word.contains("Completed") && word.len() <= 512 << 10)
    );
    assert_eq!(accepted_log(&stage.manager).lines().count(), 30_000);
    assert!(
        stage.manager.times().iter().all(|at| *at == 0),
        "nothing waits for a timer"
    );
    assert_eq!(stage.folders("history").len(), 1);
    assert!(!holds(&stage.spool, TASK), "a user may have requeued it");
}

#[tokio::test(start_paused = true)]
async fn h3_a_line_of_a_program_that_fell_silent_is_sent_within_the_flush_interval() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, manager| {
            entry.line("", "one");
            entry.line("", "two");
            seconds(10).await;
            assert_eq!(manager.words(), ["one|two"]);
            assert_eq!(manager.times(), [2000]);
            entry.line("", "three");
            seconds(10).await;
            assert_eq!(manager.times(), [2000, 12_000]);
        })
        .await;
}

/// A render as the Manager hands it out.
fn frames(all: u32) -> AssignedTask {
    let text = format!(
        r#"{{"uuid":"{TASK}","job":"j","name":"n","commands":[{{"name":"blender-render"}}],"steps_total":{all}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_progress_is_told_at_most_every_ten_seconds_and_is_then_the_newest() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames(240)).unwrap();
    entry.activity("Started".into());
    stage
        .during(async |_, manager| {
            for _ in 0..5 {
                seconds(3).await;
                entry.step();
            }
            // The next frame takes its time.
            seconds(60).await;
            let told = |update: &TaskUpdate| update.activity.clone();
            let activities = || -> Vec<String> {
                manager
                    .updates
                    .borrow()
                    .iter()
                    .filter_map(|(_, _, update)| told(update))
                    .collect()
            };
            assert_eq!(
                activities(),
                [
                    "Started",
                    "frame 2 of 240",
                    "frame 5 of 240, 3.0 s each, about 12 min left",
                    "frame 6 of 240, 3.0 s each, about 12 min left",
                ]
            );
            entry.step();
            entry.step();
            entry.close(failed());
            seconds(60).await;
            assert_eq!(
                activities().last().unwrap(),
                "Failed: why",
                "nothing after the outcome: {:?}",
                activities()
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_first_frame_is_told_once_the_second_takes_long_too() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames(240)).unwrap();
    stage
        .during(async |_, manager| {
            seconds(100).await;
            entry.step();
            seconds(60).await;
            let updates = manager.updates.borrow();
            let told: Vec<_> = updates
                .iter()
                .filter_map(|(_, _, update)| update.activity.clone())
                .collect();
            let first = "frame 2 of 240";
            assert_eq!(
                told,
                [first, &format!("{first}, 1 min 40 s each, about 6 h 40 min left")]
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn m2_while_a_task_stands_still_that_is_told_and_afterwards_how_far_it_is() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames(240)).unwrap();
    stage
        .during(async |spool, manager| {
            let activities = || -> Vec<String> {
                let updates = manager.updates.borrow();
                let told = updates.iter().filter_map(|(_, _, update)| update.activity.clone());
                told.map(|text| text.chars().take(14).collect()).collect()
            };
            entry.step();
            entry.step();
            seconds(1).await;
            // The next progress comes due while it stands still. Another step is heard of late.
            entry.step();
            spool.pause(TASK, "why");
            seconds(1).await;
            entry.step();
            entry.activity("compositing".into());
            seconds(60).await;
            assert_eq!(activities(), ["frame 3 of 240", "paused: why"]);
            assert_eq!(spool.end_pause(TASK), Some(Duration::from_secs(61)));
            assert_eq!(spool.end_pause(TASK), None);
            seconds(60).await;
            assert_eq!(activities(), ["frame 3 of 240", "paused: why", "frame 5 of 240"]);
            let log = manager.words().concat();
            assert!(
                log.contains("Paused: why") && log.contains("Resumed after 1 min 1 s"),
                "{log}"
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_one_frame_tells_no_progress() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames(1)).unwrap();
    stage
        .during(async |_, manager| {
            entry.step();
            seconds(20).await;
            assert_eq!(manager.words(), ["+1"]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn steps_and_activity_are_prompt_and_joined() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, manager| {
            (0..5).for_each(|_| entry.step());
            entry.activity("rendering".into());
            seconds(1).await;
            entry.step();
            seconds(1).await;
            assert_eq!(manager.words(), ["(rendering) +5", "+6"]);
            assert_eq!(manager.times(), [250, 1250]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn much_log_is_sent_early() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, manager| {
            for _ in 0..1000 {
                entry.line("", &"x".repeat(99));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(manager.times(), [0]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c2_after_an_outage_everything_arrives_in_the_order_of_the_tasks() {
    let mut stage = Stage::new();
    let mut all = Vec::new();
    for number in 0..20 {
        let task = format!("3b241101-e2bb-4255-8caf-0000000000{number:02}");
        let mut entry = stage.begin(&task);
        entry.line("", "log");
        entry.close(completed());
        all.extend([(task.clone(), true), (task, false)]);
    }
    stage.manager.may_run.set(None);
    stage.manager.answers(|_, _| Err(status(502, None)));
    stage
        .during(async |spool, manager| {
            seconds(3600).await;
            assert_eq!(
                spool.pending(),
                PendingReports {
                    tasks: 20,
                    outcomes: 20
                }
            );
            let tries = manager.updates.borrow_mut().split_off(0);
            assert!((100..1000).contains(&tries.len()), "{} tries in an hour", tries.len());
            assert!(tries.iter().all(|(_, task, _)| *task == all[0].0), "the oldest first");
            manager.answers(|_, _| Ok(Delivery::Accepted));
            manager.may_run.set(Some(true));
            spool.drained().await;
        })
        .await;
    let came: Vec<_> = stage
        .manager
        .updates
        .borrow()
        .iter()
        .map(|(_, task, update)| (task.clone(), update.log.is_some()))
        .collect();
    assert_eq!(came, all);
}

#[tokio::test(start_paused = true)]
async fn c15_what_a_task_says_never_waits_for_a_slow_manager() {
    let mut stage = Stage::with(Limits {
        segment_bytes: 100_000,
        ..Limits::default()
    });
    let mut entry = stage.begin(TASK);
    stage.manager.delay.set(Duration::from_secs(4));
    stage
        .during(async |_, _| {
            for _ in 0..50 {
                for _ in 0..500 {
                    entry.line("", &"x".repeat(99));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    entry.close(completed());
    stage.restart();
    stage.drain().await;
    let sent = accepted_log(&stage.manager);
    assert!(sent.contains("the Manager did not keep up"), "with a gap that is said");
}

#[tokio::test(start_paused = true)]
async fn d6_a_task_whose_updates_fail_does_not_hold_up_the_log_of_another() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(completed());
    let mut entry = stage.begin(OTHER);
    stage.manager.answers(|task, _| {
        if task == TASK {
            Err(status(500, None))
        } else {
            Ok(Delivery::Accepted)
        }
    });
    stage
        .during(async |spool, manager| {
            for _ in 0..30 {
                entry.line("", "line");
                seconds(10).await;
            }
            assert!(holds(spool, TASK));
            let came = manager.words().iter().filter(|word| *word == "other: line").count();
            assert_eq!(came, 30);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_only_if_the_manager_still_wants_the_task_run() {
    for (wanted, words) in [(true, vec!["why", "(Failed: why) Failed"]), (false, vec!["why"])] {
        let mut stage = Stage::new();
        stage.manager.may_run.set(Some(wanted));
        let mut entry = stage.begin(TASK);
        entry.line("", "why");
        entry.close(failed());
        stage.drain().await;
        assert_eq!(stage.manager.words(), words);
        assert_eq!(stage.manager.asked.get(), 1);
        assert_eq!(stage.folders("history").len(), 1, "the log is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_while_the_manager_cannot_say_whether_it_is_wanted() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(failed());
    stage.manager.may_run.set(None);
    stage
        .during(async |spool, manager| {
            seconds(7200).await;
            assert_eq!(manager.words().len(), 0);
            manager.may_run.set(Some(true));
            spool.outcomes_delivered().await;
            assert_eq!(manager.words(), ["(Failed: why) Failed"]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c28_completed_is_sent_without_asking() {
    let mut stage = Stage::new();
    stage.manager.may_run.set(Some(false));
    stage.begin(TASK).close(completed());
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["(Completed) Completed"]);
    assert_eq!(stage.manager.asked.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn c4_a_task_whose_outcome_waits_is_held_and_one_that_was_aborted_goes_on_in_its_folder() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(completed());
    assert!(holds(&stage.spool, TASK));
    assert!(matches!(stage.spool.begin(&assigned(TASK)), Err(SpoolError::Held(_))));

    let mut entry = stage.begin(OTHER);
    entry.line("", "first run");
    drop(entry);
    assert!(!holds(&stage.spool, OTHER), "dropped without an outcome");
    let mut entry = stage.begin(OTHER);
    entry.line("", "second run");
    assert_eq!(stage.spool.pending(), PendingReports { tasks: 1, outcomes: 1 });
    entry.close(completed());
    stage.drain().await;
    let words = [
        "(Completed) Completed",
        "other: first run",
        "other: second run",
        "other: (Completed) Completed",
    ];
    assert_eq!(stage.manager.words(), words);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_no_uuid_stays_below_the_spool() {
    let mut stage = Stage::new();
    let odd = ["history", "set-aside", "x-68", "cut-short.json"];
    for id in odd {
        stage.begin(id).close(completed());
    }
    stage.drain().await;
    let ids: Vec<String> = stage
        .manager
        .updates
        .borrow()
        .iter()
        .map(|(_, task, _)| task.clone())
        .collect();
    assert_eq!(ids, odd);
    assert_eq!(stage.folders("history").len(), 4);
}
