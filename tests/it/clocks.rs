// SPDX-License-Identifier: GPL-3.0-or-later

//! The clock on the wall jumps, or is set to what no calendar has.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::Endpoint;

use crate::doctor::Answer;
use crate::history::history;
use test_bed::{Farm, Node, cancel, file, number, pass};

/// The clock of a node and of all it starts.
pub(crate) struct Clock(PathBuf);

impl Clock {
    /// One that is right. `None`: the library for it is not installed.
    pub(crate) fn of(node: &mut Node) -> Option<Self> {
        let library = faketime()?;
        let clock = Self(node.folder.join("clock"));
        clock.set("+0");
        node.environment.extend([
            ("LD_PRELOAD".into(), library.into()),
            ("FAKETIME_TIMESTAMP_FILE".into(), clock.0.clone().into()),
            ("FAKETIME_NO_CACHE".into(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ]);
        Some(clock)
    }

    /// So far from the right time.
    pub(crate) fn set(&self, offset: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("{offset}\n")).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    /// So many seconds after the start of 1970.
    pub(crate) fn show(&self, seconds: i64) {
        let now = jiff::Timestamp::now().as_second();
        self.set(&format!("{:+}", seconds - now));
    }
}

/// Where distributions keep it.
fn faketime() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut places = found.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = places.find(|library| library.exists());
    if library.is_none() {
        test_needs::skipped_with_remedy("libfaketime is not installed", "apt-get install libfaketime");
    }
    library
}

#[test]
fn f2_a_wall_clock_that_jumps_moves_no_timer() {
    let (farm, mut node) = Farm::with_node();
    let Some(clock) = Clock::of(&mut node) else { return };
    let set = |offset: &str| clock.set(offset);
    node.set("may_i_run", "200ms")
        .set("may_i_run_hinted", "200ms")
        .set("grace", "10s");
    farm.start(&mut node);
    for jump in ["+1h", "-1h", "+400d", "-400d"] {
        let task = farm.running(
            "trap 'date +%s > asked; exit 0' TERM; date +%s > began; echo running; while :; do sleep 0.02; done",
        );
        set(jump);
        // Neither never nor at once: the pace of questions goes on.
        let before = farm.requests(Endpoint::MayIRun).len();
        pass(Duration::from_millis(1000));
        let asked = farm.requests(Endpoint::MayIRun).len() - before;
        assert!((1..=10).contains(&asked), "{jump}: {asked} questions in a second");
        cancel(&farm, &task);
        let stamp = |name: &str| i64::from(number(&node.folder.join(name)));
        assert!(
            (stamp("asked") - stamp("began")).abs() > 3000,
            "{jump}: the clock did not jump"
        );
        node.childless();
        set("+0");
        for name in ["asked", "began"] {
            fs::remove_file(node.folder.join(name)).unwrap();
        }
    }
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

/// Seconds of a year, on the average.
const YEAR: i64 = 31_556_952;

#[test]
fn i23_a_clock_beyond_any_calendar_ends_neither_the_worker_nor_a_command() {
    for (year, logged) in [(12_000, "9999-12-3"), (1969, "1969-0"), (1900, "1900-0")] {
        let (farm, mut node) = Farm::with_node();
        let Some(clock) = Clock::of(&mut node) else { return };
        // Some days after its beginning.
        clock.show((year - 1970) * YEAR + 20 * 86_400);
        node.environment.push(("TZ".into(), "UTC".into()));
        farm.start(&mut node);
        let task = farm.script("date +%Y > year; echo over");
        farm.completed(&task);
        assert_eq!(file(&node.folder.join("year")), format!("{year}\n"));
        assert_eq!(history(&node, &[]).0, 0);
        let told = history(&node, &[&task]);
        assert!(told.1.contains("Outcome  completed"), "{year}: {told:?}");
        Answer::of(&node).says("warn", "manager.clock", "the clock of this node is");

        // What a killed worker leaves is found by the next, whose clock is as wrong.
        let next = farm.running("[ -e again ] && exit 0; touch again; echo running; while :; do sleep 0.02; done");
        node.kill();
        node.start();
        farm.completed(&next);
        node.signal(Signal::SIGHUP);
        let log = node.log();
        assert!(log.contains(logged) && !log.contains("panicked"), "{year}: {log}");
        node.finish();
    }
}
