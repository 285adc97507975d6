// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds the home that is meant by a person who did not name it: root, or the service's user, beside a service whose home
//! only its unit knows.
//!
//! ```text
//! chosen (variable, configuration) ─► it     used by default ─► it
//! else: the one worker whose socket or lock can be seen in /proc ─► its home     the one that a unit made ─► it     several: ask
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::error::HomeError;
use super::locate::{chosen, locate};
use super::lock_holder::{LockHolder, NAME};
use super::sockets::homes_of_sockets;
use crate::config::{Config, Environment};

/// How a service's directory is called: `flamenco-worker`, and with a name of its own after one of [`BETWEEN`] where there
/// are several (`flamenco-worker@gpu0` is systemd's, `flamenco-worker.gpu0` OpenRC's).
const SERVICE: &str = "flamenco-worker";
const BETWEEN: [char; 3] = ['@', '.', '-'];

/// Why no home is meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// There is no place for a home at all.
    #[error(transparent)]
    Nowhere(#[from] HomeError),
    /// Several are used, or were made by units.
    #[error("there is more than one worker's home here: say which with FLAMENCO_HOME={}", paths(.0))]
    Several(Vec<PathBuf>),
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", or ")
}

/// The home that a command is about which is not a worker itself.
///
/// # Errors
/// See [`SearchError`].
pub(crate) fn search(config: &Config, environment: &Environment) -> Result<PathBuf, SearchError> {
    let own = locate(config, environment)?;
    if chosen(config, environment).is_some() || LockHolder::of(&own).is_some_and(|holder| holder.is_alive()) {
        return Ok(own);
    }
    let mut found = used(Path::new("/proc"));
    if found.is_empty() && !own.join(NAME).exists() {
        found = of_units(&environment.state);
    }
    match found.len() {
        0 => Ok(own),
        1 => Ok(found.remove(0)),
        _ => Err(SearchError::Several(found)),
    }
}

/// The homes that workers use right now. One in another container has another number than its lock says, and its path means
/// nothing here. Whose socket has no path (the home is too deep, or takes none) only root finds: a worker lets nobody else
/// see what it has open.
fn used(proc: &Path) -> Vec<PathBuf> {
    let mut homes = homes_of_sockets(&fs::read(proc.join("net/unix")).unwrap_or_default());
    homes.retain(|home| LockHolder::of(home).is_some_and(|holder| holder.is_alive() && holder.holds_lock(home)));
    for process in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let files = open.filter_map(|file| fs::read_link(file.path()).ok());
        for mut home in files.filter(|file| file.ends_with(NAME)) {
            home.pop();
            let holds = LockHolder::of(&home).is_some_and(|holder| holder.pid == pid && holder.is_alive());
            if holds && !homes.contains(&home) {
                homes.push(home);
            }
        }
    }
    homes.sort();
    homes
}

/// Patterns of paths for the homes that units make beside this one, or have made.
pub(crate) fn patterns_beside(home: &Path) -> Vec<String> {
    let Some(folder) = home.parent().and_then(Path::to_str) else {
        return Vec::new();
    };
    let between = BETWEEN.iter().collect::<String>();
    let named = [SERVICE.to_owned(), format!("{SERVICE}[{between}]*")];
    named.map(|name| format!("{}/{name}", Pattern::escape(folder))).into()
}

/// Where units have had their homes made.
fn of_units(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    let mut homes: Vec<_> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(SERVICE));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(BETWEEN))
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    homes.sort();
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_a_worker_that_cannot_be_looked_into_is_found_by_its_socket() {
        let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 4711 /var/my home/flamenco-worker.socket\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 4712 /proc/self/fd/9/flamenco-worker.reload\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 4713 @/abstract/flamenco-worker.socket2\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 4714\n";
        assert_eq!(homes_of_sockets(list), [Path::new("/var/my home")]);
    }

    #[test]
    fn homes_of_units_are_known_by_their_names_and_several_are_listed() {
        let state = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir(state.path().join(name)).unwrap();
        for other in ["flamenco-workers", "flamenco", "x"] {
            make(other);
        }
        assert_eq!(of_units(state.path()), [""; 0].map(PathBuf::from));
        make("flamenco-worker");
        assert_eq!(of_units(state.path()), [state.path().join("flamenco-worker")]);
        make("flamenco-worker.gpu1");
        make("flamenco-worker@gpu0");
        let both = of_units(state.path());
        assert_eq!(both.len(), 3);
        let text = SearchError::Several(both).to_string();
        assert!(
            text.contains("/flamenco-worker, or ") && text.ends_with("/flamenco-worker@gpu0"),
            "{text}"
        );
    }
}
