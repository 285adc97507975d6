// SPDX-License-Identifier: GPL-3.0-or-later

//! While the connection that brings hints is given up, which takes its time, the Manager is heard none the less.

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, When, WorkerStatus};

use super::{OwnProgram, WAITS, is, takeovers};
use test_bed::{Farm, logged};

/// Hints are given up for two seconds, and nothing but a hint has the Manager asked.
const SLOW: [(&str, &str); 6] = [
    ("push_quiet", "1s"),
    ("first_may_i_run", "1h"),
    ("may_i_run", "1h"),
    ("may_i_run_hinted", "1h"),
    ("idle_min", "1h"),
    ("idle_max", "1h"),
];

const LISTENS: &str = "listening to the Manager";
const GIVES_UP: &str = "reloading: ";

/// A click in that time came a tenth of a second late: nobody asked, and no hint could come.
#[test]
fn l11_a_worker_action_is_heard_while_hints_are_given_up() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&SLOW);
    logged(&node, LISTENS);
    let task = farm.running(WAITS);
    node.signal(Signal::SIGHUP);
    logged(&node, GIVES_UP);
    farm.ask(WorkerStatus::Asleep, When::Now);
    logged(
        &node,
        "ending the task: the Manager asked this worker to change its state",
    );
    assert_eq!(takeovers(&node), 0, "{}", node.log());
    farm.says(&task, "ended as asked");
    node.until("the successor", || takeovers(&node) == 1);
    is(&node, "why", "asked by the Manager");
    node.finish();
}

/// A fetch is broadcast, and a broadcast that meets a connection on its way out can stop the Manager.
#[test]
fn l11_an_idle_worker_does_not_fetch_while_hints_are_given_up() {
    let mut own = OwnProgram::awake(&SLOW);
    logged(&own.node, LISTENS);
    // At once, and when it had begun to listen.
    own.farm.asked(Endpoint::FetchTask, 2);
    own.replace_by_one_that_takes_over_as("exit 7");
    own.node.signal(Signal::SIGHUP);
    assert_eq!(own.node.ended(), 7);
    assert!(own.node.log().contains(GIVES_UP));
    assert_eq!(own.farm.requests(Endpoint::FetchTask).len(), 2);
    own.node.nothing_left_but_files();
}
