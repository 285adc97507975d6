// SPDX-License-Identifier: GPL-3.0-or-later

//! A look at a spool from another process: changes nothing, locks nothing, waits for nobody. What moves while it
//! is looked at is seen once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::count::Count;
use super::disk;
use super::end::End;
use super::history::Places;
use super::log;
use super::record::{ASSIGNED, Assigned, Fate, REPORT, Record};

/// A task that ran here, or runs, as its folder tells.
#[derive(Debug)]
pub struct Kept {
    pub task: String,
    pub name: String,
    pub job: String,
    /// Milliseconds since 1970.
    pub begun: u64,
    /// `None`: it runs, or the worker died with it.
    pub end: Option<End>,
    pub report: Standing,
    pub steps: u32,
    /// All of its log, and what of that the Manager does not get.
    pub said: Count,
    pub lost: Count,
    pub folder: PathBuf,
}

/// What became of what a task said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Not all of it is with the Manager.
    Waiting,
    Delivered,
    /// It failed, and the Manager no longer wanted to know.
    Withdrawn,
    /// The task was given to another worker.
    NotOurs,
    /// The task was deleted.
    Gone,
    /// The Manager did not take it; the task is not run here again.
    SetAside,
    /// Found damaged at a start.
    Damaged,
}

/// One stretch of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Lines, in this file.
    Lines(PathBuf),
    /// A line that says what is not here.
    Note(String),
}

/// What a spool holds, oldest first, and the folders that tell nothing.
#[derive(Debug, Default)]
pub struct Found {
    pub tasks: Vec<Kept>,
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// Looks at the spool in `folder`. One that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub fn look(folder: &Path) -> io::Result<Found> {
    let places = Places::of(folder);
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    // In the order in which folders move: one that leaves a place is found in the next.
    for (place, standing) in [
        (&places.spool, Standing::Waiting),
        (&places.set_aside, Standing::SetAside),
        (&places.history, Standing::Delivered),
        (&places.damaged, Standing::Damaged),
    ] {
        for path in task_folders(place)? {
            match read(&path, standing) {
                Ok(kept) if seen.insert((kept.begun, kept.task.clone())) => found.tasks.push(kept),
                Ok(_) => {}
                // It moved on, or was pruned.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {}
                Err(error) => found.unreadable.push((path, error)),
            }
        }
    }
    found.tasks.sort_by_key(|kept| kept.begun);
    Ok(found)
}

fn task_folders(place: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| Places::is_of_a_task(path))
        .collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path, standing: Standing) -> io::Result<Kept> {
    #[derive(Deserialize)]
    struct Task {
        uuid: String,
        #[serde(default)]
        job: String,
        #[serde(default)]
        name: String,
    }
    let assigned: Assigned<Task> = disk::read(&path.join(ASSIGNED))?.ok_or(io::ErrorKind::NotFound)?;
    let record: Record = disk::read(&path.join(REPORT))?.unwrap_or_default();
    Ok(Kept {
        task: assigned.task.uuid,
        name: assigned.task.name,
        job: assigned.task.job,
        begun: assigned.begun,
        report: record.fate.as_ref().map_or(standing, Standing::of),
        end: record.end,
        steps: record.steps,
        said: record.log.said,
        lost: record.log.lost,
        folder: path.to_owned(),
    })
}

impl Kept {
    /// Its log as far as it is here, in order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn log(&self) -> io::Result<Vec<Stretch>> {
        log::stretches(&self.folder)
    }
}

impl Standing {
    fn of(fate: &Fate) -> Self {
        match fate {
            Fate::Delivered => Self::Delivered,
            Fate::Withdrawn(_) => Self::Withdrawn,
            Fate::NotOurs => Self::NotOurs,
            Fate::Gone => Self::Gone,
            Fate::SetAside => Self::SetAside,
        }
    }
}
