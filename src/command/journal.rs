// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps on disk what the next start has to know about a run of Blender, in case worker and guard die with it. There is one file
//! for each run while it lasts, with a line at its beginning and one for each picture that was saved.
//!
//! ```text
//! HOME/rendering/<begun>: {"task": ..., "arguments": [...], "before": [...]}
//!                         "/render/0001.png"
//!                         {"tried": 1700000000}    its pictures could not be set aside yet
//! ```
//!
//! The file is written beside the event loop. If a line is lost, that picture is only checked once more for completeness.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::unfinished_pictures::FileStamp;
use crate::blocking::run_blocking_within;
use crate::clock;

/// How long a home that does not answer may hold up a run.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many bytes of one file are read, and so many files.
const READ_MOST: u64 = 64 << 20;
const FILES_MOST: usize = 100;
/// A journal whose pictures could not be examined for so long is given up.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How much clocks may differ, in seconds, for what was written just before an attempt.
const CLOCKS: u64 = 2;
/// So many bytes wait for a slow disk at most.
const WAITING_MOST: usize = 1 << 20;
/// After the host is up again, what was on its way to a file server may still arrive, and clocks differ.
const AFTER_BOOT: Duration = Duration::from_secs(30);

/// The first line of a journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalHeader {
    pub(super) task: String,
    /// The id of the boot of the host in which the run began.
    pub(super) boot: String,
    pub(super) arguments: Vec<String>,
    /// The working directory, to which relative paths are relative.
    pub(super) directory: PathBuf,
    pub(super) before: Vec<(PathBuf, FileStamp)>,
    /// Where the file systems of the pictures were mounted.
    #[serde(default)]
    pub(super) mounts: Vec<PathBuf>,
}

/// Each other line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum JournalEntry {
    Saved(PathBuf),
    /// The run had ended by this time, in seconds since 1970.
    Tried {
        tried: u64,
    },
}

impl JournalEntry {
    fn tried() -> Self {
        Self::Tried {
            // The run wrote everything before this time, by the clock of its file system.
            tried: clock::since_1970().as_secs().saturating_add(CLOCKS),
        }
    }

    fn line(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).unwrap_or_default();
        match self {
            Self::Saved(_) => format!("{text}\n"),
            // The line before may be incomplete.
            Self::Tried { .. } => format!("\n{text}\n"),
        }
        .into_bytes()
    }
}

/// A run of Blender that was cut off with its worker.
#[derive(Debug)]
pub(super) struct CutOffRun {
    pub(super) path: PathBuf,
    pub(super) head: JournalHeader,
    pub(super) saved: Vec<PathBuf>,
    /// The run had ended by this time.
    pub(super) not_after: Option<SystemTime>,
    /// This is the first attempt to set its pictures aside.
    pub(super) is_new: bool,
    /// This is the last attempt.
    pub(super) is_old: bool,
}

/// The journal of one run.
#[derive(Debug, Clone)]
pub(super) struct Journal(Arc<JournalWriter>);

#[derive(Debug)]
struct JournalWriter {
    path: PathBuf,
    queue: Mutex<WriteQueue>,
}

#[derive(Debug, Default)]
struct WriteQueue {
    bytes: Vec<u8>,
    is_written: bool,
}

impl Journal {
    /// Creates the file, which is on disk when this returns if the disk is not too slow. A failure is logged, and the run goes on
    /// without a journal.
    pub(super) async fn begin(folder: &Path, head: &JournalHeader) -> Self {
        let journal = Self(Arc::new(JournalWriter {
            path: folder.join(clock::since_1970().as_nanos().to_string()),
            queue: Mutex::default(),
        }));
        let mut line = serde_json::to_vec(head).unwrap_or_default();
        line.push(b'\n');
        let path = journal.0.path.clone();
        match run_blocking_within(sleep(PATIENCE), move || create(&path, &line)).await {
            // This protects against a power cut, but no program waits for a slow disk.
            Some(Ok(file)) => {
                let folder = folder.to_owned();
                drop(spawn_blocking(move || sync(&file, &folder)));
            }
            Some(Err(error)) => warn!(path = %journal.0.path.display(), "cannot write: {error}"),
            None => warn!(path = %journal.0.path.display(), "cannot be written in time"),
        }
        journal
    }

    /// Adds a picture that was saved.
    pub(super) fn saved(&self, path: &Path) {
        self.add(&JournalEntry::Saved(path.to_owned()));
    }

    /// Notes that the run has ended, and that its unfinished pictures are still to be set aside.
    pub(super) fn keep(&self) {
        self.add(&JournalEntry::tried());
    }

    fn add(&self, entry: &JournalEntry) {
        let line = entry.line();
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bytes.len() + line.len() > WAITING_MOST {
            return;
        }
        queue.bytes.extend(line);
        if !std::mem::replace(&mut queue.is_written, true) {
            let writer = Arc::clone(&self.0);
            drop(spawn_blocking(move || writer.write()));
        }
    }

    /// Removes the file, because nothing is left to do for the run.
    pub(super) async fn end(self) {
        // A file that stays is found by the next start, which finds all pictures complete.
        run_blocking_within(sleep(PATIENCE), move || fs::remove_file(&self.0.path)).await;
    }
}

impl JournalWriter {
    /// Writes until nothing waits. What cannot be written is dropped.
    fn write(&self) {
        loop {
            let bytes = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.bytes.is_empty() {
                    queue.is_written = false;
                    return;
                }
                std::mem::take(&mut queue.bytes)
            };
            append(&self.path, &bytes).ok();
        }
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(path)?;
    file.write_all(bytes)
}

fn create(path: &Path, line: &[u8]) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(line)?;
    Ok(file)
}

fn sync(file: &File, folder: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |home| File::open(home)?.sync_all())
}

/// Reads the journals in `folder`, the oldest first, and notes in each that it was tried. A journal that cannot be read is
/// removed, and that is logged.
pub(super) fn read_cut_off_runs(folder: &Path) -> Vec<CutOffRun> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.drain(..paths.len().saturating_sub(FILES_MOST)) {
        warn!(path = %path.display(), "so many runs of Blender were cut off that this one is given up");
        fs::remove_file(&path).ok();
    }
    let mut found = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(leftover) => {
                if leftover.is_new {
                    append(&path, &JournalEntry::tried().line()).ok();
                }
                found.push(leftover);
            }
            Err(error) => {
                warn!(path = %path.display(), "cannot tell what a cut off run of Blender wrote: {error}");
                fs::remove_file(&path).ok();
            }
        }
    }
    found
}

fn read(path: &Path) -> io::Result<CutOffRun> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut lines = BufReader::new(file.take(READ_MOST)).split(b'\n');
    let first = lines
        .next()
        .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let head: JournalHeader = serde_json::from_slice(&first)?;
    let (mut saved, mut tried) = (Vec::new(), None);
    // The last line may be incomplete.
    for entry in lines
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_slice(&line).ok())
    {
        match entry {
            JournalEntry::Saved(path) => saved.push(path),
            JournalEntry::Tried { tried: seconds } => {
                tried = tried.or(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
            }
        }
    }
    let up = (head.boot != clock::boot_id()).then(|| booted() + AFTER_BOOT);
    // The file has not changed since the first attempt.
    let age = found
        .modified()
        .ok()
        .and_then(|time| clock::system_time().duration_since(time).ok());
    Ok(CutOffRun {
        path: path.to_owned(),
        head,
        saved,
        not_after: up.into_iter().chain(tried).min(),
        is_new: tried.is_none(),
        is_old: tried.is_some() && age.is_some_and(|age| age > KEPT),
    })
}

fn booted() -> SystemTime {
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    clock::system_time().checked_sub(up).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> JournalHeader {
        JournalHeader {
            task: "t".into(),
            boot: clock::boot_id(),
            arguments: vec!["-o".into(), "/r/ü".into()],
            directory: "/r".into(),
            before: Vec::new(),
            mounts: Vec::new(),
        }
    }

    #[tokio::test]
    async fn i2_what_was_begun_and_saved_is_found_again_and_gone_after_a_good_end() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rendering");
        assert!(read_cut_off_runs(&folder).is_empty());
        let journal = Journal::begin(&folder, &head()).await;
        journal.saved(Path::new("/r/it's 1.png"));
        journal.saved(Path::new("/r/2.png"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let found = read_cut_off_runs(&folder);
            assert_eq!((found.len(), found[0].head.task.as_str()), (1, "t"));
            if found[0].saved == [Path::new("/r/it's 1.png"), Path::new("/r/2.png")] {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found:?}");
            tokio::task::yield_now().await;
        }
        journal.end().await;
        assert!(read_cut_off_runs(&folder).is_empty());
    }

    #[test]
    fn i2_a_file_that_tells_nothing_is_no_hindrance_and_half_a_line_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        let mut other = head();
        other.boot = "another".into();
        let line = serde_json::to_string(&other).unwrap();
        write("1", "");
        write("2", &format!("{line}\n\"/r/1.png\"\n\"/r/2"));
        write("3", &line[..20]);
        nix::unistd::mkfifo(&home.path().join("4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found = read_cut_off_runs(home.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].saved, [Path::new("/r/1.png")]);
        assert!(
            found[0]
                .not_after
                .is_some_and(|end| end < clock::system_time() + AFTER_BOOT)
        );
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn i2_what_could_not_be_looked_at_is_kept_for_a_day_and_what_is_written_after_it_is_not_its() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::begin(home.path(), &head()).await;
        let first = read_cut_off_runs(home.path()).remove(0);
        assert_eq!((first.is_new, first.is_old, first.not_after), (true, false, None));
        journal.keep();
        let again = read_cut_off_runs(home.path()).remove(0);
        let end = again.not_after.unwrap();
        let clocks = Duration::from_secs(CLOCKS);
        assert!(!again.is_new && !again.is_old);
        assert!(end > clock::system_time() && end <= clock::system_time() + clocks);
        let file = File::options().append(true).open(&again.path).unwrap();
        file.set_modified(clock::system_time() - KEPT - Duration::from_secs(1))
            .unwrap();
        let old = read_cut_off_runs(home.path()).remove(0);
        assert_eq!((old.is_old, old.not_after), (true, Some(end)));
        for number in 0..FILES_MOST {
            fs::copy(&again.path, home.path().join(format!("9{number:03}"))).unwrap();
        }
        assert_eq!(read_cut_off_runs(home.path()).len(), FILES_MOST);
        assert!(!again.path.exists());
    }
}
