// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether this node is fit for work. It is checked after a task was taken and before it starts, so that a node without its shared
//! storage hands the task back, instead of failing one after the other until the Manager block-lists it.
//!
//! ```text
//! worker ── check() ──► a thread (a dead network file system may hold it for hours) ── mounted? readable? writable? space?
//!   ▲                                        │
//!   └── Ok, or Unfit: in words for the Manager, or no answer in time ◄──┘
//! ```

mod mounts;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

pub(crate) use self::mounts::not_mounted_yet;
use crate::blocking::run_blocking;
use crate::files::free_space;
use crate::mounts::is_mounted;
use crate::timings::Timings;

/// What the operator says that tasks on this node need. Empty: nothing is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// Absolute paths at which a file system must be mounted.
    pub mounted: Vec<PathBuf>,
    /// Absolute paths of directories that can be listed, or files that can be read.
    pub readable: Vec<PathBuf>,
    /// Absolute paths of directories in which a file can be made.
    pub writable: Vec<PathBuf>,
    /// Least bytes that must be free, for this user, in each of `roomy`; 0 asks for nothing.
    pub free_space: u64,
    /// Where tasks and the worker itself write: the `writable` ones, the temporary directory, the home.
    pub roomy: Vec<PathBuf>,
    /// What this kernel would have to enforce, and cannot; `None` asks for nothing.
    pub unenforced: Option<String>,
}

/// Why no task should run here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No file system is mounted at this path.
    NotMounted(PathBuf),
    /// This path cannot be listed or read, for this reason of the system's.
    Unreadable(PathBuf, String),
    /// No file can be made in this directory, for this reason of the system's.
    Unwritable(PathBuf, String),
    /// Less is free than the operator asks for.
    LittleSpace {
        /// In this directory.
        path: PathBuf,
        /// Bytes.
        free: u64,
        /// Bytes that are needed.
        least: u64,
    },
    /// The sandbox is required, and this of it cannot be had here.
    Unenforced(String),
    /// The check itself did not come back: a network file system whose server is gone, most likely.
    NoAnswer(Duration),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMounted(path) => write!(f, "nothing is mounted at {}", path.display()),
            Self::Unreadable(path, why) => write!(f, "cannot read {}: {why}", path.display()),
            Self::Unwritable(path, why) => write!(f, "cannot write in {}: {why}", path.display()),
            Self::LittleSpace { path, free, least } => write!(
                f,
                "only {} MiB are free in {}, {} are needed",
                free >> 20,
                path.display(),
                least >> 20
            ),
            Self::Unenforced(what) => write!(
                f,
                "`require` of [sandbox] is set, and this kernel cannot hold tasks to rules for {what}"
            ),
            Self::NoAnswer(waited) => write!(
                f,
                "the file systems this node needs did not answer within {} s",
                waited.as_secs_f64()
            ),
        }
    }
}

/// Checks whether this node is fit for work.
#[derive(Debug)]
pub(crate) struct Node {
    requirements: Requirements,
    timings: Timings,
    /// Held by a check until it has come back: it is waited for before there is another, so that a dead file system holds
    /// one thread only.
    check: Arc<Mutex<()>>,
}

impl Node {
    /// A node of which tasks need this.
    pub(crate) fn new(requirements: Requirements, timings: &Timings) -> Self {
        Self {
            requirements,
            timings: timings.clone(),
            check: Arc::default(),
        }
    }

    /// Checks everything that is required, and tells what is wrong first. Cancel safe.
    ///
    /// # Errors
    /// [`Unfit`], in the order of [`Requirements`]; [`Unfit::NoAnswer`] after [`Timings::node_check_timeout`].
    pub(crate) async fn check(&self) -> Result<(), Unfit> {
        self.check_only(self.requirements.clone()).await
    }

    /// Returns when space has become short, while a task runs; never where none is asked for. Cancel safe.
    pub(crate) async fn runs_short(&self) -> Unfit {
        let space = Requirements {
            free_space: self.requirements.free_space,
            roomy: self.requirements.roomy.clone(),
            ..Requirements::default()
        };
        loop {
            sleep(self.timings.space_check).await;
            if let Err(unfit @ Unfit::LittleSpace { .. }) = self.check_only(space.clone()).await {
                return unfit;
            }
        }
    }

    async fn check_only(&self, requirements: Requirements) -> Result<(), Unfit> {
        if requirements.are_none() {
            return Ok(());
        }
        let checked = async {
            let check = Arc::clone(&self.check).lock_owned().await;
            run_blocking(move || {
                let _until_it_is_back = check;
                requirements.check()
            })
            .await
        };
        timeout(self.timings.node_check_timeout, checked)
            .await
            .unwrap_or(Err(Unfit::NoAnswer(self.timings.node_check_timeout)))
    }
}

impl Requirements {
    fn are_none(&self) -> bool {
        let Self {
            mounted,
            readable,
            writable,
            free_space,
            roomy: _,
            unenforced,
        } = self;
        let names_none = mounted.is_empty() && readable.is_empty() && writable.is_empty();
        names_none && *free_space == 0 && unenforced.is_none()
    }

    /// Blocks on the file systems.
    fn check(&self) -> Result<(), Unfit> {
        if let Some(what) = &self.unenforced {
            return Err(Unfit::Unenforced(what.clone()));
        }
        for path in &self.mounted {
            if !is_mounted(path) {
                return Err(Unfit::NotMounted(path.clone()));
            }
        }
        for path in &self.readable {
            read(path).map_err(|error| Unfit::Unreadable(path.clone(), error.to_string()))?;
        }
        for path in &self.writable {
            write(path).map_err(|error| Unfit::Unwritable(path.clone(), error.to_string()))?;
        }
        self.roomy.iter().try_for_each(|path| self.has_room(path))
    }

    fn has_room(&self, path: &Path) -> Result<(), Unfit> {
        if self.free_space == 0 {
            return Ok(());
        }
        let free = free_space(path).map_err(|errno| Unfit::Unreadable(path.to_owned(), errno.desc().to_owned()))?;
        if free >= self.free_space {
            return Ok(());
        }
        Err(Unfit::LittleSpace {
            path: path.to_owned(),
            free,
            least: self.free_space,
        })
    }
}

fn read(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        // Opening says little on a network file system: the listing asks the server.
        return fs::read_dir(path)?.next().transpose().map(drop);
    }
    File::open(path).map(drop)
}

/// Makes a file and removes it. On shared storage many nodes do this at once, and in containers all of them as process 1: the
/// name is random.
fn write(path: &Path) -> io::Result<()> {
    let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let probe = path.join(format!(".flamenco-worker-{random:016x}"));
    let written = fs::write(&probe, "x");
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn unfit(requirements: &Requirements) -> String {
        requirements.check().unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_mounted_is_named_and_what_is_passes() {
        let mounted = |path: &str| Requirements {
            mounted: vec![path.into()],
            ..Requirements::default()
        };
        assert_eq!(mounted("/proc").check(), Ok(()));
        assert_eq!(mounted("/proc/").check(), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(unfit(&mounted(path)), format!("nothing is mounted at {path}"));
        assert_eq!(
            unfit(&mounted("/no/such/place")),
            "nothing is mounted at /no/such/place"
        );
    }

    #[test]
    fn directories_and_files_are_tried_for_real() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("library.blend");
        let readable = |path: &Path| Requirements {
            readable: vec![path.to_owned()],
            ..Requirements::default()
        };
        assert!(unfit(&readable(&file)).contains("cannot read"));
        fs::write(&file, "x").unwrap();
        assert_eq!(readable(&file).check(), Ok(()));
        assert_eq!(readable(folder.path()).check(), Ok(()));
        let writable = |path: &Path| Requirements {
            writable: vec![path.to_owned()],
            ..Requirements::default()
        };
        assert_eq!(writable(folder.path()).check(), Ok(()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the probe is gone");
        assert!(unfit(&writable(&file)).contains("cannot write in"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let refused = writable(folder.path()).check();
        // Root may write everywhere.
        assert_eq!(refused.is_err(), !nix::unistd::geteuid().is_root());
    }

    #[test]
    fn too_little_space_is_said_in_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let roomy = |free_space| Requirements {
            free_space,
            roomy: vec![folder.path().to_owned()],
            ..Requirements::default()
        };
        assert_eq!(roomy(1).check(), Ok(()));
        let most = unfit(&roomy(u64::MAX));
        assert!(
            most.starts_with("only ") && most.contains(" MiB are free in "),
            "{most}"
        );
    }

    #[tokio::test]
    async fn a_look_that_does_not_come_back_is_no_answer_and_is_waited_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
        let requirements = Requirements {
            readable: vec![pipe.clone()],
            ..Requirements::default()
        };
        // To open a pipe without a writer takes until there is one.
        let timings = Timings {
            node_check_timeout: Duration::from_millis(20),
            ..Timings::default()
        };
        let node = Node::new(requirements, &timings);
        assert_eq!(node.check().await, Err(Unfit::NoAnswer(Duration::from_millis(20))));
        assert_eq!(node.check().await, Err(Unfit::NoAnswer(Duration::from_millis(20))));
        assert!(node.check.try_lock().is_err());
        let _writer = File::options().read(true).write(true).open(&pipe).unwrap();
        while node.check().await.is_err() {}
        assert!(node.check.try_lock().is_ok());
    }

    #[tokio::test]
    async fn what_a_late_look_found_is_no_answer_to_the_next_question() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let requirements = Requirements {
            readable: vec![missing.clone()],
            ..Requirements::default()
        };
        let node = Node::new(requirements, &Timings::default());
        let late = Arc::clone(&node.check).lock_owned().await;
        let (found, ()) = tokio::join!(node.check(), async { drop(late) });
        assert!(matches!(found, Err(Unfit::Unreadable(path, _)) if path == missing));
    }
}
