// SPDX-License-Identifier: GPL-3.0-or-later

//! A large farm: what its workers cost when nothing happens, and how soon they know when something does.
//!
//! The Manager's patience is the real one (60 s); it is asked every few seconds who has run out of it, which is stricter than
//! its own look once a minute.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Options, StandIn, TaskSpec, TaskStatus, When, WorkerStatus};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::crowd::Crowd;
use crate::figures::{Table, Times, mebibytes, span};
use crate::node::{PATIENCE, says};
use crate::proc;
use crate::scale::Scale;
use crate::waiting::pass;

/// How often the time-outs are looked at.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    for (column, contender) in bench.contenders.iter().enumerate() {
        let farm = Farm::gather(contender, &bench.scale)?;
        pass(bench.scale.settled);
        let mut cell = |what: &str, figure: String| {
            table.row(what).cell(column, figure);
        };
        cell("workers: processes + in one process", farm.members());
        let (idle, cpu) = farm.quiet(bench.scale.watched);
        farm.memory(&mut cell);
        cell("processor each, idle", format!("{cpu:.3} %"));
        cell("requests per second, idle", format!("{:.1}", idle.requests));
        let first = farm.new_jobs(bench.scale.repetitions)?;
        cell("new job to a worker that has its task", first.to_string());
        let (each, last) = farm.sleep()?;
        cell("Send to Sleep, for all at once: each", each.to_string());
        cell("Send to Sleep, for all at once: the last", span(last));
        let (asleep, _) = farm.quiet(bench.scale.watched);
        cell("requests per second, asleep", format!("{:.1}", asleep.requests));
        let timed_out = idle.timed_out + asleep.timed_out;
        table.row("timed out").goal("0").cell(column, timed_out);
    }
    Ok(())
}

/// Many workers and their Manager. The workers go first, and can sign off.
struct Farm {
    crowd: Crowd,
    manager: StandIn,
}

/// What the Manager saw of a quiet time.
struct Load {
    /// Per second.
    requests: f64,
    /// Workers that were taken for lost.
    timed_out: usize,
}

impl Farm {
    fn gather(contender: &Contender, scale: &Scale) -> Result<Self> {
        // Its own check comes too late to be counted: the worker tells it at once that it is alive.
        let options = Options {
            first_timeout_check: Duration::from_hours(24),
            ..Options::default()
        };
        let manager = StandIn::start(options).map_err(|error| error.to_string())?;
        let crowd = Crowd::gather(contender, &manager, scale)?;
        Ok(Self { crowd, manager })
    }

    fn members(&self) -> String {
        let processes = self.crowd.processes.len();
        format!("{processes} + {}", self.crowd.len() - processes)
    }

    /// Watches them do nothing for so long; also says how much of a processor each process took, in percent.
    fn quiet(&self, time: Duration) -> (Load, f64) {
        let (begin, cpu) = (self.manager.now(), self.cpu());
        self.manager.clear_requests();
        let mut timed_out = 0;
        while let Some(left) = time.checked_sub(self.manager.now().saturating_sub(begin)) {
            pass(left.min(LOOK));
            self.manager.check_timeouts();
            timed_out += self.manager.look(|farm| {
                let lost = farm.workers().filter(|worker| worker.status == WorkerStatus::Error);
                lost.count()
            });
        }
        let seconds = self.manager.now().saturating_sub(begin).as_secs_f64();
        let requests = self.manager.look(|farm| farm.requests().len()) as f64 / seconds;
        let used = self.cpu().saturating_sub(cpu).as_secs_f64();
        let each = used / seconds / self.crowd.processes.len().max(1) as f64 * 100.0;
        (Load { requests, timed_out }, each)
    }

    fn cpu(&self) -> Duration {
        self.crowd.processes.iter().map(|worker| proc::cpu(worker.pid())).sum()
    }

    fn memory(&self, cell: &mut impl FnMut(&str, String)) {
        let processes = &self.crowd.processes;
        if let Some(count) = u64::try_from(processes.len()).ok().filter(|count| *count > 0) {
            let resident: u64 = processes.iter().map(|worker| proc::status(worker.pid(), "VmRSS")).sum();
            let share: u64 = processes.iter().map(|worker| proc::proportional(worker.pid())).sum();
            cell("resident memory each", mebibytes(resident / count));
            cell("... its share of it", mebibytes(share / count));
        }
        if let Some(residents) = &self.crowd.residents {
            let each = proc::proportional(residents.pid()) / residents.count as u64;
            cell("memory each in one process", mebibytes(each));
        }
    }

    /// One job of one task at a time.
    fn new_jobs(&self, count: usize) -> Result<Times> {
        let one = |_| {
            let echo = CommandSpec::new("echo", json!({ "message": "hello" }));
            let submitted = self.manager.now();
            let job = JobSpec::new("job").task(TaskSpec::new("task").command(echo));
            let job = self.manager.submit(job).map_err(|refused| refused.to_string())?;
            let taken = self.manager.wait_for(PATIENCE, "the task to be taken", |farm| {
                farm.tasks(&job)
                    .all(|task| task.worker.is_some())
                    .then(|| self.manager.now())
            })?;
            self.manager.wait_for(PATIENCE, "the task to be completed", |farm| {
                farm.tasks(&job)
                    .all(|task| task.status == TaskStatus::Completed)
                    .then_some(())
            })?;
            Ok(taken.saturating_sub(submitted))
        };
        (0..count).map(one).collect()
    }

    /// Sends all to sleep: how long each took from its own click, and all from the first.
    fn sleep(&self) -> Result<(Times, Duration)> {
        self.manager.clear_requests();
        let begin = self.manager.now();
        let mut clicked = HashMap::new();
        for worker in self.manager.workers() {
            clicked.insert(worker.id.clone(), self.manager.now());
            let asked = self.manager.ask(&worker.id, WorkerStatus::Asleep, When::Now);
            asked.map_err(|refused| refused.to_string())?;
        }
        self.manager.wait_for(PATIENCE, "all to be asleep", |farm| {
            farm.workers()
                .all(|worker| worker.status == WorkerStatus::Asleep)
                .then_some(())
        })?;
        let all = self.manager.now().saturating_sub(begin);
        let each = self.manager.look(|farm| {
            let said = farm.requests().iter().filter(|seen| says(seen, WorkerStatus::Asleep));
            said.filter_map(|seen| {
                let clicked = clicked.get(seen.worker.as_ref()?)?;
                Some(seen.finished?.saturating_sub(*clicked))
            })
            .collect()
        });
        Ok((each, all))
    }
}
