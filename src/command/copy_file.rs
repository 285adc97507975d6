// SPDX-License-Identifier: GPL-3.0-or-later

//! `copy-file` copies one file, completely or not at all, and never over another.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::context::CommandContext;
use super::copying::{self, PartialCopy};
use super::file_work::{FileWork, FileWorkError, error_text, run_file_work};
use super::not_expanded::missing_source;
use super::parameters::{ParameterError, Parameters};
use super::text::quoted;
use crate::outcome::Outcome;

/// The mode of new folders above the destination before the umask, as in the Go worker.
const FOLDER_MODE: u32 = 0o750;

/// The parameter `src` is the absolute path of a regular file, or of a link to one. The parameter `dest` is an absolute path
/// that does not exist; the folders above it are created. Only the contents are copied: the mode is that of any new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyFile {
    /// The file to copy.
    pub src: PathBuf,
    /// The path of the copy.
    pub dest: PathBuf,
}

impl CopyFile {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        const FILE: &str = "an absolute path of a file";
        let path = |name| match parameters.text(name, FILE)? {
            text if text.starts_with('/') && !text.ends_with('/') => Ok(PathBuf::from(text)),
            _ => Err(parameters.error(name, FILE)),
        };
        let (src, dest) = (path("src")?, path("dest")?);
        if dest.file_name().is_none() {
            return Err(parameters.error("dest", FILE));
        }
        Ok(Self { src, dest })
    }

    pub(super) async fn run(&self, context: &mut CommandContext<'_>) -> Outcome {
        let this = self.clone();
        run_file_work(context, move |work| this.copy(work)).await
    }

    fn copy(&self, work: &FileWork) -> Result<(), FileWorkError> {
        let (src, dest) = (shown(&self.src), shown(&self.dest));
        let failed = |what: String| {
            move |error: std::io::Error| FileWorkError::Failed(format!("copy-file: {what}: {}", error_text(&error)))
        };
        let refused = |why: String| FileWorkError::Failed(format!("copy-file: {why}, not copying anything"));
        match fs::metadata(&self.src) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refused(missing_source(&self.src)));
            }
            Err(error) => return Err(failed(format!("cannot look at source path {src}"))(error)),
            Ok(_) => {}
        }
        // A link to nothing counts as existing too. The Go worker writes to its target.
        if fs::symlink_metadata(&self.dest).is_ok() {
            return Err(refused(format!("destination path {dest} already exists")));
        }
        work.log(format!("copy-file: copying {src} to {dest}"));
        let file = copying::open(&self.src).map_err(failed(format!("failed to open source file {src}")))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(refused(format!("source file {src} is not a regular file")));
        }
        work.check()?;
        if let Some(folder) = self.dest.parent() {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(failed(format!("failed to create directories {}", shown(folder))))?;
        }
        let part =
            PartialCopy::file(&self.dest).map_err(failed(format!("failed to create destination file {dest}")))?;
        let copied = copying::copy_contents(&file, part.writer(), work)?;
        copied
            .and_then(|()| part.publish(&self.dest))
            .map_err(failed(format!("failed to copy {src} to {dest}")))?;
        work.log(format!("copy-file: copied {src} to {dest}"));
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
