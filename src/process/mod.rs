// SPDX-License-Identifier: GPL-3.0-or-later

//! One program and all it starts. This room knows nothing of farms.
//!
//! ```text
//! command ─ ProcessSpec ───► Launcher::run ─ socket ─► guard (own process) ─► program and its descendants
//!         ◄─ ProcessEvent ── ProcessRun ◄───── pipe ──────────────────────────────┘
//!         ◄─ Finished ────── exit, strays, usage
//! ```
//!
//! In the worker: `launcher` starts a guard, `process_run` talks with it, `line_splitter` makes lines of the output,
//! `reaper` and `children` wait for guards, `predecessors` ends what an earlier life left. In the guard: `guard`, `kill_sequence`.
//! In both: `messages`, `channel`, `procfs`, `walk`, `stopped_tree`, `sweep`, `run_clock`, `cgroup`, `mark`, `end_note`, `privacy`. The guard ends a tree, and the worker
//! only what a guard could not. Every SIGKILL is sent from `kill`.

mod captured;
mod cgroup;
mod channel;
mod child_watch;
mod children;
mod end_note;
mod exit_report;
mod finished;
mod guard;
mod guard_name;
mod kept_program;
mod kill;
mod kill_sequence;
mod launcher;
mod line_splitter;
mod mark;
mod messages;
mod open_files;
mod predecessors;
mod privacy;
mod process_run;
mod procfs;
mod reaper;
mod run_clock;
mod spec;
mod stopped_tree;
mod stray;
mod sweep;
mod terminals;
mod wait_status;
mod walk;

pub(crate) use captured::Captured;
pub(crate) use cgroup::Delegation;
pub(crate) use end_note::{EndNote, NotedEnd};
pub(crate) use finished::{Exit, Finished, ProcessEvent, Usage};
pub(crate) use guard::{GUARD_ROLE, guard_main};
pub(crate) use kept_program::{Attended, KeptProgram};
pub(crate) use kill_sequence::KillSequence;
pub(crate) use launcher::{Launcher, LauncherOptions, ReadyGuard, RunEnd};
pub(crate) use line_splitter::OutputLine;
pub(crate) use open_files::OpenFile;
pub(crate) use predecessors::{is_of_a_task, is_stopped, marked};
pub(crate) use privacy::close_to_others;
pub(crate) use process_run::HandedRun;
pub(crate) use reaper::Reaper;
pub(crate) use spec::{ProcessSpec, StartError};
pub(crate) use stray::{Stray, Strays};
pub(crate) use terminals::terminals_of_programs;

/// A launcher whose reaper does not run. It is for tests that start no program, in a process whose children are other
/// tests'.
#[cfg(test)]
pub(crate) fn idle_launcher(timings: &crate::timings::Timings) -> Launcher {
    let options = LauncherOptions {
        guard: "/nonexistent".into(),
        mark: "test".into(),
        oom_score_adj: None,
        nice: None,
        memory: None,
        timings: timings.clone(),
    };
    if tokio::runtime::Handle::try_current().is_ok() {
        return Launcher::new(options).unwrap().0;
    }
    // The reaper, which is dropped here, wants a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { Launcher::new(options).unwrap().0 })
}
