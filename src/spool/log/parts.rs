// SPDX-License-Identifier: GPL-3.0-or-later

//! What a log consists of on the disk: `log-<number>` for a segment, `gap-<number>` where segments were dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spool::line_count::LineCount;

/// No log gets this far; a number above it is damage.
pub(super) const HIGHEST: u32 = u32::MAX / 2;

/// Why lines are missing where a segment was dropped.
pub(super) const NOT_KEPT_UP: &str = "the Manager did not keep up";

/// What waits to be sent, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LogPart {
    Segment { number: u32, bytes: u64 },
    Gap(Gap),
}

/// Dropped segments; stands as `gap-<first>` in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) missing: LineCount,
}

pub(super) fn segment_file(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("log-{number:06}"))
}

pub(super) fn gap_file(folder: &Path, first: u32) -> PathBuf {
    folder.join(format!("gap-{first:06}"))
}

/// The numbers of segments and of gaps in a folder.
pub(super) fn numbered(folder: &Path) -> io::Result<(Vec<u32>, Vec<u32>)> {
    let (mut segments, mut gaps) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = number_of(name, "log-") {
            segments.push(number);
        } else if let Some(number) = number_of(name, "gap-") {
            gaps.push(number);
        }
    }
    Ok((segments, gaps))
}

fn number_of(name: &str, kind: &str) -> Option<u32> {
    name.strip_prefix(kind)?
        .parse()
        .ok()
        .filter(|number| *number <= HIGHEST)
}
