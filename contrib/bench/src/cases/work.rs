// SPDX-License-Identifier: GPL-3.0-or-later

//! New work for a worker that has nothing to do.

use super::{Bench, Result};
use crate::figures::{Table, Times};
use crate::node::Node;
use crate::program::{Nature, Program};
use crate::waiting::pass;

const TOGETHER: usize = 120;

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let times = bench.samples(&[()], TOGETHER, |(), contender, point| {
        let node = Node::awake(contender)?;
        pass(bench.scale.settled + bench.scale.idle_pause.mul_f64(point));
        let mut program = Program::new(Nature::Obeys)?;
        let submitted = node.manager.now();
        node.submit(&program.command())?;
        program.up()?;
        let up = node.manager.now();
        program.finish()?;
        Ok(up.saturating_sub(submitted))
    })?;
    for (column, times) in times.concat().into_iter().enumerate() {
        let times: Times = times.into_iter().collect();
        table
            .row("new job to its running program")
            .goal("100 ms with push")
            .cell(column, times);
    }
    Ok(())
}
