// SPDX-License-Identifier: GPL-3.0-or-later

//! A Blender that is kept between the tasks of a job. Here it is a stand-in for Blender, which does what a frame's number
//! says; what only Blender itself can show is in `warm_blender`.

mod bed;
mod reload;
mod seen;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{TaskStatus, When, WorkerStatus};
use test_bed::{Farm, cancel, until};
use test_needs::missing;

use self::bed::{BLENDER, Warm};

#[test]
fn a_job_of_single_frames_loads_its_file_once_and_each_task_has_its_own_log_and_environment() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    let tasks = warm.done("x.blend", &[1, 2, 3, 4, 5]);
    assert_eq!(warm.loads(), 1);
    for (task, frame) in tasks.iter().zip(1..) {
        assert_eq!(warm.picture(frame), format!("whole {frame}"));
        let log = warm.farm.log(task);
        let own = format!("frame {frame} of {task}, files in True");
        assert_eq!(log.matches("> frame ").count(), 1, "{log}");
        assert!(
            log.contains(&own) && log.contains(&format!("--render-frame {frame}\n")),
            "{log}"
        );
        assert!(
            log.contains("unfinished line") && !log.contains("flamenco-worker "),
            "{log}"
        );
        assert_eq!(log.contains("Read blend"), frame == 1, "{log}");
    }
    assert!(warm.farm.log(&tasks[4]).contains("it has rendered 5 tasks"));
    warm.node.finish();
}

#[test]
fn k3_what_a_task_has_started_goes_with_it_and_is_named() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.file("x.blend", &json!({"at": {"2": "spawn"}}));
    let tasks = warm.done("x.blend", &[1, 2, 3]);
    assert!(warm.farm.log(&tasks[1]).contains("left behind and ended: sleep (pid "));
    assert!(!warm.farm.log(&tasks[2]).contains("left behind"));
    assert_eq!(warm.loads(), 1);
    warm.node.finish();
}

#[test]
fn k1_one_that_dies_in_a_frame_is_no_tasks_fault_and_twice_is_enough_for_a_job() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.file("x.blend", &json!({"at": {"2": "die always", "4": "die always"}}));
    let tasks = warm.done("x.blend", &[1, 2, 3, 4, 5]);
    for frame in 1..=5 {
        assert_eq!(warm.picture(frame), format!("whole {frame}"));
    }
    let log = warm.farm.log(&tasks[1]);
    assert!(log.contains("    # backtrace of 2"), "{log}");
    assert!(
        log.contains("was killed by SIGKILL (9)")
            && log.contains("The Blender that is kept between tasks died")
            && !log.contains("rest of this job"),
        "{log}"
    );
    assert!(warm.farm.log(&tasks[3]).contains("and so is the rest of this job"));
    let log = warm.farm.log(&tasks[4]);
    assert!(log.contains("Read blend") && !log.contains("kept"), "{log}");
    // 1 and 2 in one, 2 anew, 3 and 4 in one, 4 anew, 5.
    assert_eq!(warm.loads(), 5);
    // Another job has its own chance.
    warm.file("y.blend", &json!({}));
    warm.done("y.blend", &[6, 7]);
    assert_eq!(warm.loads(), 6);
    warm.node.finish();
}

#[test]
fn k1_what_it_cannot_render_is_rendered_cold_and_fails_in_the_words_of_that() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.file("x.blend", &json!({"at": {"1": "error", "2": "garbage"}}));
    let tasks = warm.job("x.blend", &[1]);
    warm.farm.reaches(&tasks[0], TaskStatus::Failed);
    let log = warm.farm.log(&tasks[0]);
    assert!(
        log.contains("failed (Error: no camera): this is rendered by a new one"),
        "{log}"
    );
    assert!(log.contains("Failed: command exited abnormally with code 1"), "{log}");
    let tasks = warm.done("x.blend", &[2]);
    assert!(warm.farm.log(&tasks[0]).contains("this is rendered by a new one"));
    warm.node.finish();
}

#[test]
fn a_file_that_is_not_for_it_is_rendered_cold_without_a_word() {
    if missing("python3") {
        return;
    }
    for why in ["layer", "movie"] {
        let warm = Warm::new(&[]);
        warm.file("x.blend", &json!({"refuse": why}));
        let tasks = warm.done("x.blend", &[1, 2]);
        for task in &tasks {
            let log = warm.farm.log(task);
            assert!(!log.contains("kept"), "{log}");
            assert_eq!(log.matches("> Read blend").count(), 1, "{log}");
        }
        // It was tried for the first.
        assert_eq!(warm.loads(), 3);
        warm.node.finish();
    }
}

#[test]
fn k4_another_job_file_or_library_has_one_of_its_own() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    let library = warm.path("library");
    // It was there before any Blender was started.
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    };
    write(&library, "1");
    warm.file("x.blend", &json!({"libraries": [library]}));
    warm.done("x.blend", &[1, 2]);
    assert_eq!(warm.loads(), 1);
    warm.done("x.blend", &[3]);
    assert_eq!(warm.loads(), 2, "another job");
    let hold = |deed: &dyn Fn()| {
        // Of one job: the second frame is handed out when the first is done and the change is made.
        let waiting = json!({"libraries": [library], "at": {"4": "wait"}});
        fs::remove_file(warm.path("go")).ok();
        warm.file("x.blend", &waiting);
        let tasks = warm.job("x.blend", &[4, 5]);
        warm.farm.says(&tasks[0], "> waiting");
        let before = warm.loads();
        deed();
        fs::write(warm.path("go"), "").unwrap();
        tasks.iter().for_each(|task| drop(warm.farm.completed(task)));
        warm.loads() - before
    };
    assert_eq!(hold(&|| {}), 0);
    assert_eq!(hold(&|| warm.file("x.blend", &json!({}))), 1, "the file");
    let replace = || {
        write(&warm.path("new"), "2");
        fs::rename(warm.path("new"), &library).unwrap();
    };
    assert_eq!(hold(&replace), 1, "the library, while it rendered");
    // What is so new may have been written after Blender has read it.
    fs::write(&library, "3").unwrap();
    assert_eq!(hold(&|| {}), 1, "a library of this moment");
    warm.node.finish();
}

#[test]
fn it_goes_when_it_is_idle_after_so_many_tasks_and_when_it_is_too_large() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&["idle = \"300ms\"", "tasks = 2"]);
    warm.done("x.blend", &[1, 2, 3]);
    assert_eq!(warm.loads(), 2);
    warm.cold();
    assert_eq!(warm.noted("quits").len(), 2, "it quit by itself");
    warm.node.finish();
    let small = Warm::new(&["memory = \"150MiB\""]);
    small.done("x.blend", &[1, 2]);
    assert_eq!(small.loads(), 1, "it is small enough");
    small.file("x.blend", &json!({"at": {"1": "fat"}}));
    small.done("x.blend", &[1, 2]);
    assert_eq!(small.loads(), 3);
    small.node.finish();
}

#[test]
fn it_goes_when_the_worker_takes_no_task() {
    if missing("python3") {
        return;
    }
    // An add-on may keep Blender from quitting: it has rendered all the same.
    for (when, quit) in [(When::AfterTask, "never"), (When::Now, "at once")] {
        let warm = Warm::new(&[]);
        warm.file("x.blend", &json!({"quit": quit}));
        warm.done("x.blend", &[1, 2]);
        assert_eq!(warm.loads(), 1);
        warm.farm.ask(WorkerStatus::Asleep, when);
        warm.farm.status(WorkerStatus::Asleep);
        warm.cold();
        warm.node.finish();
    }
    let mut warm = Warm::new(&[]);
    warm.done("x.blend", &[1]);
    assert_eq!(warm.node.stop(), 0);
    warm.node.nothing_left();
}

#[test]
fn k2_nothing_of_it_survives_its_guard_or_its_worker() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.done("x.blend", &[1]);
    let guard = warm.guard();
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    warm.cold();
    warm.done("x.blend", &[2]);
    let Warm { farm: _farm, mut node } = warm;
    node.kill();
    node.nothing_left_but_files();
    node.start();
    node.swept();
    node.finish();
}

#[test]
fn a_task_that_is_cancelled_in_it_ends_as_any_other() {
    if missing("python3") {
        return;
    }
    let (warm, task) = Warm::waiting();
    cancel(&warm.farm, &task);
    warm.cold();
    until(
        "the log to say why",
        || warm.farm.log(&task).contains("Stopped: ").then_some(()),
        || warm.farm.log(&task),
    );
    let log = warm.farm.log(&task);
    assert!(
        log.contains("ended as asked") && !log.contains("rendered this"),
        "{log}"
    );
    warm.node.finish();
}

#[test]
fn k5_what_it_answers_once_its_task_is_stopped_counts_for_nothing() {
    if missing("python3") {
        return;
    }
    let (warm, task) = Warm::waiting();
    warm.farm.ask(WorkerStatus::Asleep, When::Now);
    warm.farm.status(WorkerStatus::Asleep);
    // Not the 20 s that one is kept, nor the time for which one is asked to end.
    warm.cold();
    assert_eq!(warm.farm.outcomes(&task), Vec::<String>::new());
    fs::write(warm.path("go"), "").unwrap();
    warm.farm.ask(WorkerStatus::Awake, When::Now);
    warm.farm.completed(&task);
    assert_eq!(warm.picture(2), "whole 2");
    warm.node.finish();
}

#[test]
fn k5_a_render_that_somebody_else_has_broken_off_is_done_again() {
    if missing("python3") {
        return;
    }
    let (warm, task) = Warm::waiting();
    kill(Pid::from_raw(warm.noted("loads")[0]), Signal::SIGINT).unwrap();
    fs::write(warm.path("go"), "").unwrap();
    warm.farm.completed(&task);
    assert_eq!(warm.picture(2), "whole 2");
    warm.node.finish();
}

#[test]
fn a_task_that_is_cancelled_while_the_file_is_loaded_ends_as_any_other_and_counts_for_nothing() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.file("x.blend", &json!({"load": "wait"}));
    for load in 1..=2 {
        let task = warm.job("x.blend", &[1]).remove(0);
        warm.node.until("the file to be loaded", || warm.loads() == load);
        cancel(&warm.farm, &task);
        warm.cold();
        warm.farm.says(&task, "Stopped: ");
        let log = warm.farm.log(&task);
        assert!(log.contains("ended as asked") && !log.contains("kept"), "{log}");
        assert!(log.contains("> Read blend"), "what was held back: {log}");
    }
    warm.node.finish();
}

#[test]
fn a_task_of_another_job_finds_its_memory_free() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&[]);
    warm.done("x.blend", &[1]);
    let blender = *warm.noted("loads").last().unwrap();
    assert!(test_bed::lives(blender));
    let other = warm.farm.script(&format!("kill -0 {blender} && exit 1; exit 0"));
    warm.farm.completed(&other);
    warm.node.finish();
}

#[test]
fn a_blender_that_is_quiet_by_itself_is_asked_to_say_what_it_renders() {
    if missing("python3") {
        return;
    }
    let warm = Warm::new(&["tasks = 1"]);
    warm.file("x.blend", &json!({"version": [5, 0, 0]}));
    warm.done("x.blend", &[1, 2]);
    // The first was not asked, and loaded again; from then on it is known.
    assert_eq!((warm.loads(), warm.noted("asked-to-log").len()), (3, 2));
    warm.node.finish();
}

#[test]
fn without_the_key_nothing_is_kept() {
    if missing("python3") {
        return;
    }
    let warm = {
        let (farm, mut node) = Farm::with_node();
        node.start();
        farm.awake();
        let blender = node.folder.join("blender");
        fs::write(&blender, BLENDER).unwrap();
        fs::set_permissions(&blender, PermissionsExt::from_mode(0o755)).unwrap();
        Warm { farm, node }
    };
    warm.file("x.blend", &json!({}));
    warm.done("x.blend", &[1, 2]);
    assert_eq!(warm.loads(), 2);
    assert!(!Path::new(&warm.node.home().join("warm")).exists());
    warm.node.finish();
}
