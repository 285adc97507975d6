// SPDX-License-Identifier: GPL-3.0-or-later

//! The power goes: what the kernel had not written to the disk by then never was.

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, TaskStatus};

use crate::computer::Files;
use crate::station::Station;
use test_bed::bash;

/// So many lines each task prints.
const LINES: usize = 300;

/// A job of so many tasks that print and take a moment.
fn job(tasks: usize) -> JobSpec {
    let command: CommandSpec = bash(&format!("seq {LINES}; sleep 0.5; echo over"));
    (0..tasks).fold(JobSpec::new("job"), |job, number| {
        job.task(TaskSpec::new(&format!("task {number}")).command(command.clone()))
    })
}

#[test]
fn b10_f8_a_computer_whose_power_is_cut_goes_on_with_its_work_each_time_it_is_switched_on() {
    let Some(mut station) = Station::new(
        Files::Ours,
        &[("idle_min", "100ms"), ("idle_max", "1s"), ("contact_gap", "45s")],
    ) else {
        return;
    };
    let tasks = station.farm.job(job(7));
    // In the instant of its registration; then in the midst of work, each time a little later.
    station.awake();
    for cut in 0..3 {
        station.wait(&format!("{} tasks", cut * 2), |farm| {
            let over = tasks.iter().filter_map(|task| farm.task(task));
            (over.filter(|task| task.status == TaskStatus::Completed).count() >= cut * 2).then_some(())
        });
        station.computer.cut_power();
        station.computer.start();
        station.worker("");
    }
    for task in &tasks {
        station.completed(task);
        let log = station.farm.log(task);
        let numbers: Vec<usize> = log
            .lines()
            .filter_map(|line| line.split("> ").last()?.parse().ok())
            .collect();
        let last: Vec<usize> = (1..=LINES).collect();
        assert!(numbers.ends_with(&last), "{log}");
        assert_eq!(station.farm.outcomes(task), ["completed"]);
    }
    assert_eq!(station.farm.manager.workers().len(), 1);
    station.finish();
}

/// A renderer that does not overwrite: a whole first picture, and half of the second one unless `go` is there.
const RENDERER: &str = r#"#!/bin/bash
png=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==
for frame in 1 2; do
  name=$2000$frame.png
  [ -e "$name" ] && continue
  exec 3> "$name"
  if [ $frame = 2 ] && [ ! -e go ]; then
    echo $png | base64 -d | head -c 50 >&3
    sync
    echo writing
    sleep 1000
  fi
  echo $png | base64 -d >&3
  exec 3>&-
  echo "Saved: '$name'"
done
"#;

#[test]
fn i2_a_picture_that_was_half_on_the_disk_when_the_power_was_cut_is_set_aside_at_the_next_start() {
    let timings = [("idle_min", "100ms"), ("idle_max", "1s"), ("contact_gap", "45s")];
    let Some(mut station) = Station::new(Files::Ours, &timings) else {
        return;
    };
    station.awake();
    station.computer.run("mkdir out");
    for line in RENDERER.lines() {
        let line = line.replace('\'', r"'\''");
        station.computer.run(&format!("printf '%s\\n' '{line}' >> renderer"));
    }
    station.computer.run("chmod +x renderer");
    let parameters = json!({
        "exe": "/disk/renderer", "exeArgs": "-o", "blendfile": "/disk/out/x", "args": ["-F", "PNG", "-f", "1..2"],
    });
    let command = CommandSpec::new("blender-render", parameters);
    let job = JobSpec::new("job").task(TaskSpec::new("render").kind("blender").command(command));
    let task = station.farm.job(job).remove(0);
    station.wait("half a picture", |farm| {
        farm.log(&task).contains("> writing").then_some(())
    });
    station.computer.cut_power();
    station.computer.start();
    station.computer.run("[ -s out/x0002.png ] && touch go");
    station.worker("");
    station.completed(&task);
    let pictures = "cd out; wc -c x0001.png x0002.png x0002.png.partial; cd ..";
    let sizes = station.computer.run(pictures);
    let sizes: Vec<_> = sizes.split_whitespace().step_by(2).collect();
    assert_eq!(sizes, ["67", "67", "50", "184"], "{}", station.log());
    station.finish();
}
