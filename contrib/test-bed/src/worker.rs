// SPDX-License-Identifier: GPL-3.0-or-later

//! How a worker is started, and how the one that is built beside this program is found and built.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAME: &str = "flamenco-worker";

/// Adds what every worker is started with: its Manager and its name, a home in `folder`, which it works in, and no input. All
/// that it writes is added to `log`.
///
/// # Errors
/// The log cannot be opened.
pub fn equip(command: &mut Command, folder: &Path, log: &Path, name: &str, manager: &str) -> io::Result<()> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .args(["-manager", manager])
        .current_dir(folder)
        .env("FLAMENCO_HOME", folder.join("home"))
        .env("FLAMENCO_WORKER_NAME", name)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(())
}

/// What every program of the worker with this home carries as `FLAMENCO_WORKER_MARK`.
///
/// # Errors
/// There is no such folder.
pub fn mark_of(home: &Path) -> io::Result<String> {
    let home = fs::metadata(home)?;
    Ok(format!("{:x}-{:x}", home.dev(), home.ino()))
}

/// The worker that cargo has built with this program, or with these tests, which lie one folder deeper.
///
/// # Errors
/// There is none.
pub fn worker() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(NAME)).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::other(format!("there is no {NAME} beside {}", own.display())))
}

/// How this program was built, so that the worker is built alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Build {
    profile: String,
    target_folder: PathBuf,
    /// Built for a named target: there is one more folder in the path.
    triple: Option<String>,
}

impl Build {
    /// From a path like `target/release/demo`.
    #[must_use]
    pub fn like(program: &Path) -> Option<Self> {
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

    /// The command that builds the worker as cargo has built `package`, this program.
    #[must_use]
    pub fn command(&self, cargo: &Path, package: &str) -> Command {
        let mut command = Command::new(cargo);
        // What cargo told us about this program itself. Build scripts watch these (ring's does): with them, half of what is
        // built would be taken for outdated.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        // Both packages are named, as both were chosen when this program was built: chosen alone, the worker's would be built
        // with other features, and all it depends on a second time.
        let words = [
            "build",
            "--quiet",
            "--package",
            package,
            "--package",
            NAME,
            "--bin",
            NAME,
        ];
        command
            .args(words)
            .args(["--profile", &self.profile])
            .args([OsString::from("--manifest-path"), manifest.into()])
            .args([OsString::from("--target-dir"), self.target_folder.clone().into()])
            .args(self.triple.iter().flat_map(|triple| ["--target", triple]));
        command
    }
}

fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_built_like_the_program_beside_it() {
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
}
