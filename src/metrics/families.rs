// SPDX-License-Identifier: GPL-3.0-or-later

//! The metrics. A new one is a row here; what is written above it is what Prometheus and the manual show.

use prometheus::{Counter, Gauge, Histogram, IntCounter, IntGauge};

use super::family::{By, families};
use super::gauges::Gauges;
use super::labels::{ApiCall, BlenderStart, ExitKind, RequestResult, SleepCause, StateLabel, TaskEnd};
use crate::clock;

/// Seconds: from an echo to a simulation of a day.
const TASKS: [f64; 10] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 43_200.0, 86_400.0];

/// Seconds: 10 ms is what this worker takes between two tasks, 5 s what the Go worker does.
const TURNS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds: a millisecond is an answer, 45 s the longest wait for one.
const REQUESTS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5, 10.0, 45.0];

/// Bytes: 256 MiB to 256 GiB.
const MEMORY: [f64; 9] = {
    const MIB: f64 = 1_048_576.0;
    [
        256.0 * MIB,
        1024.0 * MIB,
        2048.0 * MIB,
        4096.0 * MIB,
        8192.0 * MIB,
        16_384.0 * MIB,
        32_768.0 * MIB,
        65_536.0 * MIB,
        262_144.0 * MIB,
    ]
};

families! {
    /// What passes between the Manager and us.
    ManagerFamilies {
        /// Requests to the Manager, by what was asked and what came back.
        requests: By<(ApiCall, RequestResult), IntCounter> = "flamenco_worker_manager_requests_total";
        /// Time that requests to the Manager took until they were answered, or were given up.
        request_seconds: By<ApiCall, Histogram> = "flamenco_worker_manager_request_seconds", in REQUESTS;
        /// When the Manager last answered, in seconds since 1970; 0 before its first answer.
        last_answer: Gauge = "flamenco_worker_manager_last_answer_timestamp_seconds";
        /// Whether the Manager has answered the last request: 1 if it has.
        answers: IntGauge = "flamenco_worker_manager_up";
        /// Whether the connection is there on which the Manager tells at once what happens.
        push_connected: IntGauge = "flamenco_worker_push_connected";
        /// Tasks that are over, and have not told the Manager everything.
        updates_waiting: IntGauge = "flamenco_worker_updates_waiting";
        /// Outcomes that the Manager does not know yet. No task is fetched while there are any.
        outcomes_waiting: IntGauge = "flamenco_worker_outcomes_waiting";
        /// Log that waits on the disk for the Manager.
        spool_bytes: IntGauge = "flamenco_worker_spool_bytes";
    }
}

families! {
    /// What becomes of tasks.
    TaskFamilies {
        /// Tasks that were run, by how they ended.
        tasks: By<TaskEnd, IntCounter> = "flamenco_worker_tasks_total";
        /// Time from being handed a task until nothing of it was left.
        task_seconds: By<TaskEnd, Histogram> = "flamenco_worker_task_seconds", in TASKS;
        /// Time in which the programs of a task stood still, because their machine was paused or somebody was at it; counted
        /// when they go on, or end.
        paused_seconds: Counter = "flamenco_worker_task_paused_seconds_total";
        /// Time from the end of a task's last program to the start of the next task's first one, where the Manager had a next
        /// task at once.
        between_tasks_seconds: Histogram = "flamenco_worker_between_tasks_seconds", in TURNS;
        /// Time from being handed a task until its first program ran.
        start_latency_seconds: Histogram = "flamenco_worker_start_latency_seconds", in TURNS;
    }
}

families! {
    /// What the programs of tasks do.
    ProgramFamilies {
        /// Programs that were run, by how they ended.
        programs: By<ExitKind, IntCounter> = "flamenco_worker_programs_total";
        /// Processor time of programs and all that they started, counted when they end.
        cpu_seconds: Counter = "flamenco_worker_program_cpu_seconds_total";
        /// Tasks that were rendered in a Blender that is kept, by whether it had to be started for them.
        kept_blender_tasks: By<BlenderStart, IntCounter> = "flamenco_worker_kept_blender_tasks_total";
        /// The most memory that each program had.
        peak_memory_bytes: Histogram = "flamenco_worker_program_peak_memory_bytes", in MEMORY;
        /// Processes that outlived their program and were ended.
        strays_ended: IntCounter = "flamenco_worker_strays_ended_total";
        /// Log of tasks.
        log_bytes: IntCounter = "flamenco_worker_log_bytes_total";
        /// Frames that were rendered.
        frames: IntCounter = "flamenco_worker_frames_total";
        /// Pictures and movies that Blender says it has written.
        pictures: IntCounter = "flamenco_worker_pictures_total";
    }
}

families! {
    /// What the worker does just now.
    StateFamilies {
        /// What the worker does: 1 for one of the states.
        state: By<StateLabel, IntGauge> = "flamenco_worker_state";
        /// Why the worker takes no task: 1 for one of the reasons while it sleeps.
        asleep: By<SleepCause, IntGauge> = "flamenco_worker_asleep";
        /// Whether this machine is not for tasks now: it is paused, or somebody is at it.
        paused: IntGauge = "flamenco_worker_paused";
        /// Whether a task runs.
        running: IntGauge = "flamenco_worker_running";
        /// Frames, or other steps, of the running task; 0 without a task, and where nobody knows.
        steps: IntGauge = "flamenco_worker_task_steps";
        /// How many of them are done.
        steps_done: IntGauge = "flamenco_worker_task_steps_done";
        /// Processes of tasks that cannot be ended. No task is fetched while there are any.
        strays: IntGauge = "flamenco_worker_strays";
    }
}

impl ManagerFamilies {
    /// Sets what is only known when it is asked for.
    pub(super) fn set(&self, now: &Gauges) {
        let ago = now
            .since_last_answer
            .map(|silence| clock::since_1970().saturating_sub(silence));
        self.last_answer.set(ago.map_or(0.0, |at| at.as_secs_f64()));
        self.answers.set(now.manager_answers.into());
        self.updates_waiting.set(number(now.updates_waiting));
        self.outcomes_waiting.set(number(now.outcomes_waiting));
        self.spool_bytes.set(number(now.spool_bytes));
    }
}

impl StateFamilies {
    /// Sets what is only known when it is asked for.
    pub(super) fn set(&self, now: &Gauges) {
        self.state.set_only(Some(now.state));
        self.asleep.set_only(now.asleep);
        self.paused.set(now.paused.into());
        self.running.set(now.running.into());
        self.steps.set(now.steps.into());
        self.steps_done.set(now.steps_done.into());
        self.strays.set(number(now.strays));
    }
}

/// As a gauge has it.
pub(super) fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
