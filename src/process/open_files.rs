// SPDX-License-Identifier: GPL-3.0-or-later

//! Which files a process has open for writing. `/proc` tells it without a question to their file systems, of which one
//! that hangs would hold the guard.
//!
//! ```text
//! guard (before each signal), sweep (once a process is stopped) ─► OpenFiles ─► ExitReport ─► Finished::writing
//! ```

use std::fs;
use std::ops::ControlFlow;

use nix::libc::{O_ACCMODE, O_APPEND, O_RDONLY};
use serde::{Deserialize, Serialize};

use super::walk::walk;

/// How many files are reported; a renderer writes a few.
const FILES_MOST: usize = 32;
/// The longest path that is reported, in bytes. With [`FILES_MOST`] it bounds what a guard has to say.
const PATH_LONGEST: usize = 1024;
/// How many descriptors of one process are looked at.
const DESCRIPTORS_MOST: usize = 4096;
/// How many processes are looked at; of a fork bomb nobody needs more.
const PROCESSES_MOST: usize = 256;

/// A file that was open for writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenFile {
    /// The absolute path without links, as the process saw it.
    pub path: String,
    /// The inode number; `None` before Linux 5.14, which does not tell it.
    pub inode: Option<u64>,
}

/// The files that were seen so far, each once.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenFiles {
    files: Vec<OpenFile>,
    processes: usize,
}

impl OpenFiles {
    pub(super) fn files(&self) -> &[OpenFile] {
        &self.files
    }

    pub(super) fn into_files(self) -> Vec<OpenFile> {
        self.files
    }

    /// Looks at every process below this one.
    pub(super) fn scan_below(&mut self) {
        self.processes = 0;
        walk(&|_| false, &mut |_, stat| {
            self.scan(stat.pid);
            if self.processes < PROCESSES_MOST {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }

    /// Looks at one process. A process that ended, or that we may not look at, writes nothing.
    pub(super) fn scan(&mut self, pid: i32) {
        self.processes += 1;
        if self.processes > PROCESSES_MOST {
            return;
        }
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return;
        };
        for entry in open.flatten().take(DESCRIPTORS_MOST) {
            let Some(path) = fs::read_link(entry.path())
                .ok()
                .and_then(|path| path.into_os_string().into_string().ok())
            else {
                continue;
            };
            if !may_be_a_file(&path) {
                continue;
            }
            let number = entry.file_name();
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.display())).unwrap_or_default();
            if is_for_writing(&info) {
                self.add(OpenFile {
                    path,
                    inode: field(&info, "ino:").and_then(|number| number.parse().ok()),
                });
            }
        }
    }

    /// Adds files that were seen elsewhere.
    pub(super) fn add_all(&mut self, other: &[OpenFile]) {
        for file in other {
            self.add(file.clone());
        }
    }

    fn add(&mut self, file: OpenFile) {
        if self.files.len() < FILES_MOST && !self.files.contains(&file) {
            self.files.push(file);
        }
    }
}

/// Whether the path can be a file's: those of pipes, sockets, devices and deleted files are not. What is left may still be
/// something else.
fn may_be_a_file(path: &str) -> bool {
    let is_device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
    path.starts_with('/') && !is_device && path.len() <= PATH_LONGEST && !path.ends_with(" (deleted)")
}

/// Whether a descriptor is for writing, by the octal `flags:` of its `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)). A
/// program that appends writes a log.
fn is_for_writing(info: &str) -> bool {
    field(info, "flags:")
        .and_then(|flags| i32::from_str_radix(flags, 8).ok())
        .is_some_and(|flags| flags & O_ACCMODE != O_RDONLY && flags & O_APPEND == 0)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn i2_only_what_is_open_for_writing_is_seen_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        let written = File::create(here.join("written.png")).unwrap();
        let again = written.try_clone().unwrap();
        fs::write(here.join("read.png"), "x").unwrap();
        let read = File::open(here.join("read.png")).unwrap();
        let log = File::options()
            .append(true)
            .create(true)
            .open(here.join("x.log"))
            .unwrap();
        let gone = File::create(here.join("gone.png")).unwrap();
        fs::remove_file(here.join("gone.png")).unwrap();
        let mut writing = OpenFiles::default();
        writing.scan(i32::try_from(std::process::id()).unwrap());
        let seen: Vec<_> = writing
            .files()
            .iter()
            .filter(|file| file.path.starts_with(here.to_str().unwrap()))
            .cloned()
            .collect();
        let inode = written.metadata().unwrap().ino();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].path, here.join("written.png").to_str().unwrap());
        assert!(seen[0].inode.is_none_or(|told| told == inode), "{seen:?}");
        drop((again, read, log, gone));
    }

    #[test]
    fn i2_flags_are_octal() {
        for (flags, written) in [
            ("0100000", false),
            ("0100001", true),
            ("0100002", true),
            ("0102001", false),
        ] {
            assert_eq!(
                is_for_writing(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t29\n")),
                written
            );
        }
        assert!(!is_for_writing(""));
    }
}
