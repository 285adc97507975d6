// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds the FFmpeg to run: one beside the worker's program if it works, otherwise the one on PATH.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::context::CommandContext;
use super::file_work::run_file_work;
use super::program::CommandProgram;
use super::start_hint;
use super::text::quoted;
use crate::outcome::{Incomplete, RequeueReason};
use crate::process::{Captured, Exit, StartError};

/// How long `-version` may take, as in the Go worker.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// The program to run for `exe`. `ffmpeg` and `ffmpeg.exe` are searched for and tested; any other program is run as given.
pub(super) async fn find(exe: &str, context: &mut CommandContext<'_>) -> Result<String, Incomplete> {
    if !matches!(exe, "ffmpeg" | "ffmpeg.exe") {
        return Ok(exe.to_owned());
    }
    let folder = context.tools.ffmpeg_dir.clone();
    // The file systems may not answer, so this runs beside the event loop.
    let (bundled, on_path) = run_file_work(context, move |_| {
        // Usually there is none, so that is not logged.
        let bundled = candidates(&folder).into_iter().filter(|path| path.exists());
        Ok((bundled.collect::<Vec<_>>(), start_hint::find_on_path("ffmpeg")))
    })
    .await?;
    for candidate in bundled {
        let path = candidate.to_string_lossy().into_owned();
        match try_version(&path, context).await? {
            Ok(()) => return Ok(path),
            Err(why) => context.log.line(&format!(
                "frames-to-video: {} cannot be used, trying the next one: {why}",
                quoted(&path)
            )),
        }
    }
    let Some(path) = on_path.map(|path| path.to_string_lossy().into_owned()) else {
        let folder = quoted(&context.tools.ffmpeg_dir.to_string_lossy());
        return Err(failed(
            exe,
            &format!("there is no ffmpeg in {folder}, and none on PATH"),
        ));
    };
    match try_version(&path, context).await? {
        Ok(()) => Ok(path),
        Err(why) => Err(failed(exe, &format!("{} cannot be used: {why}", quoted(&path)))),
    }
}

fn failed(exe: &str, why: &str) -> Incomplete {
    Incomplete::Failed(format!(
        "frames-to-video: parameter \"exe\" has invalid value {}: {why}",
        quoted(exe)
    ))
}

/// The paths at which an FFmpeg may be, in the order of the Go worker, which bundles one for each platform.
pub(crate) fn candidates(folder: &Path) -> [PathBuf; 3] {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    [
        format!("ffmpeg-linux-{architecture}"),
        "ffmpeg-linux".to_owned(),
        "ffmpeg".to_owned(),
    ]
    .map(|name| folder.join(name))
}

/// Runs `PATH -version`. The inner result tells why the program is not an FFmpeg.
async fn try_version(path: &str, context: &mut CommandContext<'_>) -> Result<Result<(), String>, Incomplete> {
    let program = CommandProgram::new(
        "frames-to-video",
        path,
        vec!["-version".to_owned()],
        context.tools.kill_sequence.clone(),
    );
    let spec = match program.admitted(context).await {
        Err(Incomplete::Failed(why)) => return Ok(Err(why)),
        admitted => admitted?,
    };
    let mut abort = context.abort.clone();
    // An abort ends the wait early. The program gets no grace either way: it has nothing to lose.
    let limit = async {
        timeout(VERSION_LIMIT, abort.raised()).await.ok();
    };
    let answer = context.tools.launcher.run_within(&spec, limit).await;
    if let Some(reason) = context.abort.reason() {
        return Err(Incomplete::Aborted(reason));
    }
    verdict(answer)
}

/// Decides from its end and its output whether a program is an FFmpeg.
fn verdict(answer: Result<Captured, StartError>) -> Result<Result<(), String>, Incomplete> {
    let Captured { exit, lines } = match answer {
        Ok(answer) => answer,
        Err(StartError::Guard(error)) => {
            return Err(Incomplete::Requeued(RequeueReason::CannotStart(error.to_string())));
        }
        Err(error) => return Ok(Err(error.to_string())),
    };
    let words = lines.join(" | ");
    Ok(match exit {
        Exit::Success if lines.iter().any(|line| line.starts_with("ffmpeg version ")) => Ok(()),
        Exit::Success => Err(format!("its answer to -version is not FFmpeg's: {}", quoted(&words))),
        Exit::Code(code) => Err(format!("-version ended with code {code}: {}", quoted(&words))),
        Exit::Signal { signal, .. } => Err(format!("-version was killed by signal {signal}")),
        Exit::Aborted(_) => Err(format!(
            "it did not answer -version within {} s",
            VERSION_LIMIT.as_secs()
        )),
        Exit::Lost => return Err(Incomplete::Requeued(RequeueReason::GuardLost)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exit: Exit, lines: &[&str]) -> Result<Result<(), String>, Incomplete> {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        verdict(Ok(Captured { exit, lines }))
    }

    #[test]
    fn only_what_says_so_is_an_ffmpeg() {
        assert_eq!(
            of(Exit::Success, &["ffmpeg version 5.1.8", "built with gcc"]),
            Ok(Ok(()))
        );
        assert_eq!(
            of(Exit::Success, &["a warning of the loader", "ffmpeg version 6"]),
            Ok(Ok(()))
        );
        let hello = of(Exit::Success, &["hello"]).unwrap().unwrap_err();
        assert_eq!(hello, "its answer to -version is not FFmpeg's: \"hello\"");
        assert!(
            of(Exit::Code(1), &["ffmpeg version 6"])
                .unwrap()
                .unwrap_err()
                .contains("code 1")
        );
        assert_eq!(of(Exit::Lost, &[]), Err(Incomplete::Requeued(RequeueReason::GuardLost)));
    }

    #[test]
    fn the_names_beside_the_worker_are_the_go_worker_s() {
        let names = candidates(Path::new("/w/tools")).map(|path| path.to_string_lossy().into_owned());
        assert!(
            names[0].starts_with("/w/tools/ffmpeg-linux-") && !names[0].ends_with("x86_64"),
            "{names:?}"
        );
        assert_eq!(names[1..], ["/w/tools/ffmpeg-linux", "/w/tools/ffmpeg"]);
    }
}
