// SPDX-License-Identifier: GPL-3.0-or-later

//! What this process was started with, as a value. It is taken once at the start; tests make one up.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, gethostname};

/// Variables, current directory and host, as they were at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The current directory: relative paths are meant from here.
    pub directory: PathBuf,
    /// The answer of `uname -n`. It is the name of a worker that has no other.
    pub hostname: String,
    /// The home directory of the user in the user database, for where `HOME` is not set (some units, cron).
    pub user_home: Option<PathBuf>,
    /// Where the node's administrator puts configuration: `/etc/flamenco`.
    pub system: PathBuf,
    /// Where services of the system have their own directories: `/var/lib`.
    pub state: PathBuf,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn capture() -> Self {
        Self {
            variables: env::vars_os().collect(),
            // Without a current directory (it was deleted) there is nothing to find in it either.
            directory: env::current_dir().unwrap_or_else(|_| "/".into()),
            hostname: hostname(),
            user_home: User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir),
            system: "/etc/flamenco".into(),
            state: "/var/lib".into(),
        }
    }

    /// The value of a variable. An empty one counts as not set: that is what `VARIABLE=` in a unit means.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// A path that the operator gave, made absolute.
    pub(crate) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }

    /// The user's home directory: `$HOME` if it is an absolute path, else what the user database says.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.absolute_variable("HOME").or_else(|| self.user_home.clone())
    }

    /// A base directory of the XDG specification, `variable` or `fallback` in the home directory. A relative
    /// value is ignored, as the specification asks.
    pub(crate) fn xdg(&self, variable: &str, fallback: &str) -> Option<PathBuf> {
        self.absolute_variable(variable)
            .or_else(|| Some(self.home()?.join(fallback)))
    }

    fn absolute_variable(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// The name of this node, which is never empty: the Manager's page shows it.
pub(crate) fn hostname() -> String {
    gethostname()
        .map(|name| name.to_string_lossy().trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_relative_values_count_as_not_set() {
        let mut environment = Environment {
            user_home: Some("/root".into()),
            ..Environment::default()
        };
        assert_eq!(
            environment.xdg("XDG_DATA_HOME", ".local/share"),
            Some("/root/.local/share".into())
        );
        environment.variables.insert("HOME".into(), "".into());
        environment.variables.insert("XDG_DATA_HOME".into(), "here".into());
        assert_eq!(
            environment.xdg("XDG_DATA_HOME", ".local/share"),
            Some("/root/.local/share".into())
        );
        environment.variables.insert("HOME".into(), "/home/r".into());
        assert_eq!(
            environment.xdg("XDG_DATA_HOME", ".local/share"),
            Some("/home/r/.local/share".into())
        );
        environment.variables.insert("XDG_DATA_HOME".into(), "/data".into());
        assert_eq!(environment.xdg("XDG_DATA_HOME", ".local/share"), Some("/data".into()));
    }
}
