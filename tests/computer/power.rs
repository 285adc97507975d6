// SPDX-License-Identifier: GPL-3.0-or-later

//! The power goes: what the kernel had not written to the disk by then never was.

use standin_manager::{CommandSpec, JobSpec, TaskSpec, TaskStatus};

use crate::computer::Files;
use crate::harness::bash;
use crate::station::Station;

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
