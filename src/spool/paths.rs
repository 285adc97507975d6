// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the folders of tasks are.
//!
//! ```text
//! spool/<task>                    waits, or runs
//! spool/history/<when>-<task>     over; the last ones stay for people to look at
//! spool/set-aside/<task>          its outcome could not be delivered: not run again here
//! spool/damaged/<when>-<task>     could not be read; never touched again
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk;
use super::name::is_folder_name;
use crate::files;

/// Digits of a time in milliseconds; from the year 2286 on there are more.
const DATE: usize = 13;

/// The folders of a spool, in which those of tasks are.
#[derive(Debug, Clone)]
pub(super) struct SpoolPaths {
    pub(super) spool: PathBuf,
    pub(super) history: PathBuf,
    pub(super) set_aside: PathBuf,
    pub(super) damaged: PathBuf,
}

/// Where a folder goes of which nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    History,
    SetAside,
}

impl SpoolPaths {
    /// The folders of the spool at `spool`; touches nothing.
    pub(super) fn of(spool: &Path) -> Self {
        Self {
            spool: spool.to_owned(),
            history: spool.join("history"),
            set_aside: spool.join("set-aside"),
            damaged: spool.join("damaged"),
        }
    }

    /// Whether a path in one of them is the folder of a task, by its name.
    pub(super) fn is_of_a_task(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dated = name.split_once('-');
        let is_date = |date: &str| date.len() >= DATE && date.bytes().all(|byte| byte.is_ascii_digit());
        is_folder_name(name) || dated.is_some_and(|(date, rest)| is_date(date) && is_folder_name(rest))
    }

    /// Makes those that are not there. Blocks.
    ///
    /// # Errors
    /// When one of them cannot be made, or nothing can be written there.
    pub(super) fn make(spool: &Path) -> io::Result<Self> {
        let paths = Self::of(spool);
        for folder in [&paths.spool, &paths.history, &paths.set_aside, &paths.damaged] {
            disk::make_folder(folder)?;
        }
        try_write(spool)?;
        Ok(paths)
    }
}

/// A name that sorts by time.
pub(super) fn dated(millis: u64, path: &Path) -> String {
    format!(
        "{millis:0DATE$}-{}",
        path.file_name().unwrap_or_default().to_string_lossy()
    )
}

/// Tries whether a file can be made in `folder`. Blocks.
///
/// # Errors
/// When it cannot.
pub(super) fn try_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!("writable{}", files::UNFINISHED));
    files::create_anew(&path)?.write_all(b"x")?;
    fs::remove_file(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i23_a_folder_of_any_year_is_known_again() {
        for millis in [0, 1_795_470_384_500, 316_000_000_000_000, u64::MAX] {
            for task in ["x-74", "3b241101-e2bb-4255-8caf-4136c566a962"] {
                let name = dated(millis, Path::new(task));
                assert!(SpoolPaths::is_of_a_task(Path::new(&name)), "{name}");
            }
        }
    }
}
