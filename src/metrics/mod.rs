// SPDX-License-Identifier: GPL-3.0-or-later

//! What is counted for a Prometheus, and how it is written.
//!
//! ```text
//! manager, worker, report ── a request, a task, a program, a line ──► Metrics (counters, histograms) ─┐
//!                                       app ── Gauges, when it is asked for ──► gauges ─────────────┴─► text
//! ```
//!
//! Whoever counts has a [`Metrics`], which is a handle. Counting is an addition, whether anybody reads it or not. No label has
//! a value that comes from elsewhere: all values are in `labels`, so that a farm's Prometheus has as many series for each
//! worker as there are lines here, and learns no name of a job, a user or a file.

mod families;
mod family;
mod gauges;
mod labels;
mod own_process;
mod task_clock;

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use prometheus::{Registry, TextEncoder};

use families::{ManagerFamilies, ProgramFamilies, StateFamilies, TaskFamilies};
use own_process::ProcessFamilies;
use task_clock::TaskClock;

pub(crate) use gauges::Gauges;
pub(crate) use labels::{ApiCall, BlenderStart, ExitKind, RequestResult, SleepCause, StateLabel, TaskEnd};
pub(crate) use prometheus::Error as MetricsError;

/// The type of what [`Metrics::text`] returns, in HTTP's words.
pub(crate) const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that is counted. Clones are handles to the same counters.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Rc<Families>);

#[derive(Debug)]
struct Families {
    registry: Registry,
    manager: ManagerFamilies,
    tasks: TaskFamilies,
    programs: ProgramFamilies,
    state: StateFamilies,
    process: ProcessFamilies,
    clock: TaskClock,
}

/// The name of each metric and what it tells, for the manual.
pub(crate) fn rows() -> Vec<(&'static str, &'static str)> {
    [
        StateFamilies::ROWS,
        TaskFamilies::ROWS,
        ProgramFamilies::ROWS,
        ManagerFamilies::ROWS,
        &[own_process::INFO],
        own_process::UsageFamilies::ROWS,
    ]
    .concat()
}

/// What a program used, and what it left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProgramUse {
    /// How it ended.
    pub exit: ExitKind,
    /// User and system time.
    pub cpu: Duration,
    /// In bytes.
    pub peak_memory: u64,
    /// Processes that outlived it and were ended.
    pub ended: usize,
}

impl Metrics {
    /// Counters that are all 0, for a program of this version.
    ///
    /// # Errors
    /// When a name or a label is none, or is there twice, which a test rules out.
    pub(crate) fn new(version: &str) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        Ok(Self(Rc::new(Families {
            manager: ManagerFamilies::register(&registry)?,
            tasks: TaskFamilies::register(&registry)?,
            programs: ProgramFamilies::register(&registry)?,
            state: StateFamilies::register(&registry)?,
            process: ProcessFamilies::register(&registry, version)?,
            clock: TaskClock::default(),
            registry,
        })))
    }

    /// A request to the Manager is over.
    pub(crate) fn request(&self, endpoint: ApiCall, result: RequestResult, took: Duration) {
        let families = &self.0.manager;
        families.requests.of(&(endpoint, result)).inc();
        families.request_seconds.of(&endpoint).observe(took.as_secs_f64());
    }

    /// The connection for the Manager's hints is there, or is not.
    pub(crate) fn push_connected(&self, connected: bool) {
        self.0.manager.push_connected.set(connected.into());
    }

    /// The Manager has handed out a task.
    pub(crate) fn task_handed_out(&self) {
        self.0.clock.task_handed_out();
    }

    /// A task is over, so long after it was handed out.
    pub(crate) fn task_ended(&self, end: TaskEnd, took: Duration) {
        let families = &self.0.tasks;
        families.tasks.of(&end).inc();
        families.task_seconds.of(&end).observe(took.as_secs_f64());
        self.0.clock.task_ended();
    }

    /// The programs of the task stood still for so long.
    pub(crate) fn stood_still(&self, time: Duration) {
        self.0.tasks.paused_seconds.inc_by(time.as_secs_f64());
    }

    /// There is no task to be had, or none is wanted: what follows is not the time between two tasks.
    pub(crate) fn without_task(&self) {
        self.0.clock.without_task();
    }

    /// A program of the task runs.
    pub(crate) fn program_started(&self) {
        let started = self.0.clock.program_started();
        let families = &self.0.tasks;
        let observe = |histogram: &prometheus::Histogram, time: Option<Duration>| {
            if let Some(time) = time {
                histogram.observe(time.as_secs_f64());
            }
        };
        observe(&families.start_latency_seconds, started.since_handed_out);
        observe(&families.between_tasks_seconds, started.since_last_program);
    }

    /// A program of the task has ended.
    pub(crate) fn program_ended(&self, used: &ProgramUse) {
        self.0.programs.programs.of(&used.exit).inc();
        self.program_used(used);
    }

    /// A Blender that is kept has rendered a task.
    pub(crate) fn rendered_in_kept(&self, start: BlenderStart, used: &ProgramUse) {
        self.0.programs.kept_blender_tasks.of(&start).inc();
        self.program_used(used);
    }

    fn program_used(&self, used: &ProgramUse) {
        let families = &self.0.programs;
        families.cpu_seconds.inc_by(used.cpu.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "the buckets of a histogram are far coarser")]
        families.peak_memory_bytes.observe(used.peak_memory as f64);
        families
            .strays_ended
            .inc_by(u64::try_from(used.ended).unwrap_or(u64::MAX));
        self.0.clock.program_ended();
    }

    /// So many bytes were added to the log of a task.
    pub(crate) fn logged(&self, bytes: usize) {
        self.0
            .programs
            .log_bytes
            .inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A frame is done.
    pub(crate) fn frame_done(&self) {
        self.0.programs.frames.inc();
    }

    /// A program says that it has written a picture.
    pub(crate) fn picture_written(&self) {
        self.0.programs.pictures.inc();
    }

    /// Everything, in the text format of Prometheus.
    ///
    /// # Errors
    /// When a family has no metric, which a test rules out.
    pub(crate) fn text(&self, now: &Gauges) -> Result<String, MetricsError> {
        self.0.manager.set(now);
        self.0.state.set(now);
        self.0.process.set();
        TextEncoder::new().encode_to_string(&self.0.registry.gather())
    }
}
