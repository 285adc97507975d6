// SPDX-License-Identifier: GPL-3.0-or-later

//! `-flush`: what waits in a home is delivered without a worker, and nothing else is said.

use std::fs;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, WorkerStatus};

use crate::end_notes::{WAITS, is_killed_after_the_end};
use test_bed::{Farm, Node, bash, file, logged};

/// A farm whose Manager is away, and a node that was killed when the outcome of this task was on its disk.
fn with_a_result_that_waits() -> (Farm, Node, String) {
    let (farm, mut node) = Farm::with_awake_node();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done; echo ran >> runs; echo last words");
    farm.manager.stop();
    fs::write(node.folder.join("go"), "").unwrap();
    node.until("the task to be over", || node.children().is_empty());
    node.outcome_on_disk(&task);
    node.kill();
    (farm, node, task)
}

/// Runs `-flush` in the home of this node: its exit code, and what it logged.
fn flush(node: &mut Node) -> (i32, String) {
    fs::write(node.log_file(), "").unwrap();
    node.arguments.push("-flush".into());
    node.start();
    let code = node.ended();
    node.arguments.pop();
    (code, node.log())
}

/// All that was asked of the Manager is what reports are delivered with.
fn only_reported(farm: &Farm) {
    let asked = farm.manager.requests();
    let reports = |endpoint| matches!(endpoint, Endpoint::TaskUpdate | Endpoint::MayIRun);
    assert!(asked.iter().all(|seen| reports(seen.endpoint)), "{asked:?}");
}

#[test]
fn j7_a_flush_delivers_what_a_killed_worker_left_and_the_next_start_runs_nothing_again() {
    let (farm, mut node, task) = with_a_result_that_waits();
    farm.manager.start_again().unwrap();
    farm.manager.clear_requests();
    let (code, said) = flush(&mut node);
    assert!(
        code == 0 && said.contains("all that waited is delivered"),
        "{code}: {said}"
    );
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Completed);
    assert_eq!(farm.log(&task).matches("> last words").count(), 1);
    only_reported(&farm);
    assert_eq!(
        farm.manager.workers()[0].status,
        WorkerStatus::Awake,
        "as the kill left it"
    );
    farm.manager.clear_requests();
    let (code, said) = flush(&mut node);
    assert!(code == 0 && said.contains("nothing waits"), "{code}: {said}");
    assert!(farm.manager.requests().is_empty());
    farm.start(&mut node);
    farm.asked(Endpoint::FetchTask, 1);
    assert_eq!(file(&node.folder.join("runs")), "ran\n");
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.finish();
}

#[test]
fn j7_a_flush_knows_the_end_of_a_program_that_the_killed_worker_had_not_on_disk() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = is_killed_after_the_end(&farm, &mut node, vec![bash(&format!("{WAITS}; exit 0"))]);
    farm.manager.clear_requests();
    assert_eq!(flush(&mut node).0, 0);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    only_reported(&farm);
    node.nothing_left_but_files();
}

#[test]
fn j7_beside_a_worker_a_flush_names_it_and_leaves_it_alone() {
    let (farm, node) = Farm::with_awake_node();
    let mut other = farm.node("other");
    other.environment.push(("FLAMENCO_HOME".into(), node.home().into()));
    let (code, said) = flush(&mut other);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains(&format!("process id {}", node.pid())), "{said}");
    assert!(said.contains("delivers what waits there"), "{said}");
    farm.completed(&farm.script("true"));
    node.finish();
}

#[test]
fn j7_a_manager_that_does_not_answer_is_given_up_and_nothing_is_lost() {
    let (farm, mut node, task) = with_a_result_that_waits();
    node.set("flush_patience", "400ms");
    let (code, said) = flush(&mut node);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("not all was delivered") && said.contains("tasks=1 outcomes=1"),
        "{said}"
    );
    // None is named, and none is found.
    let url = std::mem::take(&mut node.url);
    let (code, said) = flush(&mut node);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("searching the networks") && said.contains("not all was delivered"),
        "{said}"
    );
    node.url = url;
    // A stop in the middle.
    fs::write(node.log_file(), "").unwrap();
    node.set("flush_patience", "10m");
    node.arguments.push("-flush".into());
    node.start();
    logged(&node, "cannot deliver reports");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 1);
    // It hears us, and is slow.
    farm.manager.start_again().unwrap();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).times(2));
    node.start();
    assert_eq!(node.ended(), 0, "{}", node.log());
    assert_eq!(farm.outcomes(&task).last().map(String::as_str), Some("completed"));
    assert_eq!(farm.log(&task).matches("> last words").count(), 1);
    node.nothing_left_but_files();
}

#[test]
fn j7_what_the_manager_does_not_want_is_dealt_with_and_what_it_refuses_stays() {
    for (answer, code) in [(409, 0), (404, 0), (403, 1), (500, 1)] {
        let (farm, mut node, task) = with_a_result_that_waits();
        farm.manager.start_again().unwrap();
        // Waited out only where nothing can be delivered.
        node.set("flush_patience", if code == 0 { "20s" } else { "400ms" });
        farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(answer)).forever());
        let (ended, said) = flush(&mut node);
        assert_eq!(ended, code, "{answer}: {said}");
        assert_eq!(node.home().join("spool").join(&task).exists(), code == 1, "{answer}");
        assert!(node.home().join("flamenco-worker-credentials.yaml").exists());
        node.nothing_left_but_files();
    }
}

#[test]
fn j7_a_home_without_credentials_is_said_and_where_there_is_no_home_none_is_made() {
    let (farm, mut node, task) = with_a_result_that_waits();
    farm.manager.start_again().unwrap();
    farm.manager.clear_requests();
    let credentials = node.home().join("flamenco-worker-credentials.yaml");
    let kept = node.folder.join("kept");
    fs::rename(&credentials, &kept).unwrap();
    let (code, said) = flush(&mut node);
    assert!(code == 1 && said.contains("there are no credentials"), "{code}: {said}");
    assert!(said.contains("tasks=1"), "{said}");
    assert!(farm.manager.requests().is_empty());
    fs::rename(&kept, &credentials).unwrap();
    assert_eq!(flush(&mut node).0, 0);
    assert_eq!(farm.outcomes(&task), ["completed"]);

    let mut nowhere = farm.node("nowhere");
    nowhere.url = String::new();
    let (code, said) = flush(&mut nowhere);
    assert!(code == 0 && said.contains("nothing waits"), "{code}: {said}");
    assert!(!nowhere.home().exists());
    // One that is to be mounted, and is not.
    let home = nowhere.home().display().to_string();
    nowhere.config.top.push(format!("node = {{ mounted = [\"{home}\"] }}"));
    fs::create_dir(&home).unwrap();
    let (code, said) = flush(nowhere.set("flush_patience", "300ms"));
    assert!(code == 1 && said.contains("the home cannot be used"), "{code}: {said}");
}
