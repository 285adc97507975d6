// SPDX-License-Identifier: GPL-3.0-or-later

//! Every Worker Action, in both flavours, from every state it makes sense in.
//!
//! The effect: the Manager has taken the worker's word that it is what was asked (signed off, when it was asked to leave); for
//! "immediately" while a task runs the program is gone as well. "After task is finished" counts from the program's end.

use std::time::Duration;

use standin_manager::{When, WorkerStatus};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times};
use crate::node::{Node, PATIENCE};
use crate::program::{Nature, Program};
use crate::scale::Scale;
use crate::waiting::pass;

/// Mostly they wait; a worker and its Manager need some 10 MB.
const TOGETHER: usize = 120;

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Idle,
    Asleep,
    Running,
}

impl From {
    fn status(self) -> WorkerStatus {
        match self {
            Self::Asleep => WorkerStatus::Asleep,
            Self::Idle | Self::Running => WorkerStatus::Awake,
        }
    }
}

#[derive(Clone, Copy)]
struct Action {
    from: From,
    to: WorkerStatus,
    /// Its entry in the menu.
    entry: &'static str,
    when: When,
}

/// In the order of the menu.
const ACTIONS: [(WorkerStatus, &str, When); 7] = [
    (
        WorkerStatus::Offline,
        "Shut Down (after task is finished)",
        When::AfterTask,
    ),
    (WorkerStatus::Offline, "Shut Down (immediately)", When::Now),
    (
        WorkerStatus::Restart,
        "Restart (after task is finished)",
        When::AfterTask,
    ),
    (WorkerStatus::Restart, "Restart (immediately)", When::Now),
    (
        WorkerStatus::Asleep,
        "Send to Sleep (after task is finished)",
        When::AfterTask,
    ),
    (WorkerStatus::Asleep, "Send to Sleep (immediately)", When::Now),
    (WorkerStatus::Awake, "Wake Up", When::Now),
];

impl Action {
    fn all() -> Vec<Self> {
        let all = |from: From| ACTIONS.map(|(to, entry, when)| Self { from, to, entry, when });
        let mut all = [From::Idle, From::Asleep, From::Running].map(all).concat();
        // Asking for what it is already only takes a request back.
        all.retain(|action| action.to != action.from.status());
        all
    }

    fn name(&self) -> String {
        let from = match self.from {
            From::Idle => "awake, idle",
            From::Asleep => "asleep",
            From::Running => "running",
        };
        format!("{from}: {}", self.entry)
    }

    fn sample(&self, contender: &Contender, scale: &Scale, point: f64) -> Result<Duration> {
        match self.from {
            From::Idle => {
                let node = Node::awake(contender)?;
                pass(scale.settled + scale.idle_pause.mul_f64(point));
                self.effect(&node)
            }
            From::Asleep => {
                let node = Node::awake(contender)?;
                let asked = node.ask(WorkerStatus::Asleep, When::Now)?;
                node.acknowledged(WorkerStatus::Asleep, asked)?;
                pass(scale.begun + scale.asleep_pause.mul_f64(point));
                self.effect(&node)
            }
            From::Running => self.while_running(contender, scale, point),
        }
    }

    fn effect(&self, node: &Node) -> Result<Duration> {
        let clicked = node.ask(self.to, self.when)?;
        Ok(node.acknowledged(self.to, clicked)?.saturating_sub(clicked))
    }

    fn while_running(&self, contender: &Contender, scale: &Scale, point: f64) -> Result<Duration> {
        let mut program = Program::new(Nature::Obeys)?;
        let (node, _job) = Node::with_task(contender, &program.command())?;
        program.up()?;
        pass(scale.begun + scale.running_pause.mul_f64(point));
        let clicked = node.ask(self.to, self.when)?;
        if self.when == When::AfterTask {
            program.finish()?;
        }
        if !program.gone(PATIENCE) {
            return Err(format!("the program still runs; {}", node.manager.dump()));
        }
        let gone = node.manager.now();
        let acknowledged = node.acknowledged(self.to, clicked)?;
        Ok(match self.when {
            When::Now => acknowledged.max(gone).saturating_sub(clicked),
            When::AfterTask => acknowledged.saturating_sub(gone),
        })
    }
}

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let actions = Action::all();
    let times = bench.samples(&actions, TOGETHER, |action, contender, point| {
        action.sample(contender, &bench.scale, point)
    })?;
    for (action, row) in actions.iter().zip(times) {
        for (column, times) in row.into_iter().enumerate() {
            let times: Times = times.into_iter().collect();
            table.row(&action.name()).goal("100 ms with push").cell(column, times);
        }
    }
    Ok(())
}
