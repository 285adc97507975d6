// SPDX-License-Identifier: GPL-3.0-or-later

//! A job is cancelled while its program runs. Held against how long the program takes after SIGTERM by itself.

use std::time::Duration;

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times, span};
use crate::node::Node;
use crate::program::{Nature, Program};
use crate::scale::Scale;
use crate::waiting::pass;

/// Each may have 200 processes.
const TOGETHER: usize = 8;

/// Who is alive so long after the click counts as left behind: longer than any poll and grace.
const LEFT_BEHIND: Duration = Duration::from_secs(45);

/// What our worker gives a program to end by itself, unless it is told otherwise.
const GRACE: Duration = Duration::from_secs(8);

const NATURES: [(Nature, &str); 4] = [
    (Nature::Obeys, "a program that obeys"),
    (Nature::Ignores, "a program that ignores SIGTERM"),
    (Nature::Tree, "a tree of 200 processes"),
    (Nature::Sessions, "a tree of 200, each in a session of its own"),
];

/// How long it took until the program was gone; `Err`: so many of its processes are left behind.
type End = std::result::Result<Duration, usize>;

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let ends = bench.samples(&NATURES, TOGETHER, |(nature, _), contender, point| {
        cancel(*nature, contender, &bench.scale, point)
    })?;
    for ((nature, name), row) in NATURES.iter().zip(ends) {
        let own = own_reaction(*nature, bench.scale.repetitions)?;
        let (all, beyond) = (
            format!("{name}: cancel to last process dead"),
            format!("{name}: ... beyond its own reaction"),
        );
        let told = match nature {
            Nature::Ignores => format!("grace: {}", span(own)),
            Nature::Obeys | Nature::Tree | Nature::Sessions => span(own),
        };
        table.row(&all).alone(told);
        table.row(&beyond).goal("100 ms with push");
        for (column, ends) in row.into_iter().enumerate() {
            match ends.into_iter().collect::<std::result::Result<Times, usize>>() {
                Ok(times) => {
                    let more = times.median().checked_sub(own);
                    let more = more.map_or_else(|| "less".to_owned(), span);
                    table.row(&all).cell(column, times);
                    table.row(&beyond).cell(column, more);
                }
                Err(left) => {
                    let text = format!("{left} left after {}", span(LEFT_BEHIND));
                    table.row(&all).cell(column, text);
                }
            }
        }
    }
    Ok(())
}

fn cancel(nature: Nature, contender: &Contender, scale: &Scale, point: f64) -> Result<End> {
    let mut program = Program::new(nature)?;
    let (node, job) = Node::with_task(contender, &program.command())?;
    program.up()?;
    pass(scale.begun + scale.running_pause.mul_f64(point));
    let clicked = node.manager.now();
    node.manager.cancel_job(&job).map_err(|refused| refused.to_string())?;
    Ok(if program.gone(LEFT_BEHIND) {
        Ok(node.manager.now().saturating_sub(clicked))
    } else {
        Err(program.left().len())
    })
}

/// Those who ignore SIGTERM have no reaction: they are left the grace that our worker gives them.
fn own_reaction(nature: Nature, repetitions: usize) -> Result<Duration> {
    match nature {
        Nature::Ignores => Ok(GRACE),
        // No signal of ours reaches all sessions at once; a group of as many takes as long.
        Nature::Sessions => own_reaction(Nature::Tree, repetitions),
        Nature::Obeys | Nature::Tree => {
            let times: Times = (0..repetitions)
                .map(|_| Program::alone(nature))
                .collect::<Result<_>>()?;
            Ok(times.median())
        }
    }
}
