// SPDX-License-Identifier: GPL-3.0-or-later

//! What one process may do, as a value, and how a thread is held to it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use seccompiler::BpfProgram;
use serde::{Deserialize, Serialize};

use super::everything_but::Around;
use super::rules::Network;
use super::{capabilities, landlock, system_calls};

/// What a process may do. What is `None` is not restricted. Signals go to no process outside, nor do connections to
/// abstract sockets, where the kernel can keep them from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// Its temporary directory, if it has one, where it reads and writes whatever is said below.
    pub tmpdir: Paths,
    /// Nothing else is read or written, whatever is said below. It travels by itself.
    #[serde(skip)]
    pub around: Option<Around>,
    /// What of that can be read, also where little can.
    pub shown: Paths,
    /// Only what is below these can be read.
    pub read: Option<Paths>,
    /// Only what is below these can be written.
    pub write: Option<Paths>,
    /// Only these can be executed.
    pub execute: Option<Paths>,
    /// What can be reached.
    pub network: Network,
    /// Processes whose priority and limits it leaves alone.
    pub protected: Vec<i32>,
}

/// Absolute paths, of any bytes, as they travel to a guard. One that is not there allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<OsString>", into = "Vec<OsString>")]
pub(crate) struct Paths(pub Vec<PathBuf>);

/// A confinement that needs no file any more.
#[derive(Debug)]
struct Prepared {
    around: Option<Around>,
    own: Option<OwnedFd>,
    filter: Option<BpfProgram>,
}

impl Confinement {
    /// The same, for what the calling process starts: that leaves its limits alone, too.
    #[must_use]
    pub(crate) fn with_guard(mut self) -> Self {
        self.protected.push(std::process::id().cast_signed());
        self
    }

    /// Opens what it names. It may hang, as files do.
    ///
    /// # Errors
    /// There are no descriptors to be had. What a kernel does not know is no error.
    fn prepare(&self) -> io::Result<Prepared> {
        Ok(Prepared {
            around: self.around.clone(),
            own: landlock::ruleset(self)?,
            filter: system_calls::filter(&self.network, &self.protected),
        })
    }
}

impl Prepared {
    /// Holds the calling thread to it, and all that it starts from now on, for ever. It makes system calls and nothing else.
    ///
    /// # Errors
    /// The kernel's own, which it gives in no known circumstance.
    fn restrict(&self) -> io::Result<()> {
        capabilities::let_go()?;
        landlock::gain_no_privileges()?;
        let around = self.around.as_ref().map(Around::ruleset);
        for ruleset in around.into_iter().chain(self.own.as_ref().map(AsFd::as_fd)) {
            landlock::restrict(ruleset)?;
        }
        if let Some(filter) = &self.filter {
            system_calls::install(filter)?;
        }
        Ok(())
    }
}

/// Holds the calling thread to a confinement. A thread of a pool must not be.
///
/// # Errors
/// As [`Confinement::prepare`] and [`Prepared::restrict`].
pub(crate) fn confine(confinement: &Confinement) -> io::Result<()> {
    confinement.prepare()?.restrict()
}

impl From<Vec<OsString>> for Paths {
    fn from(paths: Vec<OsString>) -> Self {
        Self(paths.into_iter().map(PathBuf::from).collect())
    }
}

impl From<Paths> for Vec<OsString> {
    fn from(paths: Paths) -> Self {
        paths.0.into_iter().map(PathBuf::into_os_string).collect()
    }
}

impl FromIterator<PathBuf> for Paths {
    fn from_iter<I: IntoIterator<Item = PathBuf>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}
