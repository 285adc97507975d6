// SPDX-License-Identifier: GPL-3.0-or-later

//! Which process is the worker of a home, for the commands that are about a worker that runs.
//!
//! ```text
//! home ─► its lock file names a process ─► the worker, if that process holds the lock
//! ```
//!
//! Nothing is guessed: the number in the file may belong to another process by now, or to another container.

use std::io;
use std::path::{Path, PathBuf};

use crate::home::LockHolder;

/// Why no worker was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWorker {
    #[error("no worker uses the home {}; for another one set FLAMENCO_HOME, or --config as that worker has it", .0.display())]
    NotRunning(PathBuf),
    #[error("the home {} was last used on {host} (pid {pid} there): turn to its worker on that host", dir.display())]
    Elsewhere { dir: PathBuf, host: String, pid: i32 },
    #[error("the home {} is another user's: turn to its worker as that user, or as root", .dir.display())]
    Closed {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("pid {pid} cannot be seen to be the worker of {}: is it another user's, or in a container?", dir.display())]
    OutOfSight { dir: PathBuf, pid: i32 },
}

/// The worker of the home `dir`.
///
/// # Errors
/// [`NoWorker`].
pub(super) fn find(dir: &Path) -> Result<LockHolder, NoWorker> {
    let home = || dir.to_owned();
    let holder = match LockHolder::look(dir) {
        Ok(Some(holder)) => holder,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(NoWorker::Closed { dir: home(), source });
        }
        Ok(None) | Err(_) => return Err(NoWorker::NotRunning(home())),
    };
    let pid = holder.pid;
    if !holder.is_here() {
        return Err(NoWorker::Elsewhere {
            dir: home(),
            host: holder.host,
            pid,
        });
    }
    if !holder.is_alive() {
        return Err(NoWorker::NotRunning(home()));
    }
    if !holder.holds_lock(dir) {
        return Err(NoWorker::OutOfSight { dir: home(), pid });
    }
    Ok(holder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nobody_is_taken_for_the_worker_on_a_guess() {
        let dir = tempfile::tempdir().unwrap();
        let said = find(dir.path()).unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("no worker uses the home {}", dir.path().display())),
            "{said}"
        );
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let path = dir.path().join("flamenco-worker.lock");
        let held_by = |host: &str, boot: &str, pid: i32| {
            let text = format!(
                "pid: {pid}\nhost: {host}\nboot: {}\nstarted: s\nversion: v\n",
                boot.trim()
            );
            fs::write(&path, text).unwrap();
            find(dir.path()).unwrap_err()
        };
        let here = crate::config::hostname();
        let elsewhere = held_by("no.such.host", &boot, 1).to_string();
        assert!(elsewhere.contains("no.such.host (pid 1 there)"), "{elsewhere}");
        assert!(matches!(held_by(&here, "an earlier one", 1), NoWorker::NotRunning(_)));
        // Process 1 is alive, and no worker.
        assert!(matches!(held_by(&here, &boot, 1), NoWorker::OutOfSight { pid: 1, .. }));
    }
}
