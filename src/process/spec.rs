// SPDX-License-Identifier: GPL-3.0-or-later

//! What is to be run, and why it could not be.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;

use super::kill_sequence::KillSequence;
use crate::abort::AbortReason;
use crate::sandbox::Confinement;

/// A program to run. Its `Display` can be pasted into a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessSpec {
    /// The program as the task gave it: with a `/` it is used as it is, else searched on PATH as execvp does.
    pub program: OsString,
    /// `argv[0]` where it is not `program`.
    pub argv0: Option<OsString>,
    /// The arguments, without `argv[0]`.
    pub args: Vec<OsString>,
    /// Variables that are added to the worker's environment; `None` takes one away.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The working directory; the worker's own when `None`.
    pub directory: Option<PathBuf>,
    /// What it and all it starts may do, where that is restricted.
    pub confinement: Option<Confinement>,
    /// What an abort sends to the program before it kills.
    pub kill_sequence: KillSequence,
    /// What the guard is called in a process list, e.g. the task's name.
    pub label: String,
}

impl ProcessSpec {
    /// A program without arguments or label, in the worker's environment and directory, that an abort kills at once.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            argv0: None,
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            confinement: None,
            kill_sequence: KillSequence::default(),
            label: String::new(),
        }
    }
}

impl fmt::Display for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in std::iter::once(&self.program).chain(&self.args).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&quoted(&String::from_utf8_lossy(word.as_bytes())))?;
        }
        Ok(())
    }
}

/// The word as a shell reads it back. Words of plain ASCII letters, digits and `_@%+=:,./-` stay as they
/// are, all others go in single quotes; that is how the Go worker prints its command lines.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The kernel refused to execute it.
    #[error("{}", .0.desc())]
    Exec(Errno),
    /// There is no such program on PATH.
    #[error("not found on PATH")]
    NotOnPath,
    /// A word of the command line has a NUL byte and cannot be passed on; which one it is.
    #[error("a NUL byte in {0}")]
    Nul(String),
    /// The guard itself could not be started, which has nothing to do with the program.
    #[error("cannot start a guard process")]
    Guard(#[source] io::Error),
    /// The run was aborted before anything ran.
    #[error("aborted before it started")]
    Aborted(AbortReason),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let spec = ProcessSpec {
            args: vec![
                "-c".into(),
                "echo it's".into(),
                "".into(),
                "ü".into(),
                "a=b,c@d%e+f:g./-_".into(),
            ],
            ..ProcessSpec::new("/bin/sh")
        };
        assert_eq!(
            spec.to_string(),
            r#"/bin/sh -c 'echo it'"'"'s' '' 'ü' a=b,c@d%e+f:g./-_"#
        );
    }
}
