// SPDX-License-Identifier: GPL-3.0-or-later

//! One program and all it starts. Knows nothing of farms.
//!
//! ```text
//! command ─ ProcessSpec ─► Launcher::run ─ socket ─► guard (own process) ─► program and its descendants
//!         ◄── ProcessEvent ────── session, output ◄────── pipe ──────────────────────────┘
//!         ◄── Finished ─── kill sequence, sweep, strays, usage
//! ```
//!
//! In the worker: `launcher` starts a guard, `session` talks with it, `output` makes lines, `reaper`
//! waits for children, `marked` finds a predecessor's. In the guard: `guard`, `kill_sequence`. In both: `tree`,
//! `cgroup`, `end_note`, `mark`, `messages`, `procfs`. The guard ends a tree, and the worker only what a guard could not.

mod cgroup;
mod end_note;
mod guard;
mod kill_sequence;
mod launcher;
mod line_splitter;
mod mark;
mod marked;
mod messages;
mod open_files;
mod process_run;
mod procfs;
mod reaper;
mod spec;
mod status;
mod title;
mod tree;

pub use cgroup::Delegation;
pub use end_note::{EndNote, NotedEnd};
pub use guard::{GUARD_ROLE, guard_main};
pub use launcher::{Launcher, LauncherOptions};
pub use mark::MARK;
pub use open_files::OpenFile;
pub use reaper::Reaper;
pub use spec::{Exit, Finished, KillSequence, ProcessEvent, ProcessSpec, StartError, Stray, Strays, Usage};

/// A launcher whose reaper does not run: for tests of what starts no program, in a process whose children are
/// other tests'.
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
    // The reaper, which is dropped here, wants one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { Launcher::new(options).unwrap().0 })
}
