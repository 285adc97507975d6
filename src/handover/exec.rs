// SPDX-License-Identifier: GPL-3.0-or-later

//! The exec itself.

use std::convert::Infallible;
use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::unistd::execve;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;

use super::descriptor::{HandedFd, set_stays_open};
use super::envelope::{Envelope, OLDEST_READER, VERSION};
use super::hung::hangs_at_a_disk;
use super::{FOUND_CONFIGURATION, MEMFD, VARIABLE};

/// Why this process is still what it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// Before anything was tried.
    #[error("what is handed over cannot be written down")]
    State(#[source] io::Error),
    /// An exec would wait for that.
    #[error("a thread of this process waits for a file system that does not answer")]
    Hung,
    /// By the kernel.
    #[error("the program cannot be executed")]
    Exec(#[source] io::Error),
}

/// Becomes `program`, with the arguments and the environment of this process. It gets `state`, and each of `descriptors`,
/// which are all that `state` names, and reads `configuration`, if that was found.
///
/// Returns only where that failed. Then nothing has changed. Signals are as they were, for the program too: what is blocked
/// stays so.
///
/// # Errors
/// [`ExecError`].
pub(crate) fn exec_with<T: Serialize>(
    program: &Path,
    state: &T,
    descriptors: &[&HandedFd],
    configuration: Option<&Path>,
) -> Result<Infallible, ExecError> {
    if hangs_at_a_disk() {
        return Err(ExecError::Hung);
    }
    let file = write_down(state).map_err(ExecError::State)?;
    let numbers: Vec<_> = descriptors.iter().map(|one| one.number().to_string()).collect();
    let variable = format!("{VARIABLE}={}:{}", file.as_raw_fd(), numbers.join(","));
    let failed = stay_open(&file, descriptors, true)
        .and_then(|()| exec(program, variable, configuration))
        .err()
        .unwrap_or_else(|| io::ErrorKind::Other.into());
    // A descriptor of a process that goes on must not get into its programs.
    stay_open(&file, descriptors, false).map_err(ExecError::Exec)?;
    Err(ExecError::Exec(failed))
}

fn write_down<T: Serialize>(state: &T) -> io::Result<File> {
    // Not by glibc, which has this since 2.27 only.
    let mut file = File::from(memfd_create(MEMFD, MemfdFlags::CLOEXEC)?);
    let envelope = Envelope {
        version: VERSION,
        oldest_reader: OLDEST_READER,
        state,
    };
    file.write_all(&serde_json::to_vec(&envelope)?)?;
    Ok(file)
}

fn stay_open(file: &File, descriptors: &[&HandedFd], stays: bool) -> io::Result<()> {
    set_stays_open(file.as_fd(), stays)?;
    descriptors.iter().try_for_each(|one| one.stay_open(stays))
}

fn exec(program: &Path, variable: String, configuration: Option<&Path>) -> io::Result<Infallible> {
    let arguments = env::args_os().map(text).collect::<io::Result<Vec<_>>>()?;
    let mut environment = vec![CString::new(variable)?];
    let found = configuration.map(|path| (FOUND_CONFIGURATION.into(), path.into()));
    let kept = env::vars_os().filter(|(name, _)| name != VARIABLE && name != FOUND_CONFIGURATION);
    for (name, value) in kept.chain(found) {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        environment.push(text(variable)?);
    }
    Ok(execve(
        &text(program.as_os_str().to_owned())?,
        &arguments,
        &environment,
    )?)
}

fn text(words: OsString) -> io::Result<CString> {
    Ok(CString::new(words.into_vec())?)
}
