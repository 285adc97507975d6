// SPDX-License-Identifier: GPL-3.0-or-later

//! What a reload costs: how long it takes, and how much later a Worker Action or a cancelled job is heard at some moment of it.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times};
use crate::node::Node;
use crate::program::{Nature, Program};
use crate::waiting::pass;

/// Longer than a reload takes: what is done at any point of this meets each part of one.
const RELOAD: Duration = Duration::from_millis(250);

/// Who is alive so long after the click counts as left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(45);

/// What is measured while a task runs.
#[derive(Clone, Copy)]
enum Figure {
    /// From the start of the command to its end.
    Command,
    /// From the click to the last process dead; with or without a reload at that time.
    Cancel { reloads: bool },
}

const ROWS: [(&str, Figure); 3] = [
    ("reload of a worker that runs a task", Figure::Command),
    (
        "cancel to process dead, without a reload",
        Figure::Cancel { reloads: false },
    ),
    ("... at any moment of a reload", Figure::Cancel { reloads: true }),
];

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    // One at a time: it is the processor that takes the time.
    let times = bench.samples(&ROWS, 1, |(_, figure), contender, point| {
        if !contender.is_ours() {
            return Ok(None);
        }
        measure(*figure, contender, bench.scale.begun, point).map(Some)
    })?;
    for ((what, _), times) in ROWS.iter().zip(times) {
        let row = table.row(what);
        for (column, times) in times.into_iter().enumerate() {
            let times: Option<Vec<_>> = times.into_iter().collect();
            if let Some(times) = times {
                row.cell(column, Times::from_iter(times));
            }
        }
    }
    Ok(())
}

fn measure(figure: Figure, contender: &Contender, begun: Duration, point: f64) -> Result<Duration> {
    let mut program = Program::new(Nature::Obeys)?;
    let (node, job) = Node::with_task(contender, &program.command())?;
    program.up()?;
    pass(begun);
    let begin = Instant::now();
    let reloads = !matches!(figure, Figure::Cancel { reloads: false });
    let reload = reloads.then(|| reload(contender, &node)).transpose()?;
    if let Figure::Cancel { .. } = figure {
        pass(RELOAD.mul_f64(point));
        let clicked = Instant::now();
        node.manager.cancel_job(&job).map_err(|refused| refused.to_string())?;
        let is_gone = program.gone(LEFT_BEHIND);
        let time = clicked.elapsed();
        // That of a worker whose task has ended meanwhile.
        reload.map(|mut reload| reload.wait());
        return if is_gone {
            Ok(time)
        } else {
            Err("a process is left".to_owned())
        };
    }
    let done = reload.map(|mut reload| reload.wait());
    let time = begin.elapsed();
    if !done.is_some_and(|done| done.is_ok_and(|status| status.success())) {
        return Err(format!("no reload; the worker's log ends:\n{}", node.worker.log()));
    }
    program.finish()?;
    Ok(time)
}

fn reload(contender: &Contender, node: &Node) -> Result<std::process::Child> {
    let mut command = Command::new(&contender.binary);
    command
        .arg("reload")
        .current_dir(node.worker.folder())
        .env("FLAMENCO_HOME", node.worker.folder().join("home"))
        .stdout(std::process::Stdio::null());
    command.spawn().map_err(|error| error.to_string())
}
