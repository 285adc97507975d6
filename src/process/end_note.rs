// SPDX-License-Identifier: GPL-3.0-or-later

//! How a program ended, in a file: what a guard leaves to the next worker where its own went before it had that on disk.
//!
//! ```text
//! guard: program ended ─► Ended ─► worker ─► its outcome on disk ─► GuardCommand::Release ─► guard ends
//!              └─ the worker is gone without that: EndNote::write ─► NotedEnd::read, at the next start
//! ```
//!
//! No file is touched while a worker lives: its home may stand still, and the guard must hear orders. Noted is only what
//! a program did by itself while its worker lived; the death of the worker breaks the pipe of its output.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Finished;
use super::messages::ExitReport;
use super::status::{exit_of, is_own_doing};
use crate::{clock, files};

/// Far more than a guard writes; a task could have put anything in its place.
const LARGEST: u64 = 1 << 20;

/// Where a guard notes how its program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndNote {
    /// Absolute. The folder is there.
    pub file: OsString,
    /// What the next worker has to know of the program, in words of its own.
    pub about: String,
}

/// What such a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedEnd {
    /// As it was given.
    pub about: String,
    /// Milliseconds since 1970.
    pub ended: u64,
    pub finished: Finished,
}

#[derive(Debug, Serialize, Deserialize)]
struct NoteContent {
    about: String,
    /// Of which life of the host it is: what was written before a power cut may not be on disk.
    boot: String,
    ended: u64,
    pid: i32,
    word: ExitReport,
}

impl EndNote {
    /// In its place at once, or not at all.
    pub(super) fn write(&self, pid: i32, ended: u64, word: ExitReport) -> io::Result<()> {
        let content = NoteContent {
            about: self.about.clone(),
            boot: clock::boot(),
            ended,
            pid,
            word,
        };
        let text = serde_json::to_vec(&content)?;
        let mut unfinished = self.file.clone();
        unfinished.push(".new");
        // A task could have put anything there.
        fs::remove_file(&unfinished).ok();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        let written = file.write_all(&text).and_then(|()| fs::rename(&unfinished, &self.file));
        if written.is_err() {
            fs::remove_file(&unfinished).ok();
        }
        written
    }
}

impl NotedEnd {
    /// `None` where nothing was noted, or nothing that a task can be judged by: before the host was started anew, or of
    /// a program that whoever killed the worker may have ended as well. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is another.
    pub fn read(file: &Path) -> io::Result<Option<Self>> {
        let text = match files::read(file, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let content: NoteContent = serde_json::from_slice(&text)?;
        let ExitReport {
            status,
            asked,
            oom,
            usage,
            strays,
            output_held,
            writing,
        } = content.word;
        let status = status.filter(|status| is_own_doing(*status) && !asked && content.boot == clock::boot());
        Ok(status.map(|status| Self {
            about: content.about,
            ended: content.ended,
            finished: Finished {
                pid: content.pid,
                exit: exit_of(status, oom),
                usage,
                strays,
                output_held,
                writing,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Exit, Strays, Usage};

    fn word(status: i32) -> ExitReport {
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
        // What a task has planted.
        std::os::unix::fs::symlink("/nowhere", home.path().join("end-note.json.new")).unwrap();
        let exit = |word: ExitReport| {
            note.write(7, 8, word).unwrap();
            let read = NotedEnd::read(&path).unwrap()?;
            assert_eq!((read.about.as_str(), read.ended, read.finished.pid), ("x", 8, 7));
            Some(read.finished.exit)
        };
        assert_eq!(exit(word(0)), Some(Exit::Success));
        assert_eq!(exit(word(3 << 8)), Some(Exit::Code(3)));
        assert_eq!(exit(word(9)), None);
        assert_eq!(exit(ExitReport { asked: true, ..word(0) }), None);
        let text = fs::read_to_string(&path).unwrap().replace(&clock::boot(), "another");
        let text = text.replace("\"asked\":true", "\"asked\":false");
        fs::write(&path, &text).unwrap();
        assert_eq!(NotedEnd::read(&path).unwrap(), None);
        fs::write(&path, &text[..20]).unwrap();
        assert!(NotedEnd::read(&path).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
