// SPDX-License-Identifier: GPL-3.0-or-later
//! Files: one log per task, and the last picture per job, in the Manager's own places.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Farm, Uploaded};

/// Pictures kept in memory for tests to look at; older ones are forgotten.
const PICTURES_KEPT: usize = 64;

/// Under each of them lies the same picture: nothing is scaled here, and nothing made a JPEG.
pub(crate) const PICTURE_NAMES: &[&str] = &["last-rendered.jpg", "last-rendered-small.jpg", "last-rendered-tiny.jpg"];

impl Farm {
    pub(crate) fn job_folder(&self, job: &str) -> PathBuf {
        self.storage.join(job_path(job))
    }

    pub(crate) fn log_path(&self, job: &str, task: &str) -> PathBuf {
        self.job_folder(job).join(format!("task-{task}.txt"))
    }

    /// Appends as the Manager does: an end of line is added where it is missing, empty text writes nothing, and an error
    /// is nobody's business.
    pub(super) fn log(&self, task: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        let task = &self.tasks[task];
        // The real Manager ignores it, too.
        append(&self.log_path(&task.job, &task.id), text).ok();
    }

    /// One of the Manager's own lines.
    pub(super) fn log_stamped(&self, task: usize, text: &str) {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.log(task, &format!("{now} {text}"));
    }

    /// The exact bytes of a task's log; empty when nothing was written.
    pub(crate) fn task_log(&self, task: &str) -> String {
        let Some(at) = self.task(task) else {
            return String::new();
        };
        let bytes = fs::read(self.log_path(&self.tasks[at].job, task)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn keep_picture(&mut self, picture: Uploaded) {
        let folder = self.job_folder(&picture.job);
        for name in PICTURE_NAMES {
            // Unreadable storage is not the worker's fault.
            replace(&folder.join(name), &picture.bytes).ok();
        }
        if self.pictures.len() >= PICTURES_KEPT {
            self.pictures.remove(0);
        }
        self.pictures.push(picture);
    }

    pub(super) fn remove_files(&mut self, job: &str) {
        // Already gone.
        fs::remove_dir_all(self.job_folder(job)).ok();
        self.pictures.retain(|picture| picture.job != job);
    }
}

/// Where a job's files are, from the storage on.
pub(crate) fn job_path(job: &str) -> String {
    format!("job-{}/{job}", job.get(..4).unwrap_or(job))
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())?;
    if text.ends_with('\n') {
        Ok(())
    } else {
        file.write_all(b"\n")
    }
}

/// In one step: a page that reads meanwhile sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&fresh, bytes)?;
    fs::rename(fresh, path)
}
