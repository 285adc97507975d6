// SPDX-License-Identifier: GPL-3.0-or-later

//! The preview process: reads one picture of unknown origin and writes a small JPEG of it.
//!
//! It is a process of its own, because a picture can be hostile or just huge, and its storage can hang: it may run out of
//! memory or time, and only it ends. It knows nothing of tasks, but that it may open no more than they: where there is a sandbox,
//! it is held to that before it opens the picture. Before it reads, it has opened that and its own file, and lets go of all
//! else: who takes it over has these two.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use nix::libc::{self, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH};
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use picture::{Helpers, PictureError, shrink, to_jpeg};

use crate::departure::end_on_panic;
use crate::files;
use crate::sandbox::{HeldElsewhere, confine_to_open_files};

/// First argument that makes a `flamenco-worker` this process; a [`PreviewRequest`] follows.
pub(crate) const PREVIEW_ROLE: &str = "__flamenco-picture";
/// Bytes of a small picture. The Manager refuses more than 25 MiB; ours are far below that.
pub(super) const LARGEST_OUTPUT: u64 = 25 << 20;
/// What the process ends with where the file is of a format that is not read: nothing is wrong.
pub(super) const NOT_SUPPORTED: u8 = 3;

/// JPEG quality, 1-100. The Go worker's.
const QUALITY: u8 = 85;
/// Address space of the whole process, in bytes: a picture of 16k x 8k in memory (some formats need that), the small one,
/// the program.
const MOST_MEMORY: rlim_t = 512 << 20;
/// Bytes of a picture: 16k x 8k as floats of four channels has 2 GiB, uncompressed.
const LARGEST_INPUT: u64 = 4 << 30;
/// Files that may be open until nothing is opened any more: three from our parent, the picture twice, the small one, and one
/// for each folder that leads to what tasks do not read.
const MOST_FILES: rlim_t = 128;
/// Bytes that are read at once.
const CHUNK: usize = 128 << 10;

/// What the process is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PreviewRequest {
    pub(super) picture: PathBuf,
    /// Where the small one goes.
    pub(super) output: PathBuf,
    /// A file that was not written since is not the task's.
    pub(super) not_before: SystemTime,
    /// How long the process may compute, in whole seconds.
    pub(super) limit: Duration,
    /// What the task may do whose picture it is, where that is restricted.
    pub(super) held: Option<HeldElsewhere>,
}

/// The exit code of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreviewExit {
    Done = 0,
    /// The line that it has printed says why.
    Failed = 1,
    /// The arguments make no sense.
    Misused = 2,
    NotSupported = NOT_SUPPORTED as isize,
}

/// Why there is no small picture.
#[derive(Debug, thiserror::Error)]
enum NoPreview {
    #[error("{0}, not a file")]
    NotAFile(&'static str),
    #[error("it has {0} bytes, which is more than supported")]
    TooLarge(u64),
    #[error("it is older than the task")]
    TooOld,
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("the sandbox of this node does not let tasks read it: {0}")]
    NotForTasks(#[source] io::Error),
    #[error("what reads it cannot be confined: {0}")]
    NotConfined(#[source] io::Error),
    #[error("the small one cannot be written: {0}")]
    NotWritten(#[source] io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PreviewRequest {
    /// The arguments of the process.
    pub(super) fn words(&self) -> Vec<OsString> {
        let since_1970 = self
            .not_before
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        vec![
            PREVIEW_ROLE.into(),
            self.picture.clone().into(),
            self.output.clone().into(),
            since_1970.as_secs().to_string().into(),
            self.limit.as_secs().max(1).to_string().into(),
            // Its paths are of any bytes, which travel as numbers: that does not fail.
            serde_json::to_string(&self.held).unwrap_or_default().into(),
        ]
    }

    /// Reads the arguments behind [`PREVIEW_ROLE`].
    fn parse(words: &[OsString]) -> Option<Self> {
        let [picture, output, not_before, limit, held] = words else {
            return None;
        };
        let seconds = |word: &OsStr| word.to_str()?.parse().ok().map(Duration::from_secs);
        Some(Self {
            picture: picture.into(),
            output: output.into(),
            not_before: SystemTime::UNIX_EPOCH.checked_add(seconds(not_before)?)?,
            limit: seconds(limit)?,
            held: serde_json::from_str(held.to_str()?).ok()?,
        })
    }
}

/// Runs the process. `args` follow [`PREVIEW_ROLE`]. Blocks; needs no runtime.
pub(crate) fn preview_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let end = match PreviewRequest::parse(&args) {
        Some(request) => {
            limit_ourselves(request.limit);
            have_one_heap();
            // A decoder that meets what it did not expect.
            end_on_panic(say);
            match make(request, confine_to_open_files) {
                Ok(()) => PreviewExit::Done,
                Err(error) => {
                    say(&error.to_string());
                    let is_unsupported = matches!(error, NoPreview::Picture(PictureError::Unsupported(_)));
                    if is_unsupported {
                        PreviewExit::NotSupported
                    } else {
                        PreviewExit::Failed
                    }
                }
            }
        }
        None => PreviewExit::Misused,
    };
    ExitCode::from(end as u8)
}

/// Before anything is opened; the next are those of [`confine_to_open_files`]. A limit that is refused is done without: the decoders have their own, and the sender its
/// time.
fn limit_ourselves(limit: Duration) {
    for (resource, most) in [
        (Resource::RLIMIT_AS, MOST_MEMORY),
        (Resource::RLIMIT_CPU, limit.as_secs()),
        (Resource::RLIMIT_FSIZE, LARGEST_OUTPUT),
        (Resource::RLIMIT_NOFILE, MOST_FILES),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, most, most).ok();
    }
}

/// A heap for each thread takes 64 MB of the address space, whatever is in it.
#[expect(unsafe_code, reason = "the library has no other way to be told")]
fn have_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number. No other thread has been started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

fn say(line: &str) {
    // It may be closed.
    writeln!(io::stderr(), "{line}").ok();
}

/// Confines this thread, and the helpers: they are started by what it is given, with what each has to call first.
type Confine = fn(fn(fn() -> io::Result<()>) -> io::Result<Helpers>) -> io::Result<Helpers>;

/// Makes the small picture. `confine` is called between opening and reading: nothing can be opened after it.
fn make(request: PreviewRequest, confine: Confine) -> Result<(), NoPreview> {
    // In the home, where the task does not get.
    let mut output = files::create_anew(&request.output)?;
    let is_held = request.held.is_some();
    if let Some(held) = request.held {
        held.hold().map_err(NoPreview::NotConfined)?;
    }
    let seen = look(&request.picture, request.not_before)?;
    let picture = open(&seen).map_err(|error| match is_held {
        true => NoPreview::NotForTasks(error),
        false => NoPreview::Io(error),
    })?;
    let helpers = confine(Helpers::start).map_err(NoPreview::NotConfined)?;
    let small = shrink(&mut BufReader::with_capacity(CHUNK, picture), &helpers)?;
    let jpeg = to_jpeg(&small, QUALITY)?;
    output.write_all(&jpeg).map_err(NoPreview::NotWritten)
}

/// Looks at a file that was written since then, and never at what a link in its place leads to; folders may be links.
///
/// That is before it is opened for reading: to open a device can do something, and a FIFO would wait.
fn look(path: &Path, not_before: SystemTime) -> Result<File, NoPreview> {
    let seen = OpenOptions::new()
        .read(true)
        .custom_flags(O_PATH | O_NOFOLLOW)
        .open(path)?;
    let found = seen.metadata()?;
    let kind = found.file_type();
    if !kind.is_file() {
        return Err(NoPreview::NotAFile(match kind {
            kind if kind.is_symlink() => "it is a link",
            kind if kind.is_dir() => "it is a folder",
            kind if kind.is_fifo() => "it is a FIFO",
            kind if kind.is_socket() => "it is a socket",
            _ => "it is a device",
        }));
    }
    if found.len() > LARGEST_INPUT {
        return Err(NoPreview::TooLarge(found.len()));
    }
    if found.modified()? < not_before {
        return Err(NoPreview::TooOld);
    }
    Ok(seen)
}

/// The very file that was looked at, whatever has its name by now.
fn open(seen: &File) -> io::Result<File> {
    let ours = format!("/proc/self/fd/{}", seen.as_raw_fd());
    OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK | O_NOCTTY)
        .open(ours)
}

#[cfg(test)]
#[path = "preview_process_tests.rs"]
mod tests;
