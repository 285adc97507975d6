// SPDX-License-Identifier: GPL-3.0-or-later

//! This machine as tests see it: its processes, files that appear, programs that may be missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a fact may take before a test gives up. Long, because the machine may be busy; never waited out.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process as `/proc` shows it.
#[derive(Clone)]
pub struct Process {
    pub pid: i32,
    /// Its arguments, with blanks between them.
    pub command: String,
    /// Each argument ends in a NUL.
    arguments: String,
    /// Each entry ends in a NUL; empty where it is not for us to see.
    pub environment: String,
    /// The limit by which a worker's guards are known to those who do not see their environment.
    lock_limit: Option<u64>,
}

impl Process {
    /// Whether this is one of its arguments.
    #[must_use]
    pub fn has_argument(&self, argument: &str) -> bool {
        self.arguments.split('\0').any(|word| word == argument)
    }

    /// Whether it was started with this mark of a worker, or by one that was, as far as that can be seen.
    #[must_use]
    pub fn bears_mark(&self, mark: &str) -> bool {
        if !self.environment.is_empty() {
            return self.has_variable(&format!("FLAMENCO_WORKER_MARK={mark}"));
        }
        // As in process/mark.rs.
        let hash = mark.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.lock_limit == Some((hash | 1 << 62) & !(1 << 63))
    }

    /// Whether this `NAME=value` is in its environment.
    #[must_use]
    pub fn has_variable(&self, entry: &str) -> bool {
        self.environment.split('\0').any(|word| word == entry)
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.pid, self.command)
    }
}

/// All living processes that can be looked into.
pub fn processes() -> Vec<Process> {
    processes_of(Path::new("/proc"))
}

/// The same of another machine, whose `/proc` this is.
pub fn processes_of(proc: &Path) -> Vec<Process> {
    let text = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let Ok(arguments) = text(entry.path().join("cmdline")) else {
            continue;
        };
        // A worker and its guards show theirs to root only.
        let environment = text(entry.path().join("environ")).unwrap_or_default();
        let lock_limit = text(entry.path().join("limits"))
            .unwrap_or_default()
            .lines()
            .find_map(|line| {
                line.strip_prefix("Max file locks")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            });
        // A zombie's files are there, but empty.
        if !arguments.is_empty() {
            found.push(Process {
                pid,
                command: arguments.replace('\0', " ").trim().to_owned(),
                arguments,
                environment,
                lock_limit,
            });
        }
    }
    found
}

/// Whether a process is there and not a zombie.
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()),
            Some('Z' | 'X') | None
        )
    })
}

/// What a process has open, as far as that is for us to see: a worker and its guards show nothing of it but to root.
#[must_use]
pub fn open_files(pid: i32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// The children of a process, zombies included.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Waits for a fact that only looking again can tell.
///
/// # Panics
/// It does not become true in [`PATIENCE`].
pub fn until<T>(what: &str, fact: impl FnMut() -> Option<T>, dump: impl FnOnce() -> String) -> T {
    until_within(PATIENCE, what, fact, dump)
}

/// The same, with a patience of the caller's own.
///
/// # Panics
/// It does not become true in that time.
pub fn until_within<T>(
    patience: Duration,
    what: &str,
    mut fact: impl FnMut() -> Option<T>,
    dump: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", dump());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a file to be there, and reads it.
pub fn file(path: &Path) -> String {
    until(
        &format!("{} to be written", path.display()),
        || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')),
        String::new,
    )
}
