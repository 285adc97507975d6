// SPDX-License-Identifier: GPL-3.0-or-later

//! `status --watch`, over the life of several workers.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use super::command;
use test_bed::{Farm, Node, until};

/// A watch whose lines are read.
struct Watch {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn of(node: &Node, words: &[&str]) -> Self {
        let words = [&["--watch"], words].concat();
        let mut process = command(&node.home(), &words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line that is as `fact` wants it. The test's own deadline ends the wait for one that never comes.
    fn until(&mut self, fact: impl Fn(&str) -> bool) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| fact(line)).expect("the watch goes on")
    }

    /// The reader goes; nothing has to happen for the watch to notice.
    fn ends(mut self) {
        drop(self.lines);
        let ended = || self.process.try_wait().unwrap();
        let status = until("the watch to end", ended, String::new);
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn j14_a_watch_goes_on_over_a_restart_and_ends_with_its_reader() {
    let (farm, mut node) = Farm::with_node();
    let is = |word: &'static str| {
        move |line: &str| {
            let seen: Value = serde_json::from_str(line).unwrap();
            seen["state"] == word || seen["activity"] == word
        }
    };
    let mut watch = Watch::of(&node, &["--json"]);
    watch.until(is("not running"));
    farm.start(&mut node);
    watch.until(is("idle"));
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let seen = watch.until(is("running"));
    assert!(seen.contains(&task), "{seen}");
    node.kill();
    watch.until(is("not running"));
    node.start();
    watch.until(is("running"));
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    watch.until(is("idle"));
    watch.ends();
    let mut lines = Watch::of(&node, &[]);
    let line = lines.until(|line| line.contains("): idle, last task"));
    // The date and the time of day are in front.
    assert_eq!((line.find(&node.name), line.as_bytes()[4]), (Some(21), b'-'), "{line}");
    assert_eq!(node.stop(), 0);
    lines.until(|line| line.contains("no worker runs in the home"));
    lines.ends();
    node.swept();
    node.nothing_left();
}
