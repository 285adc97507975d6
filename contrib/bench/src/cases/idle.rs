// SPDX-License-Identifier: GPL-3.0-or-later

//! Memory, CPU and requests of a worker with nothing to do.

use std::time::Instant;

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, mebibytes};
use crate::node::Node;
use crate::proc;
use crate::scale::Scale;
use crate::waiting::{at_once, pass};

/// What one worker took.
struct Cost {
    /// KiB.
    resident: u64,
    /// KiB.
    own: u64,
    /// Of one processor, in percent.
    processor: f64,
    requests_per_minute: f64,
}

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let contenders = &bench.contenders;
    // Side by side: they do next to nothing.
    let costs = at_once(contenders.len(), contenders.len(), |column| {
        watch(&contenders[column], &bench.scale)
    })?;
    let seconds = bench.scale.watched.as_secs();
    for (column, cost) in costs.iter().enumerate() {
        let row = table.row("resident memory");
        row.goal("10 MB with push").cell(column, mebibytes(cost.resident));
        table.row("... its share of it").cell(column, mebibytes(cost.own));
        let row = table.row(&format!("processor, over {seconds} s"));
        row.goal("0.05 % with push")
            .cell(column, format!("{:.3} %", cost.processor));
        let row = table.row("requests per minute");
        row.cell(column, format!("{:.1}", cost.requests_per_minute));
    }
    Ok(())
}

fn watch(contender: &Contender, scale: &Scale) -> Result<Cost> {
    let node = Node::awake(contender)?;
    pass(scale.settled);
    let requests = || node.manager.look(|farm| farm.requests().len());
    let pid = node.worker.pid();
    let (begin, cpu, asked) = (Instant::now(), proc::cpu(pid), requests());
    pass(scale.watched);
    let (used, asked) = (proc::cpu(pid).saturating_sub(cpu), requests() - asked);
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Cost {
        resident: proc::status(pid, "VmRSS"),
        own: proc::proportional(pid),
        processor: used.as_secs_f64() / seconds * 100.0,
        requests_per_minute: asked as f64 / seconds * 60.0,
    })
}
