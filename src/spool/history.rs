// SPDX-License-Identifier: GPL-3.0-or-later

//! Makes the folders of tasks and moves them to where they belong when nothing of them waits any more (the places are in
//! `paths.rs`), and holds the bounds of what is kept.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use tracing::{error, warn};

use super::context::SpoolContext;
use super::disk;
use super::limits::Limits;
use super::name::is_folder_name;
use super::paths::{Shelf, SpoolPaths, dated};
use super::records::{ASSIGNED, REPORT, now_millis};
use super::task_folder::TaskFolder;
use crate::chain::chain;
use crate::files::{self, is_shortage};
use crate::trees::remove;

impl SpoolPaths {
    /// The folders that wait, oldest first, and the names of those that were set aside. What is over is put away,
    /// what is damaged moved aside.
    ///
    /// # Errors
    /// What the system says where a folder of ours cannot be listed, or there are no descriptors to read what is in it.
    pub(super) fn scan(&self, context: &SpoolContext) -> io::Result<(Vec<TaskFolder>, BTreeSet<String>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.spool)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.ends_with(files::UNFINISHED) {
                // Tried again at the next start.
                remove(&path).ok();
            }
            if !is_folder_name(name) {
                continue;
            }
            match TaskFolder::read(&path, context) {
                Ok(folder) if folder.is_waiting() => found.push(folder),
                Ok(folder) => {
                    // Tried again at the next start.
                    self.shelve(&path, folder.begun, folder.shelf()).ok();
                }
                Err(error) if is_shortage(&error) => return Err(error),
                Err(error) => self.move_damaged(&path, &error),
            }
        }
        found.sort_by_key(|folder| folder.begun);
        let set_aside = fs::read_dir(&self.set_aside)?;
        let names = set_aside
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        Ok((found, names.collect()))
    }

    fn move_damaged(&self, path: &Path, cause: &io::Error) {
        let to = self.damaged.join(dated(now_millis(), path));
        match fs::rename(path, &to) {
            Ok(()) => error!(
                kept = %to.display(),
                cause = chain(cause),
                "the reports of a task are damaged: moved aside; what the Manager has not yet of them is not sent"
            ),
            Err(error) => error!(
                path = %path.display(),
                cause = chain(cause),
                error = chain(&error),
                "the reports of a task are damaged"
            ),
        }
    }

    /// Puts a folder away. Atomic; there is one of it before and after.
    pub(super) fn shelve(&self, path: &Path, begun: u64, shelf: Shelf) -> io::Result<()> {
        match shelf {
            Shelf::SetAside => fs::rename(path, self.set_aside.join(path.file_name().unwrap_or_default())),
            Shelf::History => fs::rename(path, self.history.join(dated(begun, path))),
        }
    }

    /// Holds the bounds of what is kept for people to look at; less of it where less is free.
    pub(super) fn prune(&self, limits: &Limits) {
        let bytes = files::free_space(&self.spool).map_or(limits.history_bytes, |free| free.min(limits.history_bytes));
        prune(&self.history, limits.history_tasks, bytes);
        prune(&self.damaged, limits.history_tasks, bytes);
        strip(&self.set_aside, bytes);
    }

    /// Undoes that a folder was set aside.
    pub(super) fn take_back(&self, name: &str) -> io::Result<()> {
        fs::rename(self.set_aside.join(name), self.spool.join(name))
    }

    /// Makes the folder of a task, whole, with what was assigned.
    pub(super) fn make_folder(&self, name: &str, assigned: &[u8]) -> io::Result<()> {
        self.make_way(name)?;
        let unfinished = self.spool.join(format!("{name}{}", files::UNFINISHED));
        disk::make_folder(&unfinished)?;
        files::replace(&unfinished.join(ASSIGNED), assigned)?;
        fs::rename(&unfinished, self.spool.join(name))
    }

    /// A folder that has the name of a new one goes to the history: it could not be moved earlier.
    fn make_way(&self, name: &str) -> io::Result<()> {
        let path = self.spool.join(name);
        match self.shelve(&path, now_millis(), Shelf::History) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Removes the oldest folders until at most `tasks` are left, with at most `bytes` together.
fn prune(history: &Path, tasks: usize, bytes: u64) {
    if let Err(error) = try_prune(history, tasks, bytes) {
        warn!(path = %history.display(), error = chain(&error), "cannot prune the history of tasks");
    }
}

/// What is not a task's stays, and does not count. One folder that cannot be removed does not keep the others.
fn try_prune(history: &Path, tasks: usize, bytes: u64) -> io::Result<()> {
    let mut of_tasks = of_tasks(history)?;
    of_tasks.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    let mut total = 0;
    for (index, entry) in of_tasks.iter().enumerate() {
        total += size(&entry.path());
        if (index >= tasks || total > bytes)
            && let Err(stays) = remove(&entry.path())
        {
            warn!("cannot prune the history of tasks: {stays}");
        }
    }
    Ok(())
}

/// Entries that bear the name of a task's folder.
fn of_tasks(place: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(place)?.collect::<io::Result<Vec<_>>>()?;
    entries.retain(|entry| SpoolPaths::is_of_a_task(&entry.path()));
    Ok(entries)
}

/// Removes the logs of the oldest folders until at most `bytes` are left. What was assigned and how it ended stays:
/// it is known by these that a task is not run again.
fn strip(set_aside: &Path, bytes: u64) {
    if let Err(error) = try_strip(set_aside, bytes) {
        warn!(path = %set_aside.display(), error = chain(&error), "cannot remove old logs");
    }
}

fn try_strip(set_aside: &Path, bytes: u64) -> io::Result<()> {
    let mut folders = Vec::new();
    for entry in of_tasks(set_aside)? {
        let found = entry.metadata()?;
        if found.is_dir() {
            folders.push((found.modified()?, entry.path()));
        }
    }
    folders.sort_by(|one, other| other.cmp(one));
    let (mut total, mut first_error) = (0, Ok(()));
    for (_, folder) in folders {
        total += size(&folder);
        if total <= bytes {
            continue;
        }
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_name() != ASSIGNED && entry.file_name() != REPORT {
                first_error = first_error.and(fs::remove_file(entry.path()));
            }
        }
    }
    first_error
}

/// Bytes of the files in a folder, as far as they can be seen.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_by_number_and_by_size() {
        let home = tempfile::tempdir().unwrap();
        for millis in 1..=6 {
            let folder = home.path().join(dated(millis, Path::new("x-74")));
            disk::make_folder(&folder).unwrap();
            fs::write(folder.join("log-000001"), vec![b'x'; 100]).unwrap();
        }
        let left = |tasks, bytes| {
            prune(home.path(), tasks, bytes);
            let mut names: Vec<_> = fs::read_dir(home.path())
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(left(4, 1000).len(), 4);
        assert_eq!(left(4, 250), ["0000000000005-x-74", "0000000000006-x-74"]);
        assert_eq!(left(4, 0).len(), 0);
    }

    #[test]
    fn of_what_was_set_aside_only_the_old_logs_go() {
        let home = tempfile::tempdir().unwrap();
        for task in ["x-0a", "x-0b"] {
            let folder = home.path().join(task);
            disk::make_folder(&folder).unwrap();
            for file in [ASSIGNED, REPORT, "log-000001", "refused-000001-0"] {
                fs::write(folder.join(file), vec![b'x'; 100]).unwrap();
            }
            let folder = fs::File::open(folder).unwrap();
            let minute = if task == "x-0a" { 1 } else { 2 };
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(60 * minute);
            folder.set_modified(time).unwrap();
        }
        // A stray file is not in the way.
        fs::write(home.path().join("stray"), "").unwrap();
        let files = |task| fs::read_dir(home.path().join(task)).unwrap().count();
        strip(home.path(), 800);
        assert_eq!((files("x-0a"), files("x-0b")), (4, 4));
        strip(home.path(), 799);
        assert_eq!((files("x-0a"), files("x-0b")), (2, 4));
    }

    #[test]
    fn what_is_no_folder_of_a_task_stays_and_stops_no_pruning() {
        let home = tempfile::tempdir().unwrap();
        for millis in 1..=6 {
            disk::make_folder(&home.path().join(dated(millis, Path::new("x-74")))).unwrap();
        }
        let path = |name: &str| home.path().join(name);
        fs::write(path("notes.txt"), "mine").unwrap();
        fs::write(path("0000000000002-x-75"), "a file by the name of a task").unwrap();
        nix::unistd::mkfifo(&path("0000000000003-x-76"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        prune(home.path(), 2, 1000);
        let mut names: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["0000000000005-x-74", "0000000000006-x-74", "notes.txt"]);
        strip(home.path(), 0);
        assert!(path("notes.txt").exists());
    }
}
