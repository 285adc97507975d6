// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds a log again that an earlier process wrote.

use std::fs;
use std::io;
use std::path::Path;

use super::parts::{Gap, HIGHEST, LogPart, gap_file, numbered, segment_file};
use super::segmented::SegmentedLog;
use crate::files;
use crate::spool::disk;
use crate::spool::progress::LogProgress;

/// Finds the log of a folder that an earlier process left, as far as `progress` knows it. `log` is that of
/// a new folder. Blocks.
///
/// # Errors
/// When a file cannot be read, or a gap is not what was written.
pub(in crate::spool) fn scan(folder: &Path, mut log: SegmentedLog, progress: LogProgress) -> io::Result<SegmentedLog> {
    let sent = progress.sent;
    log.progress = progress;
    remove_unfinished(folder)?;
    let (mut segments, gaps) = numbered(folder)?;
    segments.sort_unstable();
    let mut parts = Vec::new();
    for first in gaps {
        let gap: Gap = disk::read(&gap_file(folder, first))?.ok_or(io::ErrorKind::NotFound)?;
        if gap.first != first || gap.last < first || gap.last > HIGHEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a gap that is somewhere else",
            ));
        }
        for dropped in segments.extract_if(.., |number| (gap.first..=gap.last).contains(number)) {
            fs::remove_file(segment_file(folder, dropped))?;
        }
        if gap.last < sent.segment {
            fs::remove_file(gap_file(folder, first))?;
        } else {
            parts.push((first, LogPart::Gap(gap)));
        }
    }
    for number in segments {
        let bytes = fs::metadata(segment_file(folder, number))?.len();
        let done = if number == sent.segment { sent.byte } else { 0 };
        if number < sent.segment || bytes <= done {
            log.keep_some(number);
        } else {
            parts.push((number, LogPart::Segment { number, bytes }));
        }
    }
    parts.sort_unstable_by_key(|(number, _)| *number);
    log.waiting = parts.into_iter().map(|(_, part)| part).collect();
    Ok(log)
}

/// Removes what was not finished when an earlier process ended.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(files::UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
