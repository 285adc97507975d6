// SPDX-License-Identifier: GPL-3.0-or-later

//! `make-directory` creates a folder and the folders above it.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::context::CommandContext;
use super::file_work::{FileWorkError, error_text, run_file_work};
use super::parameters::{ParameterError, Parameters};
use super::text::quoted;
use crate::outcome::Outcome;

/// The mode of a new folder before the umask, as in the Go worker.
const MODE: u32 = 0o775;

/// The parameter is `path`, which may exist already. It is relative to the worker's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MakeDirectory {
    /// The folder.
    pub path: PathBuf,
}

impl MakeDirectory {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            path: parameters.text("path", "a path")?.into(),
        })
    }

    pub(super) async fn run(&self, context: &mut CommandContext<'_>) -> Outcome {
        let path = self.path.clone();
        context.log.line(&format!(
            "make-directory: creating directory {}",
            quoted(&path.to_string_lossy())
        ));
        run_file_work(context, move |work| {
            work.check()?;
            DirBuilder::new()
                .recursive(true)
                .mode(MODE)
                .create(&path)
                .map_err(|error| {
                    let why = obstacle(&path).unwrap_or_else(|| error_text(&error));
                    let path = quoted(&path.to_string_lossy());
                    FileWorkError::Failed(format!("make-directory: could not create directory {path}: {why}"))
                })
        })
        .await
    }
}

/// What exists in the place of one of the folders, if it is no folder.
fn obstacle(path: &Path) -> Option<String> {
    let there = path
        .ancestors()
        .find(|ancestor| fs::symlink_metadata(ancestor).is_ok())?;
    let name = quoted(&there.to_string_lossy());
    match fs::metadata(there) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(format!("{name} is not a directory")),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!("{name} is a link to nothing")),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
