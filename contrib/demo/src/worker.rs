// SPDX-License-Identifier: GPL-3.0-or-later
//! Which worker is shown: `FLAMENCO_DEMO_WORKER`, or the one beside this program, linked anew if cargo started us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use test_bed::Build;

use crate::{
    interrupt::{End, Interrupt, failed},
    programs::Probe,
    show::Show,
};

/// Names another worker, the Go one for example.
pub(crate) const CHOSEN: &str = "FLAMENCO_DEMO_WORKER";
const NAME: &str = "flamenco-worker";
/// Mostly it only links; on a slow machine it may have to compile a library again.
const BUILD: Duration = Duration::from_secs(900);
/// The last lines of a failed build that are shown.
const TAIL: usize = 20;

/// A `flamenco-worker.toml` for a real farm: the defaults are kind to its Manager. Without a file, one of this person's own
/// would be found.
pub(crate) const AS_A_GUEST: &str = "# Written by the demonstration.\n";
/// A `flamenco-worker.toml` for here: a few workers ask a Manager on the same machine, and a person waits for them.
pub(crate) const AT_HOME: &str = r#"# Written by the demonstration.
[timings]
first_may_i_run = "300ms"
may_i_run = "500ms"
idle_min = "500ms"
idle_max = "1s"
asleep_poll = "1s"
"#;

/// Finds it, building it first where that is possible.
///
/// # Errors
/// Interrupted, a failed build, or no such file.
pub(crate) fn find(folder: &Path, show: &mut Show, interrupt: &mut Interrupt) -> Result<PathBuf, End> {
    if let Some(chosen) = env::var_os(CHOSEN).filter(|value| !value.is_empty()) {
        let path = std::path::absolute(&chosen).map_err(failed(CHOSEN))?;
        return existing(path, &format!("{CHOSEN} names it"));
    }
    let us = env::current_exe().map_err(failed("looking for this program"))?;
    if let (Some(cargo), Some(build)) = (env::var_os("CARGO"), Build::like(&us)) {
        show.meanwhile("Building the worker ...");
        run(build.command(Path::new(&cargo), "demo"), folder, interrupt)?;
    }
    existing(us.with_file_name(NAME), "build it with `cargo build --release`")
}

fn existing(path: PathBuf, advice: &str) -> Result<PathBuf, End> {
    if path.is_file() {
        return Ok(path);
    }
    Err(End::Failed(format!(
        "There is no worker at {} ({advice}).",
        path.display()
    )))
}

fn run(command: Command, folder: &Path, interrupt: &mut Interrupt) -> Result<(), End> {
    let built = Probe {
        command,
        notes: &folder.join("cargo.txt"),
        deadline: BUILD,
    }
    .run(interrupt)?;
    if built.success {
        return Ok(());
    }
    let lines: Vec<_> = built.output.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    Err(End::Failed(format!(
        "The worker could not be built: {}.\n{tail}",
        built.how
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_not_there_is_named() {
        let missing = existing("/nowhere/flamenco-worker".into(), "advice");
        assert!(matches!(missing, Err(End::Failed(text)) if text.contains("/nowhere/flamenco-worker (advice)")));
    }
}
