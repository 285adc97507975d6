// SPDX-License-Identifier: GPL-3.0-or-later

//! The process ends at any point, and whatever is left of its files is picked up.

use std::fs;
use std::time::Duration;

use super::fake::{OTHER, Stage, TASK, accepted_log, assigned, completed, counted, holds, seconds, status};
use crate::manager::Delivery;
use crate::protocol::TaskStatus;
use crate::spool::task_folder::TaskFolder;
use crate::spool::{Limits, PendingReports, Spool, SpoolError};
use crate::timings::Timings;

/// A spool with a task of 20 lines, of which 10 were accepted, that ended well; and the same of another task.
async fn left_behind() -> Stage {
    let mut stage = Stage::new();
    for task in [TASK, OTHER] {
        let mut entry = stage.begin(task);
        stage
            .during(async |_, _| {
                for number in 0..10 {
                    entry.line("", &format!("{task} {number:02}"));
                }
                seconds(5).await;
            })
            .await;
        for number in 10..20 {
            entry.line("", &format!("{task} {number:02}"));
        }
        entry.close(completed());
        stage.restart();
        stage.manager.answers(|task, update| match update.log {
            Some(_) if task == OTHER => Ok(Delivery::Accepted),
            Some(_) | None => Err(status(502, None)),
        });
    }
    stage.manager.answers(|_, _| Ok(Delivery::Accepted));
    stage.manager.updates.borrow_mut().clear();
    stage
}

#[tokio::test(start_paused = true)]
async fn b4_what_was_not_sent_is_sent_after_a_restart_and_nothing_twice() {
    let mut stage = left_behind().await;
    assert_eq!(stage.spool.pending(), PendingReports { tasks: 2, outcomes: 2 });
    assert!(holds(&stage.spool, TASK) && holds(&stage.spool, OTHER));
    stage.drain().await;
    let counts = counted(accepted_log(&stage.manager).lines().map(ToOwned::to_owned));
    assert!(
        (10..20).all(|number| counts[&format!("{TASK} {number:02}")] == 1),
        "{counts:?}"
    );
    assert!(!counts.contains_key(&format!("{TASK} 09")), "accepted before");
    let outcomes: Vec<_> = stage
        .manager
        .updates
        .borrow()
        .iter()
        .filter_map(|(_, _, update)| update.status)
        .collect();
    assert_eq!(outcomes, [TaskStatus::Completed; 2]);
}

#[tokio::test(start_paused = true)]
async fn b5_a_folder_that_was_delivered_and_not_moved_repeats_only_the_outcome() {
    let mut stage = left_behind().await;
    stage.drain().await;
    let delivered = stage.folders("history").remove(0);
    fs::rename(&delivered, stage.path(TASK)).unwrap();
    stage.restart();
    stage.manager.updates.borrow_mut().clear();
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["(Completed) Completed"]);
    assert_eq!(stage.folders("history").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_task_whose_process_died_is_sent_without_an_outcome() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    for _ in 0..2000 {
        entry.line("", &"x".repeat(99));
    }
    std::mem::forget(entry);
    stage.restart();
    assert_eq!(stage.spool.pending(), PendingReports { tasks: 1, outcomes: 0 });
    assert!(!holds(&stage.spool, TASK), "it is to be run again");
    stage.drain().await;
    assert!(
        stage
            .manager
            .updates
            .borrow()
            .iter()
            .all(|(_, _, update)| update.status.is_none())
    );
    assert!(
        accepted_log(&stage.manager).lines().count() > 1000,
        "what had left the buffer"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_the_process_died_is_not_sent_again() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    stage
        .during(async |_, _| {
            entry.line("", "accepted");
            seconds(5).await;
            std::mem::forget(entry);
        })
        .await;
    assert_eq!(stage.manager.updates.borrow_mut().split_off(0).len(), 1);
    stage.restart();
    stage.drain().await;
    assert_eq!(stage.manager.words(), [""; 0]);
    assert_eq!(stage.folders("history").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn b10_an_outcome_is_made_safe_only_when_it_had_to_wait() {
    let mut stage = Stage::new();
    stage.begin(TASK).close(completed());
    stage.manager.delay.set(Duration::from_secs(60));
    stage
        .during(async |spool, _| {
            let unsafe_yet = || spool.0.least(TaskFolder::unsynced_since).is_some();
            tokio::time::sleep(Duration::from_millis(900)).await;
            assert!(unsafe_yet());
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!unsafe_yet());
        })
        .await;
}

/// Cuts a file of TASK's folder at each byte, starts, and lets everything be delivered.
async fn cut_at_every_byte(file: &str, check: impl Fn(&Stage, usize)) {
    let origin = left_behind().await;
    let whole = fs::read(origin.path(TASK).join(file)).unwrap();
    for cut in 0..whole.len() {
        let mut stage = Stage::new();
        copy(&origin, &stage);
        fs::write(stage.path(TASK).join(file), &whole[..cut]).unwrap();
        stage.restart();
        stage.drain().await;
        check(&stage, cut);
    }
}

#[tokio::test(start_paused = true)]
async fn b10_d1_a_cut_report_or_assignment_costs_one_folder_which_is_kept() {
    for file in ["report.json", "task.json"] {
        cut_at_every_byte(file, |stage, cut| {
            assert_eq!(stage.folders("damaged").len(), 1, "{file} cut at {cut}");
            let words = stage.manager.words();
            assert!(
                words.iter().all(|word| word.starts_with("other: ")),
                "{file} cut at {cut}: {words:?}"
            );
            assert_eq!(
                words.last().unwrap(),
                "other: (Completed) Completed",
                "{file} cut at {cut}"
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn b10_d1_a_cut_log_costs_its_end_and_not_the_outcome() {
    cut_at_every_byte("log-000001", |stage, cut| {
        assert_eq!(stage.folders("damaged").len(), 0, "cut at {cut}");
        assert!(
            stage.manager.words().contains(&"(Completed) Completed".to_owned()),
            "cut at {cut}"
        );
        let counts = counted(accepted_log(&stage.manager).lines().map(ToOwned::to_owned));
        assert!(
            (0..10).all(|number| !counts.contains_key(&format!("{TASK} {number:02}"))),
            "cut at {cut}: sent twice"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn d1_scribbled_files_never_stop_the_start() {
    for file in [
        "report.json",
        "task.json",
        "log-000001",
        "gap-000001",
        "log-000000",
        "log-999999",
    ] {
        for junk in [
            &b""[..],
            b"\0\0\0\0",
            b"\xff\xfe\n",
            b"{}",
            b"null",
            b"[1,2",
            &[b'9'; 5000],
        ] {
            let mut stage = left_behind().await;
            fs::write(stage.path(TASK).join(file), junk).unwrap();
            stage.restart();
            stage.drain().await;
            let words = stage.manager.words();
            assert!(
                words.contains(&"other: (Completed) Completed".to_owned()),
                "{file}: {junk:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d1_wrong_bits_at_any_place_cost_at_most_that_folder() {
    let origin = left_behind().await;
    for file in ["report.json", "task.json"] {
        let whole = fs::read(origin.path(TASK).join(file)).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut stage = Stage::new();
            copy(&origin, &stage);
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            fs::write(stage.path(TASK).join(file), &bytes).unwrap();
            stage.restart();
            stage.drain().await;
            let words = stage.manager.words();
            let other = "other: (Completed) Completed".to_owned();
            assert!(words.contains(&other), "{file} at {at}: {words:?}");
            let kept = stage.folders("damaged").len() + stage.folders("history").len();
            assert_eq!(kept, 2, "{file} at {at}");
        }
    }
}

/// Copies both folders.
fn copy(from: &Stage, to: &Stage) {
    for task in [TASK, OTHER] {
        fs::create_dir(to.path(task)).unwrap();
        for entry in fs::read_dir(from.path(task)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.path(task).join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d4_no_task_begins_while_too_much_waits_or_too_little_is_free() {
    let stage = Stage::with(Limits {
        waiting_bytes: 10_000,
        ..Limits::default()
    });
    let mut entry = stage.begin(TASK);
    for _ in 0..200 {
        entry.line("", &"x".repeat(99));
    }
    entry.close(completed());
    let error = stage.spool.begin(&assigned(OTHER)).unwrap_err();
    assert!(matches!(error, SpoolError::TooMuchWaits { .. }), "{error}");
    assert!(!stage.spool.is_writable());

    let stage = Stage::with(Limits {
        free_bytes: u64::MAX,
        ..Limits::default()
    });
    let error = stage.spool.begin(&assigned(TASK)).unwrap_err();
    assert!(matches!(error, SpoolError::NoRoom { .. }), "{error}");
    assert!(!stage.spool.is_writable());
}

#[tokio::test(start_paused = true)]
async fn unfinished_and_foreign_files_are_passed_over() {
    let mut stage = left_behind().await;
    fs::create_dir(stage.home.path().join(format!("{TASK}.new"))).unwrap();
    fs::create_dir(stage.home.path().join("somebody else's")).unwrap();
    fs::write(stage.path(TASK).join("report.json.new"), "{").unwrap();
    stage.restart();
    stage.drain().await;
    assert_eq!(stage.folders("damaged").len(), 0);
    let left: Vec<_> = stage
        .folders("")
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(left, ["damaged", "history", "set-aside", "somebody else's"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_thousand_tasks_are_found_and_delivered_in_order_and_the_history_is_bounded() {
    let mut stage = Stage::new();
    let name = |number: usize| format!("3b241101-e2bb-4255-8caf-00000000{number:04}");
    for number in 0..1000 {
        let mut entry = stage.begin(&name(number));
        for _ in 0..10 {
            entry.line("", &"x".repeat(99));
        }
        entry.close(completed());
    }
    stage.restart();
    assert_eq!(
        stage.spool.pending(),
        PendingReports {
            tasks: 1000,
            outcomes: 1000
        }
    );
    stage.drain().await;
    let order: Vec<String> = stage
        .manager
        .updates
        .borrow()
        .iter()
        .filter(|(_, _, update)| update.status.is_some())
        .map(|(_, task, _)| task.clone())
        .collect();
    assert_eq!(order, (0..1000).map(name).collect::<Vec<_>>());
    stage.restart();
    stage.during(async |_, _| seconds(20).await).await;
    assert_eq!(stage.folders("history").len(), 50);
}

#[test]
fn d3_a_spool_that_cannot_be_used_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    fs::write(&path, "x").unwrap();
    let error = Spool::open(&path.join("spool"), Limits::default(), &Timings::default()).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn d2_an_outcome_that_the_disk_does_not_take_is_sent_all_the_same() {
    let mut stage = Stage::new();
    let mut entry = stage.begin(TASK);
    fs::remove_dir_all(stage.path(TASK)).unwrap();
    entry.line("", "line");
    entry.close(completed());
    stage.drain().await;
    assert_eq!(stage.manager.words(), ["line", "(Completed) Completed"]);
    assert!(stage.spool.is_writable());
    drop(stage.begin(TASK));
}

#[tokio::test(start_paused = true)]
async fn i6_each_run_that_ends_with_the_worker_is_counted_also_in_a_folder_that_was_left() {
    let mut stage = Stage::new();
    for runs in 1..=3 {
        let mut entry = stage.begin(TASK);
        entry.line("", "not sent before the end");
        std::mem::forget(entry);
        stage.restart();
        for run in stage.spool.orphaned_runs() {
            stage.spool.count_orphaned(&run);
        }
        assert_eq!(stage.spool.interruptions(TASK), runs);
    }
    stage.restart();
    assert!(stage.spool.orphaned_runs().is_empty(), "each run once");
}
