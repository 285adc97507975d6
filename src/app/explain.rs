// SPDX-License-Identifier: GPL-3.0-or-later

//! Log lines for the person who starts a worker: why no Manager answers, and which programs are on this node. The worker
//! itself needs neither, and nothing waits for them.

use std::convert::Infallible;
use std::env;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::blocking::run_blocking_within;
use crate::command::{ffmpeg_beside, find_program, is_program};
use crate::manager::{HttpManager, probe, version_problem};
use crate::sandbox::{NotAdmitted, Sandbox};
use crate::setup::tools_folder;

/// How long each step on the way to the Manager may take.
const STEP: Duration = Duration::from_secs(2);

/// The pause between two diagnoses: the network may have come up meanwhile, and the cause may be another one.
const AGAIN: Duration = Duration::from_secs(30);

/// The task type that needs an FFmpeg.
const VIDEO: &str = "ffmpeg";

/// Logs why no Manager answers, until one has answered: from then on the URL is known to be right.
pub(super) async fn explain_silence(manager: &HttpManager) -> Infallible {
    let mut logged = None;
    while manager.since_last_answer().is_none() {
        manager.failure().await;
        let Some((url, options)) = manager.place() else {
            continue;
        };
        let diagnosis = match probe(&url, options, STEP).await {
            Ok(met) => version_problem(&met.info),
            Err(diagnosis) => Some(diagnosis),
        };
        if let Some(diagnosis) =
            diagnosis.filter(|new| manager.since_last_answer().is_none() && logged.as_ref() != Some(new))
        {
            warn!("{}; {}", diagnosis.seen, diagnosis.advice);
            logged = Some(diagnosis);
        }
        sleep(AGAIN).await;
    }
    pending().await
}

/// Logs where Blender and FFmpeg are, and which of them tasks may not start. The search runs on a thread: a folder of PATH may be on a file system that hangs.
pub(super) async fn report_programs(task_types: &[String], sandbox: Option<Sandbox>) -> Infallible {
    if let Some((blender, ffmpeg, refused)) = run_blocking_within(pending(), move || found(sandbox.as_ref())).await {
        match &blender {
            Some(place) => info!(program = %place.display(), "Blender"),
            None => info!(
                "no blender on the worker's PATH: that is well if the Manager's variable `blender` has a full path for \
                 Linux"
            ),
        }
        match &ffmpeg {
            Some(place) => info!(program = %place.display(), "FFmpeg"),
            None if task_types.iter().any(|kind| kind == VIDEO) => warn!(
                "no ffmpeg in {}, and none on the worker's PATH: tasks that make a video from frames fail here",
                tools_folder().display()
            ),
            None => {}
        }
        for why in refused {
            warn!("{why}");
        }
    }
    pending().await
}

fn found(sandbox: Option<&Sandbox>) -> (Option<PathBuf>, Option<PathBuf>, Vec<NotAdmitted>) {
    let path = env::var_os("PATH");
    let beside = ffmpeg_beside(&tools_folder())
        .into_iter()
        .find(|path: &PathBuf| is_program(path));
    let blender = find_program(path.as_deref(), "blender").map(resolved);
    let ffmpeg = beside.or_else(|| find_program(path.as_deref(), "ffmpeg"));
    let refused = |program: &PathBuf| sandbox?.may_start(program).err();
    let refused = blender.iter().chain(&ffmpeg).filter_map(refused).collect();
    (blender, ffmpeg, refused)
}

/// The target of a link on PATH, which often tells the version.
fn resolved(program: PathBuf) -> PathBuf {
    Path::canonicalize(&program).unwrap_or(program)
}
