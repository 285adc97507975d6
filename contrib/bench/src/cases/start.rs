// SPDX-License-Identifier: GPL-3.0-or-later

//! From exec to the first request.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times, span};
use crate::node::{PATIENCE, manager};
use crate::worker::Worker;

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    // One at a time: it is the processor that takes the time.
    let times = bench.samples(&[()], 1, |(), contender, _| first_request(contender))?;
    let plain: Times = (0..bench.scale.repetitions).map(|_| plain()).collect();
    let row = table.row("start to first request");
    row.goal("20 ms").alone(format!("`true`: {}", span(plain.median())));
    for (column, times) in times.concat().into_iter().enumerate() {
        let times: Times = times.into_iter().collect();
        row.cell(column, times);
    }
    Ok(())
}

fn first_request(contender: &Contender) -> Result<Duration> {
    let manager = manager()?;
    let begin = manager.now();
    let _worker = Worker::start(contender, &manager.url(), "bench")?;
    let first = manager.wait_for(PATIENCE, "a first request", |farm| {
        farm.requests().first().map(|seen| seen.received)
    })?;
    Ok(first.saturating_sub(begin))
}

/// Starting a program that does nothing.
fn plain() -> Duration {
    let begin = Instant::now();
    Command::new("true").status().ok();
    begin.elapsed()
}
