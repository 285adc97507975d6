// SPDX-License-Identifier: GPL-3.0-or-later

//! What the next start has to know of a run of Blender, should worker and guard die with it: a file while it runs,
//! with a line at its beginning and one for each picture that was saved.
//!
//! ```text
//! HOME/rendering/<begun>: {"task": ..., "arguments": [...], "before": [...]}
//!                         "/render/0001.png"
//!                         {"tried": 1700000000}    it could not be seen to yet
//! ```
//!
//! Written beside the event loop. A line that was lost costs nothing but the look whether that picture is whole.

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
use crate::files::{is_shortage, open_unlinked};

/// How long a home that does not answer may hold up a run.
const PATIENCE: Duration = Duration::from_secs(1);
/// More is not read, of one file and of how many.
const READ_MOST: u64 = 64 << 20;
const FILES_MOST: usize = 100;
/// One whose pictures could not be looked at for so long is given up.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// What clocks may differ, in seconds, for what was written just before a try.
const CLOCKS: u64 = 2;
/// What waits for a disk, at most.
const WAITING_MOST: usize = 1 << 20;
/// After the host is up again, what was on its way to a file server may still arrive, and clocks differ.
const AFTER_BOOT: Duration = Duration::from_secs(30);

/// Its first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalHeader {
    pub(super) task: String,
    /// Of which life of the host it was.
    pub(super) boot: String,
    pub(super) arguments: Vec<String>,
    /// What relative paths were relative to.
    pub(super) directory: PathBuf,
    pub(super) before: Vec<(PathBuf, FileStamp)>,
    /// Where the file systems of the pictures were mounted.
    #[serde(default)]
    pub(super) mounts: Vec<PathBuf>,
}

/// Each other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum JournalEntry {
    Saved(PathBuf),
    /// The run was over by then, in seconds since 1970.
    Tried {
        tried: u64,
    },
}

impl JournalEntry {
    fn tried() -> Self {
        Self::Tried {
            // Whatever it wrote was written before, by the clock of its file system.
            tried: clock::since_1970().as_secs().saturating_add(CLOCKS),
        }
    }

    fn line(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).unwrap_or_default();
        match self {
            Self::Saved(_) => format!("{text}\n"),
            // After a line that may be half.
            Self::Tried { .. } => format!("\n{text}\n"),
        }
        .into_bytes()
    }
}

/// What a killed worker left.
#[derive(Debug)]
pub(super) struct CutOffRun {
    pub(super) path: PathBuf,
    pub(super) head: JournalHeader,
    pub(super) saved: Vec<PathBuf>,
    /// It had ended by then.
    pub(super) not_after: Option<SystemTime>,
    /// Nobody has tried to see to it before.
    pub(super) is_new: bool,
    /// It is not to be tried again.
    pub(super) is_old: bool,
}

/// The file of one run.
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
    /// On return it is on disk, if the disk is not too slow. One that cannot be written is said, and done without.
    pub(super) async fn begin(folder: &Path, head: &JournalHeader) -> Self {
        let journal = Self::go_on(folder.join(clock::since_1970().as_nanos().to_string()));
        let mut line = serde_json::to_vec(head).unwrap_or_default();
        line.push(b'\n');
        let path = journal.0.path.clone();
        match run_blocking_within(sleep(PATIENCE), move || create(&path, &line)).await {
            // A power cut may come; no program waits for a slow disk.
            Some(Ok(file)) => {
                let folder = folder.to_owned();
                drop(spawn_blocking(move || sync(&file, &folder)));
            }
            Some(Err(error)) => warn!(path = %journal.0.path.display(), "cannot write: {error}"),
            None => warn!(path = %journal.0.path.display(), "cannot be written in time"),
        }
        journal
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Goes on with the journal of a run that was handed over.
    pub(super) fn go_on(path: PathBuf) -> Self {
        Self(Arc::new(JournalWriter {
            path,
            queue: Mutex::default(),
        }))
    }

    /// Adds a picture that was saved.
    pub(super) fn saved(&self, path: &Path) {
        self.add(&JournalEntry::Saved(path.to_owned()));
    }

    /// The run is over, and what it did not finish is still to be seen to.
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

    /// The run is over, and all was done for it.
    pub(super) async fn end(self) {
        // One that stays is found by the next start, which sees that the pictures are whole.
        run_blocking_within(sleep(PATIENCE), move || fs::remove_file(&self.0.path)).await;
    }
}

impl JournalWriter {
    /// Until nothing waits. What cannot be written is let go.
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

/// What is in `folder`, oldest first; noted there as tried. A file that tells nothing is removed, and said; one for which
/// there was no descriptor is left for the next look.
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
            Err(error) => not_read(&path, &error),
        }
    }
    found
}

fn not_read(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), "cannot tell what a cut off run of Blender wrote: {error}");
    if !is_shortage(error) {
        fs::remove_file(path).ok();
    }
}

fn read(path: &Path) -> io::Result<CutOffRun> {
    let file = open_unlinked(path)?;
    let found = file.metadata()?;
    let mut lines = BufReader::new(file.take(READ_MOST)).split(b'\n');
    let first = lines
        .next()
        .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let head: JournalHeader = serde_json::from_slice(&first)?;
    let (mut saved, mut tried) = (Vec::new(), None);
    // The last line may be half.
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
    // It has not changed since it was tried first.
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
    use tokio::task::yield_now;

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
    fn f9_a_file_for_which_there_is_no_descriptor_is_left_for_later() {
        let file = tempfile::NamedTempFile::new().unwrap();
        not_read(file.path(), &nix::errno::Errno::EMFILE.into());
        assert!(file.path().exists());
        not_read(file.path(), &io::ErrorKind::InvalidData.into());
        assert!(!file.path().exists());
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
        // By a thread, behind what the look before has noted.
        let tries = |text: String| text.matches("tried").count();
        while tries(fs::read_to_string(journal.path()).unwrap()) < 2 {
            yield_now().await;
        }
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
