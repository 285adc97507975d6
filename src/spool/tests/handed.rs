// SPDX-License-Identifier: GPL-3.0-or-later

//! The process becomes its successor: nothing of what it knew is lost, and nothing is found that was not.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::fake::{OTHER, Stage, TASK, accepted_log, assigned, completed, failed, holds, seconds, status, task_id};
use crate::manager::Delivery;
use crate::protocol::AssignedTask;
use crate::spool::{HandedSpool, Limits, Notice, PendingReports, Sender, SpoolError, TaskWriter};

/// What version 1 of the handed state looks like. Read for ever; written for as long as nothing is added to it.
const RECORDED: &str = include_str!("handed-1.json");

/// The task goes on in the successor.
fn go_on(stage: &mut Stage, entry: TaskWriter) -> TaskWriter {
    entry.hand_over();
    stage.hand_over();
    stage.spool.resume(TASK).unwrap()
}

/// A render of some frames.
fn frames() -> AssignedTask {
    let text = format!(
        r#"{{"uuid":"{TASK}","job":"j","name":"n","commands":[{{"name":"blender-render"}}],"steps_total":240}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// No file can be made in the folder of the task, nor can what is there be found.
fn lose_folder(stage: &Stage) {
    fs::remove_dir_all(stage.path(TASK)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_goes_on_with_its_log_its_steps_and_its_time() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames()).unwrap();
    stage
        .during(async |_, _| {
            entry.line("", "sent");
            entry.step();
            seconds(5).await;
        })
        .await;
    entry.line("", "one");
    entry.step();
    let before = entry.progress();
    let mut entry = go_on(&mut stage, entry);
    assert_eq!(entry.progress(), before);
    assert!(!stage.spool.is_completed(TASK) && stage.spool.orphaned_runs().is_empty());
    assert_eq!(stage.spool.pending(), PendingReports::default());
    entry.line("", "two");
    entry.step();
    seconds(5).await;
    entry.close(completed());
    stage.drain().await;
    let words = stage.manager.words();
    assert_eq!(words[words.len() - 2..], ["one|two", "(Completed) +3 Completed"]);
    let history = stage.folders("history").remove(0);
    let log = fs::read_to_string(history.join("log-000001")).unwrap();
    assert_eq!(log, "sent\none\ntwo\n", "one segment, however often it is handed over");
    let report: Value = serde_json::from_slice(&fs::read(history.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["end"]["took_ms"], 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_goes_on_with_ends_as_cut_off() {
    let mut stage = Stage::new();
    let entry = stage.begin(TASK);
    drop(go_on(&mut stage, entry));
    assert_eq!(stage.spool.orphaned_runs().len(), 1);
    assert!(stage.spool.resume(TASK).is_none() && stage.spool.resume(OTHER).is_none());
}

#[tokio::test(start_paused = true)]
async fn activity_and_steps_that_were_not_sent_are_sent_and_the_progress_is_not_told_early() {
    let mut stage = Stage::new();
    let mut entry = stage.spool.begin(&frames()).unwrap();
    stage
        .during(async |_, manager| {
            entry.step();
            seconds(1).await;
            assert_eq!(manager.words(), ["(frame 2 of 240) +1"]);
        })
        .await;
    entry.step();
    let mut entry = go_on(&mut stage, entry);
    entry.activity("compositing".into());
    let _entry = go_on(&mut stage, entry);
    stage
        .during(async |_, manager| {
            seconds(60).await;
            let words = manager.words();
            assert_eq!(words[1], "(compositing) +2");
            assert!(words[2].starts_with("(frame 3 of 240"), "{words:?}");
            assert_eq!(manager.times()[2] - manager.times()[0], 10_000);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_does_not_take_goes_over_in_memory() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage.begin(OTHER).close(completed());
    entry.line("", "one");
    lose_folder(&stage);
    let mut entry = go_on(&mut stage, entry);
    entry.line("", "two");
    // Nothing is left of the home, as where it went away altogether.
    fs::remove_dir_all(stage.home.path()).unwrap();
    let mut entry = go_on(&mut stage, entry);
    entry.line("", "three");
    entry.close(completed());
    stage.hand_over();
    assert_eq!(stage.spool.pending(), PendingReports { tasks: 2, outcomes: 2 });
    stage.drain().await;
    let words = ["one|two|three", "(Completed) Completed", "other: (Completed) Completed"];
    assert_eq!(stage.manager.words(), words);
}

#[tokio::test(start_paused = true)]
async fn the_last_request_is_waited_for_and_none_begins_after_it() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage.manager.delay.set(Duration::from_secs(4));
    entry.line("", "one");
    stage
        .during(async |spool, manager| {
            seconds(3).await;
            entry.line("", "two");
            let early = timeout(Duration::from_secs(1), spool.finish_sending()).await;
            assert!(early.is_err(), "a request is under way");
            spool.finish_sending().await;
            seconds(60).await;
            assert_eq!(manager.words(), ["one"]);
            spool.finish_sending().await;
        })
        .await;
    let entry = go_on(&mut stage, entry);
    entry.close(completed());
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["one", "two", "(Completed) Completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_asks_nothing_more_once_sending_is_to_end() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(failed());
    stage.manager.delay.set(Duration::from_secs(4));
    stage.manager.answers(|_, _| Err(status(502, None)));
    stage
        .during(async |spool, manager| {
            seconds(2).await;
            spool.finish_sending().await;
            seconds(60).await;
            assert_eq!((manager.asked.get(), manager.words().len()), (1, 1));
        })
        .await;
    stage.manager.answers(|_, _| Ok(Delivery::Accepted));
    stage.hand_over();
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["(Failed: why) Failed"; 2]);
}

/// What is on its way when nobody waits for the answer any more; with the disk as it is, or without one.
async fn on_its_way(has_disk: bool) {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    if !has_disk {
        lose_folder(&stage);
    }
    entry.line("", "one");
    entry.step();
    entry.activity("rendering".into());
    stage.manager.delay.set(Duration::from_secs(60));
    let text = stage
        .during(async |spool, _| {
            seconds(5).await;
            entry.line("", "two");
            timeout(Duration::from_secs(1), spool.finish_sending())
                .await
                .unwrap_err();
            entry.hand_over();
            serde_json::to_string(&spool.hand_over()).unwrap()
        })
        .await;
    assert_eq!(stage.manager.words(), ["one (rendering) +1"]);
    stage.manager.updates.borrow_mut().clear();
    stage.take_over(&text);
    stage.spool.resume(TASK).unwrap().close(completed());
    stage.drain().await;
    let words = ["one|two", "(Completed) +1 Completed"];
    assert_eq!(stage.manager.words(), words, "with a disk: {has_disk}");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_at_the_end_of_patience_is_sent_again() {
    on_its_way(true).await;
    on_its_way(false).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_sender_left_on_its_way_the_next_one_sends() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    lose_folder(&stage);
    entry.line("", "one");
    entry.step();
    stage.manager.delay.set(Duration::from_secs(60));
    stage.during(async |_, _| seconds(5).await).await;
    stage.sender = Some(Sender::new(Rc::clone(&stage.spool.0)));
    entry.close(completed());
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["one +1", "one", "(Completed) +1 Completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_log_stays_where_it_is() {
    let mut stage = Stage::with(Limits {
        segment_bytes: 200,
        waiting_segments: 3,
        task_log_bytes: 100 * 50,
        ..Limits::default()
    });
    let mut entry = stage.begin(TASK);
    for number in 0..90 {
        entry.line("", &format!("{number:049}"));
        stage.spool.0.folder(TASK).unwrap().borrow_mut().log.write_out();
        if number % 7 == 0 {
            entry = go_on(&mut stage, entry);
        }
    }
    (90..110).for_each(|number| entry.line("", &format!("{number:049}")));
    let entry = go_on(&mut stage, entry);
    entry.close(completed());
    stage.drain().await;
    let log = accepted_log(&stage.manager);
    let notes: Vec<_> = log.lines().filter(|line| line.starts_with("[... ")).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[0].ends_with("the Manager did not keep up ...]"), "{notes:?}");
    assert!(notes[2].starts_with("[... 10 lines (500 bytes)"), "{notes:?}");
    assert_eq!(log.lines().nth(4), Some(notes[0]), "{log}");
}

#[tokio::test(start_paused = true)]
async fn outcomes_wait_in_their_order_and_hold_their_tasks() {
    let mut stage = Stage::new();
    stage.begin(OTHER).close(completed());
    let mut entry = stage.begin(TASK);
    entry.line("", "line");
    entry.close(failed());
    stage.hand_over();
    assert!(holds(&stage.spool, TASK) && stage.spool.is_completed(OTHER));
    assert!(matches!(stage.spool.begin(&assigned(TASK)), Err(SpoolError::Held(_))));
    stage.drain().await;
    let words = ["other: (Completed) Completed", "line", "(Failed: why) Failed"];
    assert_eq!(stage.manager.words(), words);
    assert_eq!(stage.folders("history").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_report_is_stuck_counts_on_and_what_is_set_aside_stays_so() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(completed());
    stage.manager.answers(|_, _| Err(status(500, None)));
    for minutes in [6, 3] {
        stage.during(async |_, _| seconds(minutes * 60).await).await;
        stage.hand_over();
        assert_eq!(stage.spool.pending().outcomes, 1);
    }
    stage.during(async |_, _| seconds(3 * 60).await).await;
    assert_eq!(stage.folders("set-aside").len(), 1, "after ten minutes in all");
    stage.hand_over();
    assert!(holds(&stage.spool, TASK));
    assert!(stage.spool.begin(&assigned(TASK)).is_err());
    assert_eq!(stage.spool.pending().outcomes, 1, "it has another chance");
}

#[tokio::test(start_paused = true)]
async fn how_an_update_is_cut_is_known() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .manager
        .answers(|_, update| match (&update.log, &update.activity) {
            (Some(_), Some(_)) => Ok(Delivery::Refused("no".into())),
            _ => Ok(Delivery::Accepted),
        });
    let both = |entry: &mut TaskWriter| {
        entry.line("", "line");
        entry.activity("x".into());
    };
    both(&mut entry);
    stage.during(async |_, _| seconds(5).await).await;
    let mut entry = go_on(&mut stage, entry);
    both(&mut entry);
    stage.during(async |_, _| seconds(5).await).await;
    assert_eq!(stage.manager.words(), ["line (x)", "line", "(x)", "line", "(x)"]);
}

#[tokio::test(start_paused = true)]
async fn notices_and_what_ended_with_its_worker_are_known_without_the_disk() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    // For a while the disk takes nothing.
    let in_the_way = stage.path(TASK).join("log-000001");
    fs::create_dir(&in_the_way).unwrap();
    entry.line("", "line");
    stage.manager.answers(|_, _| Ok(Delivery::NotOurs));
    stage.during(async |_, _| seconds(5).await).await;
    fs::remove_dir(in_the_way).unwrap();
    (0..2).for_each(|_| stage.spool.count_interruption(OTHER));
    fs::remove_file(stage.path("cut-short.json")).unwrap();
    let entry = go_on(&mut stage, entry);
    assert_eq!(
        (stage.spool.interruptions(OTHER), stage.spool.interruptions(TASK)),
        (2, 0)
    );
    let notice = timeout(Duration::from_secs(1), stage.spool.next_notice()).await;
    assert_eq!(notice.unwrap(), Notice::NotOurs(task_id(TASK)));
    let entry = go_on(&mut stage, entry);
    let notice = timeout(Duration::from_secs(1), stage.spool.next_notice()).await;
    assert!(notice.is_err(), "it was heard");
    drop(entry);
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["line"], "nothing more is sent of it");
    let log = stage.folders("history").remove(0).join("log-000001");
    assert_eq!(fs::read_to_string(log).unwrap(), "line\n");
}

#[tokio::test(start_paused = true)]
async fn a_later_task_is_later_also_when_the_clock_jumped_back_meanwhile() {
    let mut stage = Stage::new();
    let handed = stage.spool.hand_over();
    let mut value = serde_json::to_value(&handed).unwrap();
    let ahead = u64::MAX / 2;
    value["last_begun"] = json!(ahead);
    stage.take_over(&value.to_string());
    let entry = stage.begin(TASK);
    assert_eq!(entry.end_note().1, ahead + 1);
}

#[tokio::test(start_paused = true)]
async fn what_version_1_handed_over_is_taken_over_and_written_alike() {
    let mut stage = Stage::new();
    stage.take_over(RECORDED);
    let written = serde_json::to_value(stage.spool.hand_over()).unwrap();
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(written, recorded, "the format has changed: {written:#}");
    assert_eq!(stage.spool.interruptions("brought-down"), 2);
    let notice = timeout(Duration::from_secs(1), stage.spool.next_notice()).await;
    assert_eq!(notice.unwrap(), Notice::Gone(task_id("deleted")));
    let mut entry = stage.spool.resume(TASK).unwrap();
    entry.line("", "five");
    entry.close(completed());
    stage.drain().await;
    let words = [
        "other: last words",
        "other: (Failed: why) +3 Failed",
        "[... 2 lines (20 bytes) of this log are missing here: the Manager refused them ...]|\
         [... 3 lines (30 bytes) of this log are missing here: the Manager did not keep up ...]|\
         [... 0 lines (20 bytes) of this log are missing here: they could not be read from the disk of the worker ...]",
        "[... 1 line (4 bytes) of this log are missing here: they could not be written to the disk of the worker ...]|\
         four|five",
        "(Completed) +12 Completed",
    ];
    assert_eq!(stage.manager.words(), words);
}

#[test]
fn what_a_newer_version_adds_is_left_out_and_what_an_older_one_did_not_know_has_its_default() {
    let mut newer: Value = serde_json::from_str(RECORDED).unwrap();
    for place in [
        "",
        "/folders/0",
        "/folders/1/record",
        "/folders/1/log",
        "/folders/1/unsent",
        "/folders/1/delivery",
    ] {
        newer.pointer_mut(place).unwrap()["unknown"] = json!({"a": [1]});
    }
    newer["folders"][1]["run"]["running"]["progress"]["unknown"] = json!(1);
    let read: HandedSpool = serde_json::from_value(newer).unwrap();
    let [plain, again] = [RECORDED.to_owned(), serde_json::to_string(&read).unwrap()];
    let values = [plain, again].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(values[0]["folders"][1]["log"], values[1]["folders"][1]["log"]);

    let least = json!({"folders": [{"task": TASK, "begun": 1, "record": {"sent": {"segment": 1, "byte": 0}}, "run": {"over": {"since": 5}}}]});
    serde_json::from_value::<HandedSpool>(least).unwrap();
    serde_json::from_str::<HandedSpool>("{}").unwrap();
    serde_json::from_str::<HandedSpool>(r#"{"folders":[{"task":"../x"}]}"#).unwrap_err();
}
