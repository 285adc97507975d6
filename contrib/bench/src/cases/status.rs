// SPDX-License-Identifier: GPL-3.0-or-later

//! What a look at a worker takes: `flamenco-worker status`, from its start to its end.

use std::process::Command;
use std::time::{Duration, Instant};

use test_bed::until;

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times};
use crate::node::Node;
use crate::program::{Nature, Program};

/// What the worker does meanwhile.
const ROWS: [(&str, bool); 2] = [
    ("status of a worker with nothing to do", false),
    ("status of a worker that runs a task", true),
];

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    // One at a time: it is the processor that takes the time.
    let times = bench.samples(&ROWS, 1, |(_, busy), contender, _| look(contender, *busy))?;
    for ((what, _), times) in ROWS.iter().zip(times) {
        let row = table.row(what);
        row.goal("10 ms");
        for (column, times) in times.into_iter().enumerate() {
            let times: Option<Vec<_>> = times.into_iter().collect();
            if let Some(times) = times {
                row.cell(column, Times::from_iter(times));
            }
        }
    }
    Ok(())
}

/// `None` for a worker that cannot be asked.
fn look(contender: &Contender, busy: bool) -> Result<Option<Duration>> {
    if !contender.is_ours() {
        return Ok(None);
    }
    let node = Node::awake(contender)?;
    let mut program = Program::new(Nature::Obeys)?;
    if busy {
        node.submit(&program.command())?;
        program.up()?;
    }
    // The first one waits for the socket, and has the program in memory.
    until("an answer", || status(contender, &node), || node.worker.log());
    let time = status(contender, &node).ok_or("the worker does not answer")?;
    if busy {
        program.finish()?;
    }
    Ok(Some(time))
}

fn status(contender: &Contender, node: &Node) -> Option<Duration> {
    let mut command = Command::new(&contender.binary);
    command
        .arg("status")
        .env("FLAMENCO_HOME", node.worker.folder().join("home"));
    let begin = Instant::now();
    let said = command.output().ok()?.stdout;
    let time = begin.elapsed();
    // With its name: it was the worker that said it.
    said.starts_with(b"bench (pid ").then_some(time)
}
