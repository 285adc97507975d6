// SPDX-License-Identifier: GPL-3.0-or-later

//! Opens the home: makes its directory, sees that it can be used, takes its lock and claims its identity.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::error::HomeError;
use super::identity_claim::{ClaimAttempt, IdentityClaim};
use super::lock::{HomeLock, LockAttempt};
use super::owner::{describe_owner, open_to_others};
use super::sockets::HandedSockets;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::files;
use crate::handover::HandedFd;

/// A home that is ours: the lock is held until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) dir: PathBuf,
    mark: String,
    lock: HomeLock,
    /// Of the id in the credentials, once it is known.
    claim: RefCell<Option<IdentityClaim>>,
    /// The sockets in it at which somebody listens.
    pub(super) sockets: RefCell<HandedSockets>,
    /// Who runs below this process is not heard at them.
    pub(super) closed: Cell<bool>,
    /// Does what is small on the disk, and does not keep the event loop when that stands still.
    pub(super) files: files::Thread,
}

impl Home {
    /// Makes the directory if it is not there (mode 0700), sees that it can be written to, and takes its
    /// lock. A predecessor on its way out (a restart, an upgrade) is waited for, at most for `patience`; one that
    /// means to stay is not.
    ///
    /// # Errors
    /// [`HomeError`], but for `NoPlace` and `Copied`.
    pub(crate) async fn open(dir: PathBuf, patience: Duration) -> Result<Self, HomeError> {
        // On a network file system any of this may hang; the event loop must not.
        let made = dir.clone();
        let mark = run_blocking(move || prepare(&made)).await?;
        let lock = lock_patiently(&dir, patience).await?;
        let files = files::Thread::start().map_err(HomeError::Thread)?;
        Ok(Self {
            dir,
            mark,
            lock,
            claim: RefCell::default(),
            sockets: RefCell::default(),
            closed: Cell::new(false),
            files,
        })
    }

    /// Goes on with a home that was handed over. Nothing is asked of its disk: that may be full, read-only or away.
    ///
    /// # Errors
    /// [`HomeError::Thread`].
    pub(crate) fn take_over(handed: HandedHome) -> Result<Self, HomeError> {
        let home = Self {
            dir: handed.dir.into(),
            mark: handed.mark,
            lock: handed.lock,
            claim: RefCell::default(),
            sockets: RefCell::new(handed.sockets),
            closed: Cell::new(false),
            files: files::Thread::start().map_err(HomeError::Thread)?,
        };
        let noting = home.lock.clone();
        if let Err(error) = home.files.run(move || noting.note_holder()) {
            debug!(error = chain(&error), "cannot write the lock file");
        }
        Ok(home)
    }

    /// The home as it travels.
    pub(crate) fn hand_over(&self) -> HandedHome {
        HandedHome {
            dir: self.dir.clone().into(),
            mark: self.mark.clone(),
            lock: self.lock.clone(),
            sockets: self.sockets.borrow().clone(),
        }
    }

    /// Sees that no other worker of this host uses the id of these credentials, and keeps it so.
    ///
    /// # Errors
    /// [`HomeError::Copied`]. Where it cannot be told there is none.
    pub(crate) fn claim(&self, id: &str) -> Result<(), HomeError> {
        // The claim of an earlier id, if there was one, ends here.
        self.claim.take();
        match IdentityClaim::take(id) {
            Ok(ClaimAttempt::Ours(claim)) => {
                self.claim.replace(Some(claim));
            }
            Ok(ClaimAttempt::Held(pid)) => {
                return Err(HomeError::Copied {
                    dir: self.dir.clone(),
                    credentials: self.credentials_file(),
                    pid,
                });
            }
            Ok(ClaimAttempt::Taken) => warn!(
                id,
                "another user's process has taken the name that would keep this worker from running twice on this host"
            ),
            Err(error) => debug!(
                error = chain(&error),
                "cannot tell whether this worker runs twice on this host"
            ),
        }
        Ok(())
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells a worker that waits for this home that it will be free soon. May be called more than once.
    pub(crate) fn note_leaving(&self) {
        let noting = self.lock.clone();
        if let Err(error) = self.files.run(move || noting.note_leaving()) {
            debug!(error = chain(&error), "cannot note that this worker leaves");
        }
    }

    /// Where the spool of this home is; the spool makes it.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        spool_of(&self.dir)
    }

    /// Where journals of runs of Blender that are not over are kept; the one who fills it makes it.
    pub(crate) fn rendering_dir(&self) -> PathBuf {
        self.dir.join("rendering")
    }

    /// This home's identity, for the mark on every process it starts: device and inode of the directory,
    /// in hex. A copied home is another home with other processes, which an identity in a file would not
    /// know; a renamed one is still the same, which the path would not know. The device number of a network
    /// mount can change when it is mounted anew: the marked processes of a worker that died before that
    /// are not recognised after it, and only those.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }
}

/// A home as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandedHome {
    dir: OsString,
    mark: String,
    lock: HomeLock,
    #[serde(default)]
    sockets: HandedSockets,
}

impl HandedHome {
    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        Path::new(&self.dir)
    }

    /// What stays open over the exec.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        [self.lock.descriptor()].into_iter().chain(self.sockets.descriptors())
    }
}

/// The spool of a home, ours or another worker's.
pub(crate) fn spool_of(dir: &Path) -> PathBuf {
    dir.join("spool")
}

/// How often a predecessor's lock is tried: a restart should not feel slow.
const LOCK_TRY: Duration = Duration::from_millis(100);

/// A worker that was told to leave has noted that it does so within this time, also on a busy machine.
const LOCK_NOTED: Duration = Duration::from_secs(1);

async fn lock_patiently(dir: &Path, patience: Duration) -> Result<HomeLock, HomeError> {
    let begun = Instant::now();
    let mut logged = false;
    loop {
        let path = dir.to_owned();
        let holder = match run_blocking(move || HomeLock::take(&path)).await? {
            LockAttempt::Ours(lock) => return Ok(lock),
            LockAttempt::Held(holder) => holder,
        };
        let leaves = holder.as_ref().is_some_and(|holder| holder.leaving);
        let deadline = begun + if leaves { patience } else { patience.min(LOCK_NOTED) };
        if Instant::now() >= deadline {
            return Err(HomeError::InUse {
                dir: dir.to_owned(),
                holder: holder.map(Box::new),
            });
        }
        // A holder that has not yet written who it is will have, the next time.
        if let Some(holder) = holder.filter(|_| !logged) {
            logged = true;
            info!(pid = holder.pid, host = %holder.host, "waiting for another worker to let go of the home");
        }
        sleep_until(deadline.min(Instant::now() + LOCK_TRY)).await;
    }
}

/// Creates the directory and sees that it can be used; gives its mark.
fn prepare(dir: &Path) -> Result<String, HomeError> {
    if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        return Err(match fs::metadata(dir) {
            Ok(found) if !found.is_dir() => HomeError::NotADirectory(dir.to_owned()),
            _ => HomeError::Create {
                path: dir.to_owned(),
                described: describe_owner(nearest_existing(dir)),
                source,
            },
        });
    }
    let not_writable = |source: io::Error| HomeError::NotWritable {
        path: dir.to_owned(),
        described: describe_owner(dir),
        source,
    };
    // `access` knows of read-only mounts and of ACLs, which the mode does not tell.
    access(dir, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| not_writable(errno.into()))?;
    let found = fs::metadata(dir).map_err(not_writable)?;
    if let Some(how) = open_to_others(&found) {
        warn!(
            home = %dir.display(),
            "the home can be changed by others ({how}): who can replace its credentials can be this worker"
        );
    }
    Ok(mark_of(&found))
}

/// The mark of a home, of its directory's metadata: see [`Home::mark`].
pub(crate) fn mark_of(found: &fs::Metadata) -> String {
    format!("{:x}-{:x}", found.dev(), found.ino())
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}
