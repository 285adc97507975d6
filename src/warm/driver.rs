// SPDX-License-Identifier: GPL-3.0-or-later

//! The other half of `driver.py`: the script as a file, and what is said to it.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::files;

/// The script.
const SCRIPT: &str = include_str!("driver.py");

/// The longest answer, in bytes: paths of some ten thousand libraries.
const LONGEST: u64 = 4 << 20;

/// What a Blender says when it has read its command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Ready {
    /// Of Blender.
    pub(super) version: (u32, u32, u32),
    /// Why this file is not for one that is kept.
    pub(super) refusal: Option<String>,
    /// Files that the file links.
    pub(super) libraries: Vec<PathBuf>,
}

/// What is asked of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Request {
    mark: String,
    frames: Vec<(i32, i32)>,
    environment: BTreeMap<String, Option<String>>,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    /// Why it could not render.
    pub(super) error: Option<String>,
    /// As in [`Ready`].
    pub(super) libraries: Vec<PathBuf>,
}

impl Request {
    /// `mark`: what no program prints by chance.
    pub(super) fn new(
        mark: &str,
        frames: &[RangeInclusive<i32>],
        environment: BTreeMap<String, Option<String>>,
    ) -> Self {
        Self {
            mark: mark.to_owned(),
            frames: frames.iter().map(|range| (*range.start(), *range.end())).collect(),
            environment,
        }
    }

    /// What it is told apart by in the output.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Sends it.
    ///
    /// # Errors
    /// When Blender is gone.
    pub(super) async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line).await
    }
}

/// Waits for a line, and reads it.
///
/// # Errors
/// When Blender is gone, or what came is no answer.
pub(super) async fn receive<T: for<'a> Deserialize<'a>>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<T> {
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// Puts the script into `folder`, where it is not there as it should be, and says where. Blocks.
///
/// # Errors
/// When it cannot be written.
pub(super) fn install(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("blender-driver.py");
    let is_there = files::read(&path, SCRIPT.len() as u64 + 1).is_ok_and(|found| found == SCRIPT.as_bytes());
    if !is_there {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        files::replace(&path, SCRIPT.as_bytes())?;
    }
    Ok(path)
}
