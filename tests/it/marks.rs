// SPDX-License-Identifier: GPL-3.0-or-later

//! The mark that every program carries: whom it is believed of, and where it is looked for.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use test_bed::{Farm, as_user, exec, lives, own_user, start_through, until};
use test_needs::{missing, not_root};

/// A process of a test's own, killed at its end.
struct Neighbour(Child);

impl Neighbour {
    fn start(words: &[String]) -> Self {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The limit that stands for a mark: what anybody can compute.
fn limit_of(mark: &str) -> u64 {
    let hash = mark.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash | 1 << 62) & !(1 << 63)
}

#[test]
fn i14_another_users_process_with_our_mark_keeps_no_node_from_work() {
    if missing("prlimit") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let Some(user) = own_user(&farm, &node) else { return };
    start_through(&mut node, as_user(user));
    farm.awake();
    // Once as it is to be had from a program of ours: so this is the limit that the worker goes by.
    let task = farm.script("ulimit -x");
    farm.completed(&task);
    let limit = limit_of(node.mark().split_once('=').unwrap().1);
    assert!(
        farm.log(&task).contains(&format!("> {limit}")),
        "{limit}: {}",
        farm.log(&task)
    );
    assert_eq!(node.stop(), 0);
    let words = ["prlimit".to_owned(), format!("--locks={limit}:")];
    let sleep = ["sleep", "1000"].map(str::to_owned);
    let stranger = Neighbour::start(&[&words[..], &as_user(user + 5)[..], &sleep[..]].concat());
    let is_there = || std::fs::read_to_string(format!("/proc/{}/comm", stranger.pid())).ok();
    until(
        "the stranger to be there",
        || (is_there()? == "sleep\n").then_some(()),
        String::new,
    );
    start_through(&mut node, as_user(user));
    farm.completed(&farm.script("true"));
    assert!(lives(stranger.pid()));
    assert!(!node.log().contains("no new task until they are gone"));
    node.finish();
}

#[test]
fn i14_a_program_that_entered_another_pid_namespace_is_ended_after_its_task() {
    if not_root() || missing("unshare") || missing("nsenter") {
        return;
    }
    let (farm, node) = Farm::with_awake_node();
    let words = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "1000"].map(str::to_owned);
    let container = Neighbour::start(&words);
    let children = format!("/proc/{0}/task/{0}/children", container.pid());
    let first = until(
        "the namespace to be there",
        || std::fs::read_to_string(&children).ok()?.trim().parse::<i32>().ok(),
        String::new,
    );
    let enter = "setsid sleep 1000 > /dev/null 2>&1 & exit 0";
    let namespace = format!("--pid=/proc/{first}/ns/pid");
    let task = farm.task(&[exec("nsenter", json!([namespace, "bash", "-c", enter]))]);
    farm.completed(&task);
    node.nothing_left_but_files();
    let log = farm.log(&task);
    assert!(log.contains("left behind and ended: "), "{log}");
    assert!(lives(first), "the first process of the namespace is a stranger");
    node.finish();
}
