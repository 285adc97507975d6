// SPDX-License-Identifier: GPL-3.0-or-later

//! The home: the one directory that this worker writes to, and no other worker while it runs.
//!
//! ```text
//! locate ─► Home::open ─┬─ lock         flamenco-worker.lock: held as long as this process lives
//!                       ├─ credentials  flamenco-worker-credentials.yaml: the Go worker's file
//!                       ├─ signed-on    there = the last run did not sign off
//!                       ├─ resting      there = asleep, and not because the Manager asked for it
//!                       └─ spool/       for the spool to fill
//! ```
//!
//! Nothing here is rewritten in place: a file is replaced whole or not at all, so that a power cut leaves
//! the old one or the new one.

mod credentials;
mod identity_claim;
mod lock;
mod machine;
mod own_sleep;
mod owner;
mod search;
mod signed_on;

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

pub use self::credentials::{Credentials, CredentialsError, has_credentials};
use self::identity_claim::{ClaimAttempt, IdentityClaim};
pub use self::lock::LockHolder;
use self::lock::{HomeLock, LockAttempt};
pub use self::machine::this_machine;
pub use self::owner::{describe_owner, open_to_others};
pub(crate) use self::owner::{group_name, user_name};
pub use self::search::{SearchError, search};
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::config::{Config, Environment};
use crate::files;

/// A home that is ours: the lock is held until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    mark: String,
    lock: HomeLock,
    /// Of the id in the credentials, once it is known.
    claim: RefCell<Option<IdentityClaim>>,
    /// Does what is small on the disk, and does not keep the event loop when that stands still.
    files: files::Thread,
}

/// The home cannot be used. All but [`InUse`](Self::InUse) and [`Copied`](Self::Copied) are for the operator to
/// repair (exit code 78).
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither a setting nor a user's home directory to derive one from.
    #[error("there is no place for this worker's home: set FLAMENCO_HOME to a directory it can write to")]
    NoPlace,
    #[error("cannot create the home {path}: create it for this user, or set FLAMENCO_HOME ({described})", path = .path.display())]
    Create {
        path: PathBuf,
        /// The nearest directory that exists: its owner and mode, and who we are.
        described: String,
        #[source]
        source: io::Error,
    },
    #[error("the home {path} is not a directory; move it away, or set FLAMENCO_HOME", path = .0.display())]
    NotADirectory(PathBuf),
    #[error("cannot write to the home: give it to this user, or set FLAMENCO_HOME ({described})")]
    NotWritable {
        /// The directory, or the file in it that is in the way.
        path: PathBuf,
        described: String,
        #[source]
        source: io::Error,
    },
    /// Exit code 75.
    #[error("{}", in_use(.dir, .holder.as_deref()))]
    InUse {
        dir: PathBuf,
        /// `None` when the file does not say: a file system that hides it, or a start a moment ago.
        holder: Option<Box<LockHolder>>,
    },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Exit code 75.
    #[error(
        "another worker of this host, with process id {pid}, is the one of the credentials in {dir}, as after a copy of \
         its home: both would be one worker to the Manager. Delete {credentials} and start again, and it registers as a \
         worker of its own; or stop the other one",
        dir = .dir.display(), credentials = .credentials.display()
    )]
    Copied {
        dir: PathBuf,
        credentials: PathBuf,
        pid: i32,
    },
    /// ENOLCK and the like: an NFS mount without a lock daemon, or with `nolock` on the server's side.
    #[error("the file system of {path} has no locks; set FLAMENCO_HOME to a directory on a local disk", path = .path.display())]
    NoLocks {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn in_use(dir: &Path, holder: Option<&LockHolder>) -> String {
    let dir = dir.display();
    match holder {
        None => format!("another worker uses the home {dir}; stop it, or set FLAMENCO_HOME"),
        Some(other) if other.is_here() => format!(
            "another worker, with process id {}, uses the home {dir}; stop it, or give this one its own FLAMENCO_HOME",
            other.pid
        ),
        Some(other) => format!(
            "a worker on {}, with process id {} there, uses the home {dir}; set FLAMENCO_HOME to a directory of its \
             own on each node",
            other.host, other.pid
        ),
    }
}

/// Where the home is: `$FLAMENCO_HOME` or `home` of the configuration, `$STATE_DIRECTORY` (systemd's
/// `StateDirectory=`; of several the first), `$XDG_DATA_HOME/flamenco`, `~/.local/share/flamenco`. Without
/// the first two it is the Go worker's, so that a node can change over and back.
///
/// # Errors
/// [`HomeError::NoPlace`].
pub fn locate(config: &Config, environment: &Environment) -> Result<PathBuf, HomeError> {
    if let Some(home) = chosen(config, environment) {
        return Ok(home);
    }
    environment
        .xdg("XDG_DATA_HOME", ".local/share")
        .map(|data| data.join("flamenco"))
        .ok_or(HomeError::NoPlace)
}

/// The home that a setting names.
fn chosen(config: &Config, environment: &Environment) -> Option<PathBuf> {
    if let Some(home) = &config.home {
        return Some(home.clone());
    }
    let state = environment.get("STATE_DIRECTORY")?.to_string_lossy();
    let first = state.split(':').find(|path| !path.is_empty())?;
    Some(environment.absolute(first))
}

impl Home {
    /// Makes the directory if it is not there (mode 0700), sees that it can be written to, and takes its
    /// lock. A predecessor on its way out (a restart, an upgrade) is waited for, at most for `patience`; one that
    /// means to stay is not.
    ///
    /// # Errors
    /// [`HomeError`], but for `NoPlace` and `Copied`.
    pub async fn open(dir: PathBuf, patience: Duration) -> Result<Self, HomeError> {
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
            files,
        })
    }

    /// Sees that no other worker of this host uses the id of these credentials, and keeps it so.
    ///
    /// # Errors
    /// [`HomeError::Copied`]. Where it cannot be told there is none.
    pub fn claim(&self, id: &str) -> Result<(), HomeError> {
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
            Ok(ClaimAttempt::Taken) => tracing::warn!(
                id,
                "another user's process has taken the name that would keep this worker from running twice on this host"
            ),
            Err(error) => tracing::debug!(
                error = chain(&error),
                "cannot tell whether this worker runs twice on this host"
            ),
        }
        Ok(())
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells a worker that waits for this home that it will be free soon. May be called more than once.
    pub fn note_leaving(&self) {
        let noting = self.lock.clone();
        if let Err(error) = self.files.run(move || noting.note_leaving()) {
            tracing::debug!(error = chain(&error), "cannot note that this worker leaves");
        }
    }

    /// Where the spool of this home is; the spool makes it.
    pub fn spool_dir(&self) -> PathBuf {
        spool_of(&self.dir)
    }

    /// Where journals of runs of Blender that are not over are kept; the one who fills it makes it.
    pub fn rendering_dir(&self) -> PathBuf {
        self.dir.join("rendering")
    }

    /// This home's identity, for the mark on every process it starts: device and inode of the directory,
    /// in hex. A copied home is another home with other processes, which an identity in a file would not
    /// know; a renamed one is still the same, which the path would not know. The device number of a network
    /// mount can change when it is mounted anew: the marked processes of a worker that died before that
    /// are not recognised after it, and only those.
    pub fn mark(&self) -> &str {
        &self.mark
    }
}

/// The spool of a home, ours or another worker's.
pub fn spool_of(dir: &Path) -> PathBuf {
    dir.join("spool")
}

/// How often a predecessor's lock is tried: a restart should not feel slow.
const LOCK_TRY: Duration = Duration::from_millis(100);

/// A worker that was told to leave has noted that it does so within this time, also on a busy machine.
const LOCK_NOTED: Duration = Duration::from_secs(1);

async fn lock_patiently(dir: &Path, patience: Duration) -> Result<HomeLock, HomeError> {
    let begun = tokio::time::Instant::now();
    let mut logged = false;
    loop {
        let path = dir.to_owned();
        let holder = match run_blocking(move || HomeLock::take(&path)).await? {
            LockAttempt::Ours(lock) => return Ok(lock),
            LockAttempt::Held(holder) => holder,
        };
        let leaves = holder.as_ref().is_some_and(|holder| holder.leaving);
        let deadline = begun + if leaves { patience } else { patience.min(LOCK_NOTED) };
        if tokio::time::Instant::now() >= deadline {
            return Err(HomeError::InUse {
                dir: dir.to_owned(),
                holder: holder.map(Box::new),
            });
        }
        // A holder that has not yet written who it is will have, the next time.
        if let Some(holder) = holder.filter(|_| !logged) {
            logged = true;
            tracing::info!(pid = holder.pid, host = %holder.host, "waiting for another worker to let go of the home");
        }
        tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + LOCK_TRY)).await;
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
        tracing::warn!(
            home = %dir.display(),
            "the home can be changed by others ({how}): who can replace its credentials can be this worker"
        );
    }
    Ok(mark_of(&found))
}

/// The mark of a home, of its directory's metadata: see [`Home::mark`].
pub fn mark_of(found: &fs::Metadata) -> String {
    format!("{:x}-{:x}", found.dev(), found.ino())
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests;
