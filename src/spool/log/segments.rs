// SPDX-License-Identifier: GPL-3.0-or-later

//! The files of a log, and how one is found again at a start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Gap, Log, NOT_KEPT_UP, Part, Progress};
use crate::files;
use crate::spool::disk;
use crate::spool::look::Stretch;

/// No log gets this far; a number above it is damage.
const HIGHEST: u32 = u32::MAX / 2;

pub(super) fn segment(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("log-{number:06}"))
}

pub(super) fn gap(folder: &Path, first: u32) -> PathBuf {
    folder.join(format!("gap-{first:06}"))
}

/// Finds the log of a folder that an earlier process left, as far as `progress` knows it. `new` is the log of that folder
/// without anything in it. Blocks.
///
/// # Errors
/// When a file cannot be read, or a gap is not what was written.
pub(in crate::spool) fn scan(folder: &Path, new: Log, progress: Progress) -> io::Result<Log> {
    let sent = progress.sent;
    let mut log = Log { progress, ..new };
    remove_unfinished(folder)?;
    let (mut segments, gaps) = numbered(folder)?;
    segments.sort_unstable();
    let mut parts = Vec::new();
    for first in gaps {
        let gap: Gap = disk::read(&gap(folder, first))?.ok_or(io::ErrorKind::NotFound)?;
        if gap.first != first || gap.last < first || gap.last > HIGHEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a gap that is somewhere else",
            ));
        }
        for dropped in segments.extract_if(.., |number| (gap.first..=gap.last).contains(number)) {
            fs::remove_file(segment(folder, dropped))?;
        }
        if gap.last < sent.segment {
            fs::remove_file(self::gap(folder, first))?;
        } else {
            parts.push((first, Part::Gap(gap)));
        }
    }
    for number in segments {
        let bytes = fs::metadata(segment(folder, number))?.len();
        let done = if number == sent.segment { sent.byte } else { 0 };
        if number < sent.segment || bytes <= done {
            log.keep_some(number);
        } else {
            parts.push((number, Part::Segment { number, bytes }));
        }
    }
    parts.sort_unstable_by_key(|(number, _)| *number);
    log.waiting = parts.into_iter().map(|(_, part)| part).collect();
    Ok(log)
}

/// What of a log is in a folder, in order; for looking only.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::spool) fn stretches(folder: &Path) -> io::Result<Vec<Stretch>> {
    let (segments, gaps) = numbered(folder)?;
    let mut parts: BTreeMap<u32, (u32, Stretch)> = segments
        .into_iter()
        .map(|number| (number, (number, Stretch::Lines(segment(folder, number)))))
        .collect();
    for first in gaps {
        // A gap that cannot be read, or was sent in this moment, shows as one.
        if let Ok(Some(Gap { last, missing, .. })) = disk::read(&gap(folder, first)) {
            parts.insert(first, (last, Stretch::Note(missing.note(NOT_KEPT_UP))));
        }
    }
    let mut stretches = Vec::new();
    let mut next = 1;
    for (first, (last, stretch)) in parts {
        if first > next {
            let note = "[... what was here is with the Manager, and not kept on this node ...]\n";
            stretches.push(Stretch::Note(note.to_owned()));
        }
        stretches.push(stretch);
        next = last.saturating_add(1);
    }
    Ok(stretches)
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

/// The numbers of segments and of gaps in a folder.
fn numbered(folder: &Path) -> io::Result<(Vec<u32>, Vec<u32>)> {
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
