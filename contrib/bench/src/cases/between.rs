// SPDX-License-Identifier: GPL-3.0-or-later

//! From the end of one task's program to the start of the next one's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, TaskStatus};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times, span};
use crate::node::Node;

/// How many pauses are measured with one worker: a rule costs less than a disk varies.
const PAUSES: usize = 40;

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let stamps = tempfile::tempdir().map_err(|error| error.to_string())?;
    let rules = format!(
        "[sandbox]\nprograms = [\"bash\"]\nwrite = [{:?}]\nnetwork = \"none\"\npresets = [\"blender\"]\n",
        stamps.path()
    );
    for (column, contender) in bench.contenders.iter().enumerate() {
        let held = contender.is_ours().then(|| contender.with(&rules));
        let (mut free, mut in_sandbox) = (Vec::new(), Vec::new());
        // By turns: what the machine does beside it, it does to both.
        for _ in 0..bench.scale.repetitions {
            free.extend(gaps(contender, stamps.path())?);
            if let Some(held) = &held {
                in_sandbox.extend(gaps(held, stamps.path())?);
            }
        }
        let row = table.row("end of a task's program to the start of the next one's");
        row.goal("20 ms")
            .cell(column, free.into_iter().collect::<Times>())
            .alone(span(bare(PAUSES)?.median()));
        if held.is_some() {
            let row = table.row("the same in the sandbox");
            row.goal("1 ms more")
                .cell(column, in_sandbox.into_iter().collect::<Times>());
        }
    }
    Ok(())
}

fn gaps(contender: &Contender, stamps: &Path) -> Result<Vec<Duration>> {
    let node = Node::awake(contender)?;
    let at = |name: String| stamps.join(name);
    let script = |task: usize| {
        let [start, end] = ["start", "end"].map(|word| at(format!("{word}-{task}")));
        format!("echo $EPOCHREALTIME > {start:?}; echo $EPOCHREALTIME > {end:?}")
    };
    let command = |task| CommandSpec::new("exec", json!({ "exe": "bash", "args": ["-c", script(task)] }));
    let job = (0..=PAUSES).fold(JobSpec::new("job"), |job, task| {
        job.task(TaskSpec::new("task").command(command(task)))
    });
    let job = node.manager.submit(job).map_err(|refused| refused.to_string())?;
    node.wait("all tasks to be completed", |farm| {
        let mut tasks = farm.tasks(&job);
        tasks.all(|task| task.status == TaskStatus::Completed).then_some(())
    })?;
    let stamp = |name: String| -> Result<Duration> {
        let text = std::fs::read_to_string(at(name)).map_err(|error| error.to_string())?;
        text.trim().parse().map(Duration::from_secs_f64).map_err(|_| text)
    };
    let gap = |task| Ok(stamp(format!("start-{task}"))?.saturating_sub(stamp(format!("end-{}", task - 1))?));
    (1..=PAUSES).map(gap).collect()
}

/// The same pause when a shell starts one bash after the other: what no worker can beat.
fn bare(pauses: usize) -> Result<Times> {
    let script = "for i in $(seq $0); do bash -c 'echo $EPOCHREALTIME; echo $EPOCHREALTIME'; done";
    let output = Command::new("bash")
        .args(["-c", script, &(pauses + 1).to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stamps: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let pairs = stamps.iter().skip(1).step_by(2).zip(stamps.iter().skip(2).step_by(2));
    Ok(pairs.map(|(end, start)| Duration::from_secs_f64(start - end)).collect())
}
