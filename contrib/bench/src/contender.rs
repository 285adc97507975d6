// SPDX-License-Identifier: GPL-3.0-or-later

//! The workers that are compared, each a column of the table.

use std::path::{Path, PathBuf};

use test_bed::Build;

use crate::scale::Scale;

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

    /// The same with `more` in its configuration, if it is ours.
    pub(crate) fn with(&self, more: &str) -> Self {
        let kind = match &self.kind {
            Kind::Ours { configuration } => Kind::Ours {
                configuration: format!("{configuration}\n{more}"),
            },
            Kind::Other => Kind::Other,
        };
        Self {
            title: self.title,
            binary: self.binary.clone(),
            kind,
        }
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
    let text = |error: std::io::Error| error.to_string();
    let own = std::env::current_exe().map_err(text)?;
    if let (Some(cargo), Some(build)) = (std::env::var_os("CARGO"), Build::like(&own)) {
        let built = build.command(Path::new(&cargo), "bench").status();
        if !built.is_ok_and(|status| status.success()) {
            return Err("cannot build the worker".to_owned());
        }
    }
    test_bed::worker().map_err(text)
}

fn existing(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no worker at {}", path.display()))
    }
}
