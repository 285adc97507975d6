// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever sends us round does it slowly, and is said: a Manager that answers at once and for ever, one that forgets what
//! it was told, a task that ends its worker, a sign-on that is not trusted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{Endpoint, Fault, FaultKind, Options, TaskStatus};
use tokio::time::Instant;

use test_bed::{Farm, Node, PATIENCE, file};

fn answer(code: u16, headers: &[(&str, &str)], body: &str) -> FaultKind {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    FaultKind::Status {
        code,
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

/// Each fetch is answered with this for so long, and a task waits meanwhile. Answers with how often it was asked.
fn asked_while(farm: &Farm, node: &mut Node, kind: FaultKind, time: Duration) -> usize {
    farm.manager.clear_requests();
    farm.fault(Fault::at(Endpoint::FetchTask, kind).forever());
    let task = farm.script("true");
    let began = Instant::now();
    farm.wait("the first of such answers", |farm| {
        farm.requests()
            .iter()
            .any(|seen| seen.endpoint == Endpoint::FetchTask)
            .then_some(())
    });
    while began.elapsed() < time {
        assert!(node.runs(), "{}", node.log());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let asked = farm.manager.requests().len();
    farm.manager.clear_faults();
    farm.completed(&task);
    asked
}

#[test]
fn i26_a_manager_that_says_awake_to_who_is_awake_is_obeyed_slowly() {
    let (farm, mut node) = Farm::with_node();
    node.set("idle_min", "500ms").set("idle_max", "1s").start();
    farm.awake();
    let awake = answer(423, &[], r#"{"status_requested":"awake"}"#);
    let asked = asked_while(&farm, &mut node, awake, Duration::from_secs(3));
    // Ten turns at once, then two a second, with two requests each.
    assert!(asked < 60, "{asked}");
    assert!(
        node.log().contains("one state follows the other without end"),
        "{}",
        node.log()
    );
    node.finish();
}

#[test]
fn i26_a_manager_that_asks_for_a_restart_that_cannot_be_is_obeyed_slowly() {
    let (farm, mut node) = Farm::with_node();
    node.arguments.clear();
    node.set("idle_min", "500ms").set("idle_max", "1s").start();
    farm.awake();
    let restart = answer(423, &[], r#"{"status_requested":"restart"}"#);
    let asked = asked_while(&farm, &mut node, restart, Duration::from_secs(3));
    assert!(asked < 100, "{asked}");
    node.finish();
}

#[test]
fn i26_words_and_ids_of_any_length_or_shape_are_bounded_in_the_log_and_harmless() {
    let (farm, mut node) = Farm::with_node();
    farm.start(&mut node);
    let long = "x".repeat(700_000);
    for body in [
        json!({ "code": 500, "message": long }).to_string(),
        json!({ "commands": long, "uuid": "3b241101-e2bb-4255-8caf-4136c566a962" }).to_string(),
        json!({ "uuid": long }).to_string(),
        json!({ "uuid": ".." }).to_string(),
        json!({ "uuid": "../../x\ny", "job": "j", "name": "n", "commands": [] }).to_string(),
    ] {
        let code = if body.contains("\"code\"") { 500 } else { 200 };
        asked_while(&farm, &mut node, answer(code, &[], &body), Duration::from_millis(600));
    }
    let size = node.log().len();
    assert!(size < 300_000, "{size} bytes of log");
    let odd: Vec<_> = farm
        .manager
        .requests()
        .into_iter()
        .filter(|seen| seen.path.contains(".."))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    node.finish();
}

#[test]
fn i26_a_uuid_that_is_no_name_is_not_written_into_the_credentials() {
    let farm = Farm::new();
    let odd = answer(200, &[], "{\"uuid\":\"x\\\"\\nworker_secret: \\\"known\"}");
    farm.fault(Fault::at(Endpoint::Register, odd).times(3));
    let node = farm.awake_node();
    let credentials = file(&node.home().join("flamenco-worker-credentials.yaml"));
    assert!(!credentials.contains("known"), "{credentials}");
    assert!(credentials.contains(&farm.worker()), "{credentials}");
    node.finish();
}

#[test]
fn i12_an_absurd_retry_after_neither_panics_nor_makes_deaf_to_a_stop() {
    for value in ["18446744073709551615", "Fri, 01 Jan 2094 00:00:00 GMT", "86400"] {
        let (farm, mut node) = Farm::with_awake_node();
        farm.manager.clear_requests();
        for endpoint in [Endpoint::FetchTask, Endpoint::State, Endpoint::TaskUpdate] {
            farm.fault(Fault::at(endpoint, answer(503, &[("Retry-After", value)], "busy")));
        }
        farm.asked(Endpoint::FetchTask, 1);
        farm.wait("the answer", |farm| {
            farm.requests()
                .iter()
                .any(|seen| seen.status() == Some(503))
                .then_some(())
        });
        let began = Instant::now();
        assert_eq!(node.stop(), 0, "{}", node.log());
        assert!(began.elapsed() < PATIENCE / 2);
        assert!(!node.log().contains("panicked"), "{}", node.log());
        node.finish();
    }
}

/// Answers each request with provisional answers without end, for as long as the other side reads them.
fn provisional_for_ever(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        std::thread::spawn(move || {
            let mut request = [0; 4096];
            let _asked = stream.read(&mut request);
            let many = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
            while stream.write_all(&many).is_ok() {}
        });
    }
}

#[test]
fn i12_provisional_answers_without_end_are_no_answer_and_a_stop_is_obeyed() {
    let farm = Farm::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = farm.node("node");
    node.url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || provisional_for_ever(&listener));
    node.set("request_timeout", "1s").set("question_timeout", "1s").start();
    node.until("the registration to be given up once", || {
        node.log().contains("cannot register at the Manager")
    });
    assert_eq!(node.stop(), 0, "{}", node.log());
    node.finish();
}

#[test]
fn i10_a_task_that_comes_again_and_again_is_run_ever_more_slowly_and_said() {
    let (farm, mut node) = Farm::with_node();
    node.set("strike_pause_min", "500ms")
        .set("strike_pause_max", "30s")
        .start();
    farm.awake();
    let task = farm.script("echo ran >> runs");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        farm.completed(&task);
        farm.manager.set_task_status(&task, TaskStatus::Queued).unwrap();
    }
    let runs = file(&node.folder.join("runs")).lines().count();
    assert!((2..=7).contains(&runs), "{runs} runs");
    assert!(
        node.log().contains("hands this task out again and again"),
        "{}",
        node.log()
    );
    assert!(farm.log(&task).contains("hands this task out again and again"));
    assert_eq!(node.stop(), 0, "{}", node.log());
    node.finish();
}

/// Starts the worker as often as it ends until its task has failed, like a supervisor without patience. Answers with the
/// number of starts.
fn supervised(farm: &Farm, node: &mut Node, task: &str) -> usize {
    let began = Instant::now();
    for starts in 1.. {
        node.start();
        while node.runs() {
            let known = farm.manager.task(task).unwrap();
            if matches!(known.status, TaskStatus::Failed | TaskStatus::SoftFailed) {
                return starts;
            }
            assert!(began.elapsed() < PATIENCE * 2, "{}", node.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        node.ended();
    }
    unreachable!("it counts for ever")
}

/// Runs a task that ends its worker in this way; it is failed after the third run, and the next one runs.
fn a_task_that_ends_its_worker(script: &str) {
    let (farm, mut node) = Farm::with_node();
    node.set("strike_pause_min", "200ms");
    let task = farm.script(script);
    supervised(&farm, &mut node, &task);
    assert_eq!(file(&node.folder.join("runs")), "ran\nran\nran\n");
    let activity = farm.manager.task(&task).unwrap().activity;
    assert!(activity.contains("3 times in a row"), "{activity}");
    assert!(node.log().contains("1 of 3 times"), "{}", node.log());
    let next = farm.script("true");
    farm.completed(&next);
    assert_eq!(node.stop(), 0, "{}", node.log());
    node.nothing_left_but_files();
}

/// The worker is the parent of the guard, which is the parent of the program.
const WORKER: &str = "echo ran >> runs; guard=$PPID; worker=$(cut -d' ' -f4 /proc/$guard/stat)";

#[test]
fn i6_a_task_that_kills_its_worker_has_failed_after_the_third_time() {
    a_task_that_ends_its_worker(&format!("{WORKER}; kill -KILL $worker; sleep 60"));
}

#[test]
fn i6_a_task_that_has_its_worker_restarted_has_failed_after_the_third_time() {
    a_task_that_ends_its_worker(&format!("{WORKER}; kill -TERM $worker; sleep 60"));
}

#[test]
fn i6_a_worker_that_was_stopped_in_the_middle_of_a_task_does_not_count_it_when_it_ends_well() {
    let (farm, mut node) = Farm::with_node();
    node.set("strike_pause_min", "50ms").start();
    let task = farm.script("echo ran >> runs; until [ -e go ]; do sleep 0.05; done");
    for runs in 1..=2 {
        let ran = || fs::read_to_string(node.folder.join("runs")).is_ok_and(|text| text.lines().count() == runs);
        node.until("the task to run", ran);
        node.kill();
        node.start();
    }
    let counted = || fs::read_to_string(node.home().join("spool/cut-short.json")).unwrap_or_default();
    node.until("the runs that were cut short to be counted", || {
        counted().contains(&task)
    });
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.until("them to be forgotten", || !counted().contains(&task));
    node.finish();
}

fn coming() -> Farm {
    Farm::with(Options {
        unclean_sign_ons: Some(3),
        ..Options::default()
    })
}

#[test]
fn i19_a_worker_that_is_killed_again_and_again_signs_off_before_it_signs_on() {
    let farm = coming();
    let mut node = farm.node("node");
    let task = farm.script("until [ -e go ]; do sleep 0.05; done");
    for _ in 0..6 {
        node.start();
        farm.status(standin_manager::WorkerStatus::Awake);
        node.signal(Signal::SIGKILL);
        node.ended();
    }
    fs::write(node.folder.join("go"), "").unwrap();
    node.set("strike_pause_min", "50ms").start();
    let done = farm.completed(&task);
    assert_eq!(done.status, TaskStatus::Completed);
    assert!(farm.manager.workers()[0].unclean_sign_ons <= 1);
    node.finish();
}

#[test]
fn i19_a_fetch_that_is_refused_is_answered_with_a_sign_off_and_a_sign_on() {
    let farm = coming();
    let node = farm.awake_node();
    let words = r#"{"code":400,"message":"too many unclean sign-on requests detected"}"#;
    farm.manager.clear_requests();
    farm.fault(Fault::at(Endpoint::FetchTask, answer(400, &[], words)).times(2));
    let task = farm.script("true");
    farm.completed(&task);
    assert_eq!(farm.requests(Endpoint::SignOff).len(), 2, "{}", node.log());
    assert_eq!(farm.requests(Endpoint::SignOn).len(), 2);
    assert!(node.log().contains("too many unclean sign-on"), "{}", node.log());
    assert_eq!(farm.manager.workers()[0].unclean_sign_ons, 0);
    node.finish();
}
