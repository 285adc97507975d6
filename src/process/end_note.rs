// SPDX-License-Identifier: GPL-3.0-or-later

//! How a program ended, in a file. A guard leaves it to the next worker where its own went before it had the end on disk.
//!
//! ```text
//! guard: program ended ─► Ended ─► worker ─► its outcome on disk ─► GuardCommand::Release ─► guard ends
//!              └─ the worker is gone without that: EndNote::write ─► NotedEnd::read, at the next start
//! ```
//!
//! No file is touched while a worker lives: its home may stand still, and the guard must hear commands. Only what a
//! program did by itself while its worker lived is noted: the death of the worker breaks the pipe of its output.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::exit_report::ExitReport;
use super::finished::Finished;
use super::wait_status::{exit_of, is_own_doing};
use crate::{clock, files};

/// The longest file that is read, in bytes: far more than a guard writes. A task could have put anything in its place.
const LARGEST: u64 = 1 << 20;

/// Where a guard notes how its program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndNote {
    /// The file's absolute path, in a folder that exists.
    pub file: OsString,
    /// What the next worker has to know of the program, in a form of its own.
    pub about: String,
}

/// What such a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotedEnd {
    /// [`EndNote::about`].
    pub about: String,
    /// When the program ended, in milliseconds since 1970.
    pub ended: u64,
    /// What became of the program.
    pub finished: Finished,
}

#[derive(Debug, Serialize, Deserialize)]
struct NoteContent {
    about: String,
    /// In which life of the host it was written: what was written before a power cut may not be on disk.
    boot: String,
    ended: u64,
    pid: i32,
    #[serde(rename = "word")]
    report: ExitReport,
}

impl EndNote {
    /// Writes the file whole, or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, pid: i32, ended: u64, report: ExitReport) -> io::Result<()> {
        let content = NoteContent {
            about: self.about.clone(),
            boot: clock::boot_id(),
            ended,
            pid,
            report,
        };
        files::replace(Path::new(&self.file), &serde_json::to_vec(&content)?)
    }
}

impl NotedEnd {
    /// Reads the file. Returns `None` where nothing was noted, or nothing that a task can be judged by: the end is of an
    /// earlier life of the host, or whatever killed the worker may have ended the program as well. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is none that a guard wrote.
    pub(crate) fn read(file: &Path) -> io::Result<Option<Self>> {
        let text = match files::read(file, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let content: NoteContent = serde_json::from_slice(&text)?;
        let report = content.report;
        let counts = |status: &i32| is_own_doing(*status) && !report.asked && content.boot == clock::boot_id();
        let Some(status) = report.status.filter(counts) else {
            return Ok(None);
        };
        let exit = exit_of(status, report.oom);
        Ok(Some(Self {
            about: content.about,
            ended: content.ended,
            finished: report.into_finished(content.pid, exit),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::process::finished::{Exit, Usage};
    use crate::process::stray::Strays;

    fn report(status: i32) -> ExitReport {
        ExitReport {
            status: Some(status),
            asked: false,
            oom: false,
            usage: Usage::default(),
            strays: Strays::default(),
            output_held: false,
            writing: Vec::new(),
        }
    }

    #[test]
    fn i21_what_was_noted_is_read_back_unless_it_is_no_end_to_judge_by() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("end-note.json");
        assert_eq!(NotedEnd::read(&path).unwrap(), None);
        let note = EndNote {
            file: path.clone().into(),
            about: "x".into(),
        };
        // A task has planted this.
        std::os::unix::fs::symlink("/nowhere", home.path().join("end-note.json.new")).unwrap();
        let exit = |report: ExitReport| {
            note.write(7, 8, report).unwrap();
            let read = NotedEnd::read(&path).unwrap()?;
            assert_eq!((read.about.as_str(), read.ended, read.finished.pid), ("x", 8, 7));
            Some(read.finished.exit)
        };
        assert_eq!(exit(report(0)), Some(Exit::Success));
        assert_eq!(exit(report(3 << 8)), Some(Exit::Code(3)));
        assert_eq!(exit(report(9)), None);
        assert_eq!(
            exit(ExitReport {
                asked: true,
                ..report(0)
            }),
            None
        );
        let text = fs::read_to_string(&path).unwrap().replace(&clock::boot_id(), "another");
        let text = text.replace("\"asked\":true", "\"asked\":false");
        fs::write(&path, &text).unwrap();
        assert_eq!(NotedEnd::read(&path).unwrap(), None);
        fs::write(&path, &text[..20]).unwrap();
        assert!(NotedEnd::read(&path).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
