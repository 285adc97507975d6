// SPDX-License-Identifier: GPL-3.0-or-later

//! Shows the log of a task to people, from another process: what of it is on this node, and where some is missing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::parts::{Gap, NOT_KEPT_UP, gap_file, numbered, segment_file};
use crate::spool::disk;

/// One span of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogSpan {
    /// Lines, in this file.
    Lines(PathBuf),
    /// A line that says what is not here.
    Note(String),
}

/// The log in a folder, as far as it is here, in order. Changes nothing. Blocks.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::spool) fn spans(folder: &Path) -> io::Result<Vec<LogSpan>> {
    let (segments, gaps) = numbered(folder)?;
    let mut parts: BTreeMap<u32, (u32, LogSpan)> = segments
        .into_iter()
        .map(|number| (number, (number, LogSpan::Lines(segment_file(folder, number)))))
        .collect();
    for first in gaps {
        // A gap that cannot be read, or was sent in this moment, shows as one.
        if let Ok(Some(Gap { last, missing, .. })) = disk::read(&gap_file(folder, first)) {
            parts.insert(first, (last, LogSpan::Note(missing.note(NOT_KEPT_UP))));
        }
    }
    let mut spans = Vec::new();
    let mut next = 1;
    for (first, (last, span)) in parts {
        if first > next {
            let note = "[... what was here is with the Manager, and not kept on this node ...]\n";
            spans.push(LogSpan::Note(note.to_owned()));
        }
        spans.push(span);
        next = last.saturating_add(1);
    }
    Ok(spans)
}
