// SPDX-License-Identifier: GPL-3.0-or-later

//! The workers that are compared, each a column of the table.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scale::Scale;

const NAME: &str = "flamenco-worker";

/// One of the workers that are compared.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) title: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, with this `flamenco-worker.toml`.
    Ours { configuration: String },
    /// Somebody else's; it finds no configuration.
    Other,
}

impl Contender {
    /// Ours without push and with it, then the other.
    ///
    /// # Errors
    /// One of them is not there, or ours cannot be built.
    pub(crate) fn all(other: Option<&Path>, scale: &Scale) -> Result<Vec<Self>, String> {
        let binary = ours()?;
        let ours = |title, push: bool| Self {
            title,
            binary: binary.clone(),
            kind: Kind::Ours {
                configuration: format!("push = {push}\n{}", scale.timings),
            },
        };
        let mut all = vec![ours("without push", false), ours("with push", true)];
        if let Some(path) = other {
            all.push(Self {
                title: "other worker",
                binary: existing(std::path::absolute(path).map_err(|error| error.to_string())?)?,
                kind: Kind::Other,
            });
        }
        Ok(all)
    }

    pub(crate) fn is_ours(&self) -> bool {
        match self.kind {
            Kind::Ours { .. } => true,
            Kind::Other => false,
        }
    }
}

/// The worker beside this program, built first if cargo started us.
pub(crate) fn ours() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let folder = own.parent().and_then(Path::file_name).unwrap_or_default();
        let profile = if folder == "debug" { "dev".as_ref() } else { folder };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        // Both packages, as both were chosen when this was built: alone, the worker's would be built with other features.
        let mut build = Command::new(cargo);
        // What cargo tells of this package: build scripts watch it (ring's does), and half of what is built would be outdated.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        let built = build
            .args([
                "build",
                "--quiet",
                "--package",
                "bench",
                "--package",
                NAME,
                "--bin",
                NAME,
            ])
            .arg("--profile")
            .arg(profile)
            .arg("--manifest-path")
            .arg(root)
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(format!("cannot build {NAME}"));
        }
    }
    existing(own.with_file_name(NAME))
}

fn existing(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no worker at {}", path.display()))
    }
}
