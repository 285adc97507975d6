// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's own way to run programs, without a worker: a launcher, and the reaper beside whatever uses it.

use std::path::Path;
use std::time::Duration;

use flamenco_worker::process::{KillSequence, Launcher, LauncherOptions, ProcessSpec};
use flamenco_worker::timings::Timings;
use nix::sys::signal::Signal;

/// Runs `work` with a launcher whose guards are `worker`, the real binary. This process has no other children
/// meanwhile: all that end are taken.
pub(crate) fn with_launcher<T>(worker: &Path, mark: &str, work: impl AsyncFnOnce(&Launcher) -> T) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let options = LauncherOptions {
            guard: worker.to_owned(),
            mark: mark.to_owned(),
            oom_score_adj: None,
            nice: None,
            memory: None,
            timings: Timings {
                output_drain: Duration::from_millis(20),
                linger: Duration::from_millis(80),
                ..Timings::default()
            },
        };
        let (launcher, reaper) = Launcher::new(options).map_err(|error| error.to_string())?;
        tokio::select! {
            done = work(&launcher) => Ok(done),
            never = reaper.run() => match never {},
        }
    })
}

/// A program that is asked by SIGTERM, and has `grace` then.
pub(crate) fn spec(program: &Path, args: &[&str], grace: Duration) -> ProcessSpec {
    ProcessSpec {
        program: program.into(),
        argv0: None,
        args: args.iter().map(Into::into).collect(),
        env: Vec::new(),
        directory: None,
        kill_sequence: KillSequence(vec![(Signal::SIGTERM, grace)]),
        label: "bench".into(),
    }
}
