// SPDX-License-Identifier: GPL-3.0-or-later
//! Which worker is shown: `FLAMENCO_DEMO_WORKER`, or the one beside this program, linked anew if cargo started us.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

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
        build.run(Path::new(&cargo), folder, interrupt)?;
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

/// How this program was built, so that the worker is built alike.
#[derive(Debug, PartialEq, Eq)]
struct Build {
    profile: String,
    target_folder: PathBuf,
    /// Built for a named target: there is one more folder in the path.
    triple: Option<String>,
}

impl Build {
    /// From a path like `target/release/demo`.
    fn like(program: &Path) -> Option<Self> {
        let profile_folder = program.parent()?;
        let above = profile_folder.parent()?;
        // Cargo tags the top of its folder.
        let tagged = |folder: &Path| folder.join("CACHEDIR.TAG").is_file();
        let (target_folder, triple) = match above.parent() {
            Some(top) if !tagged(above) && tagged(top) => (top, Some(name_of(above)?)),
            Some(_) | None => (above, None),
        };
        let profile = name_of(profile_folder)?;
        Some(Self {
            // The one profile whose folder has another name.
            profile: if profile == "debug" { "dev".to_owned() } else { profile },
            target_folder: target_folder.to_owned(),
            triple,
        })
    }

    fn run(self, cargo: &Path, folder: &Path, interrupt: &mut Interrupt) -> Result<(), End> {
        let built = Probe {
            program: cargo,
            arguments: self.arguments(&workspace()),
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

    fn arguments(self, workspace: &Path) -> Vec<OsString> {
        let manifest = workspace.join("Cargo.toml");
        // Both packages are named, as both were chosen when the demo was built: chosen alone, the worker's would be built
        // with other features, and all it depends on a second time.
        let words = [
            "build",
            "--package",
            "demo",
            "--package",
            NAME,
            "--bin",
            NAME,
            "--profile",
        ];
        let mut words: Vec<OsString> = words.map(Into::into).to_vec();
        words.extend([self.profile.into(), "--manifest-path".into(), manifest.into()]);
        words.extend(["--target-dir".into(), self.target_folder.into()]);
        if let Some(triple) = self.triple {
            words.extend(["--target".into(), triple.into()]);
        }
        words
    }
}

fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}

/// Two folders above this package: where cargo says it is now, else where it was when this was compiled.
fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    package
        .ancestors()
        .nth(2)
        .map_or_else(|| package.clone(), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_built_like_the_demo() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("CACHEDIR.TAG"), "").unwrap();
        let like = |path: &str| {
            let build = Build::like(&folder.path().join(path)).unwrap();
            assert_eq!(build.target_folder, folder.path());
            (build.profile, build.triple)
        };
        assert_eq!(like("release/demo"), ("release".to_owned(), None));
        assert_eq!(like("debug/demo"), ("dev".to_owned(), None));
        let triple = Some("aarch64-unknown-linux-gnu".to_owned());
        assert_eq!(like("aarch64-unknown-linux-gnu/dist/demo"), ("dist".to_owned(), triple));
    }

    #[test]
    fn a_worker_that_is_not_there_is_named() {
        let missing = existing("/nowhere/flamenco-worker".into(), "advice");
        assert!(matches!(missing, Err(End::Failed(text)) if text.contains("/nowhere/flamenco-worker (advice)")));
    }
}
