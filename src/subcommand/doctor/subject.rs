// SPDX-License-Identifier: GPL-3.0-or-later

//! The process whose limits and rights matter: the worker of this home, if one runs and can be looked into; else this
//! process, which has what a worker started in the same way would have.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::getpid;

use super::finding::{Finding, run_checks};
use super::subject_user::SubjectUser;
use super::{CheckContext, limits, processes, service};
use crate::home::mark_of;
use crate::setup::sandbox_rules;

/// The process that the checks are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pid: i32,
    /// The mark of the worker's home; `None`: it is no worker, but this process.
    mark: Option<String>,
}

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let subject = context.subject.clone();
    let is_sandboxed = !sandbox_rules(&context.config).are_none();
    run_checks("limits", "/proc", move || {
        let mut found = limits::check(&subject);
        found.extend((!subject.is_open()).then(|| closed(&subject)));
        found.push(processes::cgroup(&subject));
        found.push(processes::proc(&subject));
        found.push(service::service(&subject));
        found.push(service::privileges(&subject, is_sandboxed));
        found
    })
    .await
}

fn closed(subject: &Subject) -> Finding {
    Finding::ok(
        "environment",
        format!(
            "{subject} shows its environment and its mounts to root only: PATH and devices are those of this user here"
        ),
    )
}

impl Subject {
    /// This process.
    pub(super) fn ourselves() -> Self {
        Self {
            pid: getpid().as_raw(),
            mark: None,
        }
    }

    /// The worker that lives in `home`.
    pub(super) fn worker(pid: i32, home: &Path) -> Self {
        let mark = fs::metadata(home).map(|home| mark_of(&home));
        Self {
            pid,
            mark: Some(mark.unwrap_or_default()),
        }
    }

    /// Whether it is a worker, and not this process.
    pub(super) fn is_worker(&self) -> bool {
        self.mark.is_some()
    }

    /// Its process id.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The mark of the worker's home; empty for this process.
    pub(super) fn mark(&self) -> &str {
        self.mark.as_deref().unwrap_or_default()
    }

    /// The text of a file about it in `/proc`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn file(&self, name: &str) -> io::Result<String> {
        fs::read(self.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it can be looked into. A worker shows its environment and its root to root only, for what it has in memory.
    pub(super) fn is_open(&self) -> bool {
        !self.is_worker() || fs::File::open(self.path("environ")).is_ok()
    }

    /// The value of an environment variable that it was started with; of this process where it cannot be looked into.
    pub(super) fn variable_or_own(&self, name: &str) -> Option<OsString> {
        match self.is_open() {
            true => self.variable(name),
            false => std::env::var_os(name),
        }
    }

    /// The value of an environment variable that it was started with, if it can be looked into.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        if !self.is_worker() {
            return std::env::var_os(name);
        }
        let all = fs::read(self.path("environ")).ok()?;
        let mut entries = all.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(OsString::from_vec(value.to_vec()))
    }

    /// The way to `path` as the process sees it, which may be in a mount namespace of its own.
    pub(super) fn sees(&self, path: &str) -> PathBuf {
        let root = self.path("root");
        match fs::metadata(root.join("proc")) {
            Ok(_) => root.join(path.trim_start_matches('/')),
            Err(_) => OsStr::from_bytes(path.as_bytes()).into(),
        }
    }

    /// Whose it is.
    pub(super) fn user(&self) -> SubjectUser {
        let status = self.is_worker().then(|| self.file("status").ok()).flatten();
        status
            .and_then(|status| SubjectUser::parse(&status))
            .unwrap_or_else(SubjectUser::ours)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join(name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mark {
            Some(_) => write!(f, "the worker (pid {})", self.pid),
            None => f.write_str("a worker started from here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_into() {
        let subject = Subject::ourselves();
        assert!(!subject.is_worker() && subject.is_open());
        assert_eq!(subject.variable("PATH"), std::env::var_os("PATH"));
        assert_eq!(subject.variable("PAT"), None);
        assert!(subject.file("status").unwrap().contains("NoNewPrivs:"));
        assert!(subject.sees("/proc/self").exists());
    }
}
