// SPDX-License-Identifier: GPL-3.0-or-later
//! Time-outs.

use std::time::Duration;

use standin_manager::{Options, StandIn, When, WorkerStatus};

use crate::client::{Caller, LONG, job};

const NO_TIME: Duration = Duration::from_millis(1);

fn hasty(worker_timeout: Duration, task_timeout: Duration) -> StandIn {
    let check = Duration::from_millis(5);
    let options = Options {
        worker_timeout,
        task_timeout,
        timeout_check: check,
        first_timeout_check: check,
        ..Options::default()
    };
    StandIn::start(options).unwrap()
}

#[test]
fn an_unseen_worker_goes_to_error_and_its_task_back() {
    let standin = hasty(NO_TIME, LONG);
    let worker = Caller::registered(&standin, "w");
    standin.ask(&worker.id, WorkerStatus::Asleep, When::Now).unwrap();
    let never_seen = Caller::registered(&standin, "x");
    worker.sign_on("w");
    let error = |snapshot: &standin_manager::Snapshot<'_>| {
        snapshot
            .worker(&worker.id)
            .filter(|worker| worker.status == WorkerStatus::Error)
            .cloned()
    };
    let row = standin
        .wait_for(LONG, "a time-out", error)
        .unwrap_or_else(|dump| panic!("{dump}"));
    assert_eq!(row.requested, None, "the request is forgotten");
    assert_eq!(worker.call("GET", "state").status, 204, "and the worker is not told");
    assert_eq!(
        worker.fetch().message(),
        "worker is in state \"error\", requires state \"awake\" to execute tasks"
    );
    assert_eq!(
        standin.worker(&never_seen.id).unwrap().status,
        WorkerStatus::Unset,
        "never signed on, never timed out"
    );
}

#[test]
fn a_timed_out_workers_task_is_requeued_with_the_reason() {
    let standin = StandIn::start(Options {
        worker_timeout: Duration::ZERO,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::awake(&standin, "w");
    job(&standin, 1);
    let task = worker.got();
    standin.check_timeouts();
    assert_eq!(
        standin.task(&task).unwrap().activity,
        "Task was queued by Manager because worker timed out"
    );
    assert_eq!(
        worker.may_i_run(&task)["reason"],
        "task is in non-runnable status \"queued\""
    );
    worker.changed("awake");
    assert_eq!(worker.got(), task, "state-changed is the way back");
}

#[test]
fn offline_workers_do_not_time_out() {
    let standin = StandIn::start(Options {
        worker_timeout: Duration::ZERO,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::awake(&standin, "w");
    worker.call("POST", "sign-off");
    standin.check_timeouts();
    assert_eq!(standin.worker(&worker.id).unwrap().status, WorkerStatus::Offline);
}

#[test]
fn an_untouched_task_fails_for_good() {
    let standin = hasty(LONG, NO_TIME);
    let worker = Caller::awake(&standin, "w");
    let (job, _) = job(&standin, 1);
    let task = worker.got();
    let failed = |snapshot: &standin_manager::Snapshot<'_>| {
        snapshot
            .task(&task)
            .filter(|task| task.status.as_str() == "failed")
            .map(|_| ())
    };
    standin
        .wait_for(LONG, "the task to time out", failed)
        .unwrap_or_else(|dump| panic!("{dump}"));
    assert_eq!(standin.job(&job).unwrap().status.as_str(), "failed");
    let log = standin.task_log(&task);
    assert!(
        log.contains(&format!(
            "Task timed out. It was assigned to worker w ({}), but untouched since ",
            worker.id
        )),
        "{log}"
    );
}

#[test]
fn waiting_in_vain_ends_with_a_dump() {
    let standin = StandIn::start(Options::default()).unwrap();
    let worker = Caller::awake(&standin, "w");
    let dump = standin
        .wait_for(NO_TIME, "what never comes", |_| None::<()>)
        .unwrap_err();
    for part in [
        "what never comes",
        &worker.id,
        "POST /api/v3/worker/state-changed {\"status\":\"awake\"} -> 204",
    ] {
        assert!(dump.contains(part), "{part} not in\n{dump}");
    }
}
