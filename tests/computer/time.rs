// SPDX-License-Identifier: GPL-3.0-or-later

//! Time that stands still for a suspended computer, and a clock that somebody sets.

use std::time::Duration;

use serde_json::json;
use standin_manager::{Endpoint, TaskStatus};
use tokio::time::Instant;

use crate::computer::Files;
use crate::station::{MARKED, Station};
use test_bed::{exec, until};

/// How long nothing comes from a computer whose worker asks every second, when it is suspended.
const SILENCE: Duration = Duration::from_secs(4);

/// The computer is suspended to memory; something happens meanwhile; its clock wakes it after so many seconds.
fn suspended(station: &mut Station, seconds: u32, meanwhile: impl FnOnce(&Station)) {
    station.computer.begin(&format!(
        "cd /sys/class/rtc/rtc0; echo 0 > wakealarm; echo +{seconds} > wakealarm; cd /disk; echo mem > /sys/power/state"
    ));
    let (mut heard, mut since) = (0, Instant::now());
    let silent = || {
        let requests = station.farm.manager.requests().len();
        if requests != heard {
            (heard, since) = (requests, Instant::now());
        }
        (since.elapsed() >= SILENCE).then_some(())
    };
    until("the computer to be suspended", silent, String::new);
    meanwhile(station);
    station.computer.over();
}

/// A task that runs until there is a file `go`.
fn waits(station: &mut Station) -> String {
    let script = "echo running; until [ -e /disk/go ]; do sleep 0.1; done";
    let task = station.farm.task(&[exec("sh", json!(["-c", script]))]);
    station.farm.says(&task, "> running");
    task
}

#[test]
fn f1_a_suspended_computer_asks_first_when_it_wakes_and_keeps_or_ends_its_task_by_the_answer() {
    let Some(mut station) = Station::new(Files::Alone, &[("contact_gap", "8s"), ("may_i_run", "1s")]) else {
        return;
    };
    station.awake();
    let task = waits(&mut station);
    let before = station.farm.manager.requests().len();
    suspended(&mut station, 15, |_| ());
    let told = |farm: &standin_manager::Snapshot<'_>| {
        let since: Vec<_> = farm.requests().iter().skip(before).map(|seen| seen.endpoint).collect();
        let told = since.iter().position(|endpoint| *endpoint == Endpoint::StateChanged)?;
        Some(since[..told].contains(&Endpoint::MayIRun))
    };
    assert!(station.wait("the state to be told", told));
    station.computer.run("touch go");
    station.completed(&task);
    station.computer.run("rm go");
    let task = waits(&mut station);
    suspended(&mut station, 15, |station| {
        let manager = &station.farm.manager;
        manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    });
    station.until(&format!("! {MARKED}"));
    assert_eq!(station.farm.outcomes(&task), [""; 0]);
    station.finish();
}

#[test]
fn f2_a_clock_that_is_set_changes_nothing_but_the_times_in_the_log() {
    let Some(mut station) = Station::new(Files::Alone, &[("idle_max", "5s")]) else {
        return;
    };
    station.awake();
    for (days, seconds) in [(0, 3600), (365, 0), (-730, 0)] {
        let task = waits(&mut station);
        let by = i64::from(days) * 86_400 + i64::from(seconds);
        station.computer.run(&format!("date -s @$(( $(date +%s) + {by} ))"));
        let asked = station.farm.requests(Endpoint::MayIRun).len();
        station.farm.asked(Endpoint::MayIRun, asked + 2);
        station.computer.run("touch go");
        station.completed(&task);
        station.computer.run("rm go");
    }
    station.finish();
}
