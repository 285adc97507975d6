// SPDX-License-Identifier: GPL-3.0-or-later

//! A large farm: what its workers cost when nothing happens, and how soon they know when something does.
//!
//! The Manager's patience is the real one (60 s); it is asked every few seconds who has run out of it, which is stricter than
//! its own look once a minute.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Options, Seen, StandIn, TaskSpec, TaskStatus, When, WorkerStatus};

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
        cell("workers", farm.crowd.len().to_string());
        let idle = farm.quiet(bench.scale.watched);
        farm.memory(&mut cell);
        cell("idle: processor each", format!("{:.3} %", idle.processor));
        idle.load.put("idle", &mut cell);
        let jobs = farm.new_jobs(&bench.scale)?;
        cell("new job to a worker that has its task", jobs.to_string());
        let wave = farm.sleep()?;
        cell("Send to Sleep, all at once: each", wave.each.to_string());
        cell("Send to Sleep, all at once: the last", span(wave.all));
        wave.load.put("Send to Sleep, all at once", &mut cell);
        let asleep = farm.quiet(bench.scale.watched);
        cell("asleep: processor each", format!("{:.3} %", asleep.processor));
        asleep.load.put("asleep", &mut cell);
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

/// What the Manager had to do, per second.
struct Load {
    requests: f64,
    /// Once for each worker they are sent to.
    events: f64,
}

impl Load {
    fn put(&self, when: &str, cell: &mut impl FnMut(&str, String)) {
        cell(&format!("{when}: requests per second"), format!("{:.1}", self.requests));
        cell(
            &format!("{when}: push events per second"),
            format!("{:.1}", self.events),
        );
    }
}

/// A time in which nothing is asked of anybody.
struct Quiet {
    load: Load,
    /// Of one processor, for each worker that is a process, in percent.
    processor: f64,
    /// Workers that were taken for lost.
    timed_out: usize,
}

/// All are sent to sleep.
struct Wave {
    /// From the click for a worker to its word that it is asleep.
    each: Times,
    /// From the first click to the last word.
    all: Duration,
    load: Load,
}

/// Where the counts stood.
struct Mark {
    at: Duration,
    events: u64,
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

    /// Watches them do nothing for so long.
    fn quiet(&self, time: Duration) -> Quiet {
        let (begin, cpu) = (self.mark(), self.cpu());
        let mut timed_out = 0;
        while let Some(left) = time.checked_sub(self.manager.now().saturating_sub(begin.at)) {
            pass(left.min(LOOK));
            self.manager.check_timeouts();
            timed_out += self.manager.look(|farm| {
                let lost = farm.workers().filter(|worker| worker.status == WorkerStatus::Error);
                lost.count()
            });
        }
        let seconds = self.manager.now().saturating_sub(begin.at).as_secs_f64();
        let used = self.cpu().saturating_sub(cpu).as_secs_f64();
        Quiet {
            load: self.since(&begin),
            processor: used / seconds / self.crowd.processes.len().max(1) as f64 * 100.0,
            timed_out,
        }
    }

    /// Begins to count.
    fn mark(&self) -> Mark {
        self.manager.clear_requests();
        Mark {
            at: self.manager.now(),
            events: self.manager.push_counts().sent,
        }
    }

    fn since(&self, mark: &Mark) -> Load {
        let seconds = self.manager.now().saturating_sub(mark.at).as_secs_f64();
        let requests = self.manager.look(|farm| farm.requests().len());
        Load {
            requests: requests as f64 / seconds,
            events: (self.manager.push_counts().sent - mark.events) as f64 / seconds,
        }
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
    }

    /// One job of one task at a time, and not just when the worker of the last one asks for more.
    fn new_jobs(&self, scale: &Scale) -> Result<Times> {
        let one = |_| {
            pass(scale.begun);
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
        (0..scale.repetitions).map(one).collect()
    }

    fn sleep(&self) -> Result<Wave> {
        let begin = self.mark();
        let mut clicked = HashMap::new();
        for worker in self.manager.workers() {
            clicked.insert(worker.id.clone(), self.manager.now());
            let asked = self.manager.ask(&worker.id, WorkerStatus::Asleep, When::Now);
            asked.map_err(|refused| refused.to_string())?;
        }
        self.manager.wait_for(PATIENCE, "all to be asleep", |farm| {
            // Looked at first, as it is cheap, and the Manager waits meanwhile.
            let asleep = farm.workers().all(|worker| worker.status == WorkerStatus::Asleep);
            let said = || farm.requests().iter().filter(|seen| says(seen, WorkerStatus::Asleep));
            (asleep && said().count() >= clicked.len()).then_some(())
        })?;
        let (load, all) = (self.since(&begin), self.manager.now().saturating_sub(begin.at));
        let each = self.manager.look(|farm| {
            let said = farm.requests().iter().filter(|seen| says(seen, WorkerStatus::Asleep));
            let time = |seen: &Seen| Some(seen.finished?.saturating_sub(*clicked.get(seen.worker.as_ref()?)?));
            said.filter_map(time).collect()
        });
        Ok(Wave { each, all, load })
    }
}
