// SPDX-License-Identifier: GPL-3.0-or-later

//! This machine as tests see it: its processes, files that appear, programs that may be missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use test_needs::missing;

/// How long a fact may take before a test gives up. Long, because the machine may be busy; never waited out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A process as `/proc` shows it.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    pub(crate) environment: String,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.pid, self.command)
    }
}

/// All living processes that can be looked into.
pub(crate) fn processes() -> Vec<Process> {
    processes_of(Path::new("/proc"))
}

/// The same of another machine, whose `/proc` this is.
pub(crate) fn processes_of(proc: &Path) -> Vec<Process> {
    let text = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let (Ok(environment), Ok(command)) = (text(entry.path().join("environ")), text(entry.path().join("cmdline")))
        else {
            continue;
        };
        // A zombie's files are there, but empty.
        if !environment.is_empty() {
            found.push(Process {
                pid,
                command: command.replace('\0', " ").trim().to_owned(),
                environment,
            });
        }
    }
    found
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()),
            Some('Z' | 'X') | None
        )
    })
}

/// Waits for a fact that only looking again can tell.
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>, dump: impl FnOnce() -> String) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}\n{}",
            dump()
        );
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits for a file to be there, and reads it.
pub(crate) fn file(path: &Path) -> String {
    until(
        &format!("{} to be written", path.display()),
        || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')),
        String::new,
    )
}

/// Skips a test for a reason that nothing known does away with.
#[track_caller]
pub(crate) fn skipped(why: &str) {
    test_needs::skipped(why);
}
