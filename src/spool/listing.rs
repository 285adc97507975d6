// SPDX-License-Identifier: GPL-3.0-or-later

//! Lists what a spool holds, from another process: changes nothing, locks nothing, waits for nothing. A folder that moves
//! meanwhile is listed once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::disk;
use super::line_count::LineCount;
use super::log::{LogSpan, spans};
use super::paths::SpoolPaths;
use super::records::{ASSIGNED, AssignmentRecord, REPORT, ReportRecord, ReportState};
use super::run_end::RunEnd;

/// A task that ran here, or runs, as its folder tells.
#[derive(Debug)]
pub(crate) struct StoredTask {
    /// The id of the task.
    pub task: String,
    /// The name of the task.
    pub name: String,
    /// The id of its job; empty where the folder does not tell.
    pub job: String,
    /// Milliseconds since 1970.
    pub begun: u64,
    /// `None`: it runs, or the worker died with it.
    pub end: Option<RunEnd>,
    /// What became of its report.
    pub report: ReportState,
    /// Steps done.
    pub steps: u32,
    /// All of its log.
    pub printed: LineCount,
    /// What of that the Manager does not get.
    pub lost: LineCount,
    /// Where all of this is kept.
    pub folder: PathBuf,
}

/// What a spool holds, oldest first, and the folders that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct SpoolListing {
    /// The tasks; one that ran several times is several.
    pub tasks: Vec<StoredTask>,
    /// Folders that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// Lists the spool in `folder`. One that is not there is empty. Blocks.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn list(folder: &Path) -> io::Result<SpoolListing> {
    let paths = SpoolPaths::of(folder);
    let mut listing = SpoolListing::default();
    let mut seen = BTreeSet::new();
    // In the order in which folders move: one that leaves a place is found in the next.
    for (place, state) in [
        (&paths.spool, ReportState::Waiting),
        (&paths.set_aside, ReportState::SetAside),
        (&paths.history, ReportState::Delivered),
        (&paths.damaged, ReportState::Damaged),
    ] {
        for path in task_folders(place)? {
            match read(&path, &state) {
                Ok(task) if seen.insert((task.begun, task.task.clone())) => listing.tasks.push(task),
                Ok(_) => {}
                // It moved on, or was pruned.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {}
                Err(error) => listing.unreadable.push((path, error)),
            }
        }
    }
    listing.tasks.sort_by_key(|task| task.begun);
    Ok(listing)
}

fn task_folders(place: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| SpoolPaths::is_of_a_task(path))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Reads a folder in a place that says `by_place` of it, unless its record says more.
fn read(path: &Path, by_place: &ReportState) -> io::Result<StoredTask> {
    #[derive(Deserialize)]
    struct Task {
        uuid: String,
        #[serde(default)]
        job: String,
        #[serde(default)]
        name: String,
    }
    let assigned: AssignmentRecord<Task> = disk::read(&path.join(ASSIGNED))?.ok_or(io::ErrorKind::NotFound)?;
    let record: ReportRecord = disk::read(&path.join(REPORT))?.unwrap_or_default();
    let report = match record.state == ReportState::Waiting {
        true => by_place.clone(),
        false => record.state,
    };
    Ok(StoredTask {
        task: assigned.task.uuid,
        name: assigned.task.name,
        job: assigned.task.job,
        begun: assigned.begun,
        report,
        end: record.end,
        steps: record.steps,
        printed: record.log.printed,
        lost: record.log.lost,
        folder: path.to_owned(),
    })
}

impl StoredTask {
    /// Its log as far as it is here, in order. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn log(&self) -> io::Result<Vec<LogSpan>> {
        spans(&self.folder)
    }
}
