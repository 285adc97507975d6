// SPDX-License-Identifier: GPL-3.0-or-later

//! The demonstration from beginning to end, with its own renderer and the worker that was built beside it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, helpers included")]

mod run;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{Options, StandIn, WorkerStatus};

use run::{Demo, LIMIT, call};

/// What a program that is not Blender has to end by itself, unless its worker is in a hurry.
const GRACE: Duration = Duration::from_secs(8);

/// The same signal sooner than this after another is that one still: a tenth of a second, and what it takes to arrive.
const AT_ONCE: Duration = Duration::from_millis(200);

#[test]
fn the_walk_renders_goes_through_the_actions_and_leaves_nothing_but_pictures() {
    let Some(demo) = Demo::start(&[]) else { return };
    let end = demo.end();
    assert_eq!(end.code, Some(0), "{end}");
    assert!(end.took < Duration::from_secs(60), "{end}");
    for step in [
        "Restart",
        "Send to Sleep",
        "Wake Up",
        "Shut Down",
        "-p demo -- --stay",
        "Nothing is left running",
    ] {
        assert!(end.said.contains(step), "{step} is not shown: {end}");
    }
    assert_eq!(end.pictures, 18, "{end}");
}

#[test]
fn a_farm_that_stays_is_steered_over_its_page_s_calls_until_ctrl_c() {
    let Some(mut demo) = Demo::start(&["--stay", "--workers", "2", "--jobs", "long"]) else {
        return;
    };
    let page = demo.says("Page ");
    let url = page.trim_start_matches("  Page").trim();
    let two = demo.until("two workers at work", || {
        let workers = call(url, "GET", "worker-mgt/workers", "");
        let awake = workers["workers"].as_array().filter(|all| all.len() == 2)?.clone();
        awake.iter().all(|worker| worker["status"] == "awake").then_some(awake)
    });
    let [first, second] = two.as_slice() else {
        panic!("{two:?}")
    };
    assert_eq!([&first["can_restart"], &second["can_restart"]], [true, true]);
    assert_ne!(first["name"], second["name"]);
    let ask = |worker: &serde_json::Value, status: &str| {
        let body = json!({"status": status, "is_lazy": false}).to_string();
        let path = format!("worker-mgt/workers/{}/setstatus", worker["id"].as_str().unwrap());
        call(url, "POST", &path, &body);
    };
    let is = |worker: &serde_json::Value, status: &'static str| {
        let path = format!("worker-mgt/workers/{}", worker["id"].as_str().unwrap());
        move || (call(url, "GET", &path, "")["status"] == status).then_some(())
    };
    ask(first, "asleep");
    demo.until("it sleeps", is(first, "asleep"));
    ask(first, "awake");
    demo.until("it is awake", is(first, "awake"));
    // Whichever of the two came second.
    let number = second["name"].as_str().unwrap().trim_start_matches("demo-worker-");
    let log = format!("worker-{number}.log");
    let lives = demo.log_count(&log, "manager accepted sign-on");
    ask(second, "restart");
    demo.until("it has signed on again", || {
        (demo.log_count(&log, "manager accepted sign-on") > lives).then_some(())
    });
    ask(first, "offline");
    demo.until("it has left", is(first, "offline"));
    demo.says("has left");
    demo.signal(Signal::SIGINT);
    let end = demo.end();
    assert_eq!(end.code, Some(0), "{end}");
    assert!(end.said.contains("2 workers signed off and left."), "{end}");
    assert!(end.said.contains("Nothing is left running."), "{end}");
}

#[test]
fn samples_that_misbehave_end_by_themselves_and_each_is_told_of() {
    let Some(demo) = Demo::start(&["--jobs", "failing,stubborn", "--jobs=escape"]) else {
        return;
    };
    let end = demo.end();
    assert_eq!(end.code, Some(0), "{end}");
    let words = end.said.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "The task simulate is failed, the job failed. Its log ends:",
        "unexpected end of file (0 of 48 MB)",
        "Cancelled while it ran. It heard SIGTERM and stayed, until it was killed:",
        "5 processes got away from the program, which then left. The log names 5 of them as left behind and ended.",
        "Nothing of it is left running.",
        "Nothing is left running.",
    ] {
        assert!(words.contains(wanted), "\"{wanted}\" is not said: {end}");
    }
}

#[test]
fn a_guest_signs_on_at_a_manager_and_leaves_no_row_behind() {
    let standin = StandIn::start(Options::default()).unwrap();
    let Some(mut demo) = Demo::start(&["--manager", &standin.url(), "--workers", "2"]) else {
        return;
    };
    let names = standin
        .wait_for(LIMIT, "two guests to be awake", |snapshot| {
            let awake = snapshot.workers().filter(|worker| worker.status == WorkerStatus::Awake);
            let names: Vec<_> = awake.map(|worker| worker.name.clone()).collect();
            (names.len() == 2).then_some(names)
        })
        .unwrap();
    assert!(names.iter().all(|name| name.starts_with("demo-")), "{names:?}");
    demo.says("awake");
    demo.signal(Signal::SIGTERM);
    let end = demo.end();
    assert_eq!(end.code, Some(0), "{end}");
    assert!(end.said.contains("3.9-beta1"), "the version is not shown: {end}");
    assert!(
        end.said
            .contains("2 workers signed off, and deleted from the Manager's list."),
        "{end}"
    );
    assert!(standin.workers().is_empty(), "{}", standin.dump());
}

#[test]
fn without_a_manager_at_the_address_no_worker_is_started() {
    let standin = StandIn::start(Options::default()).unwrap();
    let url = standin.url();
    drop(standin);
    let Some(demo) = Demo::start(&["--manager", &url]) else {
        return;
    };
    let end = demo.end();
    assert_eq!(end.code, Some(1), "{end}");
    assert!(
        end.said.contains(&format!("There is no Flamenco Manager at {url}")),
        "{end}"
    );
    assert!(end.said.contains("refused"), "{end}");
}

#[test]
fn a_farm_that_stays_ends_when_nobody_reads_on() {
    let Some(mut demo) = Demo::start(&["--stay", "--jobs", "escape"]) else {
        return;
    };
    demo.says("awake");
    demo.stop_reading();
    assert_eq!(demo.end().code, Some(0));
}

#[test]
fn a_second_signal_skips_the_grace_of_a_stubborn_program() {
    let Some(mut demo) = Demo::start(&["--stay", "--jobs", "stubborn"]) else {
        return;
    };
    demo.says("hold-on");
    demo.until("the program to run", || {
        (demo.log_count("worker.log", "running command") > 0).then_some(())
    });
    let first = Instant::now();
    demo.signal(Signal::SIGINT);
    // A signal that comes before the first was taken up, or at once after it, is the first.
    demo.until("the worker to be ending its program", || {
        (demo.log_count("worker.log", "ending the task") > 0 && first.elapsed() > AT_ONCE).then_some(())
    });
    let asked = Instant::now();
    demo.signal(Signal::SIGINT);
    let end = demo.end();
    assert!(asked.elapsed() < GRACE / 2, "{end}");
    assert_eq!(end.code, Some(0), "{end}");
    assert!(end.said.contains("1 worker signed off and left."), "{end}");
}

#[test]
fn a_wrong_command_line_is_two_and_says_what_to_do() {
    for (words, wanted) in [
        (&["--workers", "2"][..], "--stay, --jobs or --manager"),
        (&["--jobs", "nothing"], "possible values: render, long"),
        (&["--manager", "farm", "--jobs", "render"], "echo-sleep-test"),
        (&["--frames"], "--frames"),
    ] {
        let Some(demo) = Demo::start(words) else { return };
        let end = demo.end();
        assert_eq!(end.code, Some(2), "{words:?}: {end}");
        assert!(end.complained.contains(wanted), "{words:?}: {end}");
    }
}
