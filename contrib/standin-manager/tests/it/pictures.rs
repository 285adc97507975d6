// SPDX-License-Identifier: GPL-3.0-or-later
//! Pictures.

use std::time::Duration;

use standin_manager::{Options, StandIn};

use crate::client::{Caller, LONG, Reply, job, standin};

const MOST: usize = 26_214_400;

fn upload(worker: &Caller, task: &str, mime: &str, bytes: &[u8]) -> Reply {
    worker.send(
        "POST",
        &format!("/api/v3/worker/task/{task}/output-produced"),
        mime,
        bytes,
    )
}

#[test]
fn anything_of_the_right_type_is_taken_from_anybody() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    let reply = upload(&worker, &tasks[0], "image/png; x=1", b"no picture");
    assert_eq!((reply.status, reply.text()), (202, ""));
    let kept = standin.last_rendered(&tasks[0]);
    assert_eq!(
        (kept[0].mime.as_str(), &kept[0].bytes[..]),
        ("image/png; x=1", b"no picture".as_slice())
    );
    assert!(standin.worker(&worker.id).unwrap().last_seen.is_some());
    assert!(standin.task(&tasks[0]).unwrap().touched.is_none());
}

#[test]
fn other_types_empty_bodies_and_unknown_tasks_are_refused() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    let gif = upload(&worker, &tasks[0], "image/gif", b"x");
    let why = "request body has an error: header Content-Type has unexpected value \"image/gif\"";
    assert_eq!((gif.status, gif.message().as_str()), (400, why));
    let empty = upload(&worker, &tasks[0], "image/png", b"");
    assert_eq!(
        (empty.status, empty.message().as_str()),
        (400, "request body has an error: value is required but missing")
    );
    let nowhere = upload(&worker, "x", "image/png", b"x");
    assert_eq!((nowhere.status, nowhere.text()), (404, "\"Task does not exist\"\n"));
}

#[test]
fn twenty_five_mebibytes_are_taken_and_no_byte_more() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    assert_eq!(upload(&worker, &tasks[0], "image/png", &vec![0; MOST]).status, 202);
    let more = upload(&worker, &tasks[0], "image/png", &vec![0; MOST + 1]);
    assert_eq!(
        (more.status, more.message().as_str()),
        (413, "image too large; should be max 26214400 bytes")
    );
}

#[test]
fn one_in_work_and_three_waiting_are_all_it_takes() {
    let standin = StandIn::start(Options {
        picture_time: LONG,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::registered(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    (0..4).for_each(|_| assert_eq!(upload(&worker, &tasks[0], "image/jpeg", b"x").status, 202));
    let full = upload(&worker, &tasks[0], "image/jpeg", b"x");
    assert_eq!(
        (full.status, full.message().as_str()),
        (429, "image processing queue is full")
    );
    assert!(!full.head.to_lowercase().contains("retry-after"));
}

#[test]
fn a_quick_manager_takes_them_all() {
    let standin = StandIn::start(Options {
        picture_time: Duration::ZERO,
        ..Options::default()
    })
    .unwrap();
    let worker = Caller::registered(&standin, "w");
    let (_, tasks) = job(&standin, 1);
    (0..8).for_each(|_| assert_eq!(upload(&worker, &tasks[0], "image/jpeg", b"x").status, 202));
}
