// SPDX-License-Identifier: GPL-3.0-or-later

//! Time that goes by for everybody else.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use test_bed::{Node, number, pass};
use tokio::time::Instant;

use super::{Seen, each_place, kill_now};

/// Longer than each limit of these tests.
const LONG: Duration = Duration::from_millis(1200);

/// The seconds before these words in a line.
fn seconds(log: &str, words: &str) -> f64 {
    let before = log.split_once(words).unwrap_or_else(|| panic!("{words}: {log}")).0;
    before.rsplit([' ', '(']).next().unwrap().parse().unwrap()
}

fn history(node: &Node, task: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"));
    let output = command
        .args(["history", task])
        .env("FLAMENCO_HOME", node.home())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn m6_the_time_of_a_pause_is_told_and_counts_for_nobody() {
    each_place(&[], |place| {
        let began = Instant::now();
        let task = place
            .farm
            .running("echo $$ > pid; echo running; until [ -e go ]; do sleep 0.02; done; kill -9 $$");
        place.pause();
        pass(LONG);
        place.resume(&[]);
        fs::write(place.node.folder.join("go"), "").unwrap();
        place.farm.failed(&task);
        let took = began.elapsed().as_secs_f64();
        let log = place.farm.log(&task);
        let end = log
            .lines()
            .find(|line| line.contains("was killed by SIGKILL (9)"))
            .unwrap_or(&log);
        let (ran, stood) = (seconds(end, " s (and"), seconds(end, " s paused)"));
        assert!(stood >= LONG.as_secs_f64() - 0.01, "{end}");
        // As rounded: to tenths, and to hundredths.
        assert!(ran + stood <= took + 0.06, "{end}, in {took} s");
        let shown = history(&place.node, &task);
        assert!(shown.contains(" s paused), "), "{shown}");
    });
}

#[test]
fn m6_no_limit_runs_out_for_who_stands_still() {
    each_place(&[("output_drain", "1s")], |place| {
        // What the program leaves has so long for its last words.
        let left = "(until [ -e go ]; do sleep 0.02; done; touch whole) > out 2>&1 &";
        let task = place.farm.running(&format!("{left} echo $$ > pid; echo running; wait"));
        place.pause();
        kill_now(number(&place.node.folder.join("pid")));
        fs::write(place.node.folder.join("go"), "").unwrap();
        pass(LONG);
        place.tell("resume");
        place.farm.failed(&task);
        assert!(place.node.folder.join("whole").exists(), "{}", place.farm.log(&task));
    });
}

#[test]
fn m3_of_a_program_that_stands_still_over_a_full_pipe_no_line_is_lost() {
    each_place(&[], |place| {
        // More than any pipe holds.
        let task = place
            .farm
            .running("echo running; until [ -e go ]; do sleep 0.02; done; seq -f '%09.0f' 150000");
        place.node.signal(Signal::SIGSTOP);
        fs::write(place.node.folder.join("go"), "").unwrap();
        let printer = || {
            let seq = place.tree().into_iter().find(|one| one.name == "seq")?;
            pass(Duration::from_millis(20));
            Seen::of(seq.pid).filter(|now| now.state == 'S' && *now == seq)
        };
        place.node.until("the pipe to be full", || printer().is_some());
        let mut stream = UnixStream::connect(place.node.home().join("flamenco-worker.pause")).unwrap();
        stream.write_all(b"pause\n").unwrap();
        place.node.signal(Signal::SIGCONT);
        stream.read_to_string(&mut String::new()).unwrap();
        place.stands_still();
        place.resume(&[]);
        place.farm.completed(&task);
        let log = place.farm.log(&task);
        let lines = log
            .lines()
            .filter_map(|line| line.split_once(" > ")?.1.parse::<u64>().ok());
        assert!(lines.eq(1..=150_000), "{} bytes", log.len());
    });
}
