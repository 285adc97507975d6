// SPDX-License-Identifier: GPL-3.0-or-later

//! What is to be run, and what became of it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::OpenFile;
use crate::abort::AbortReason;

/// A program to run. Its `Display` can be pasted into a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// As the task gave it: with a `/` it is used as it is, else searched on PATH as execvp does.
    pub program: OsString,
    /// `argv[0]` when it is not `program`.
    pub argv0: Option<OsString>,
    pub args: Vec<OsString>,
    /// Added to the worker's environment; `None` takes a variable away.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Working directory; the worker's own when `None`.
    pub directory: Option<PathBuf>,
    /// What an abort does to it.
    pub kill_sequence: KillSequence,
    /// What the guard is called in a process list, e.g. the task's name.
    pub label: String,
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

/// A word as a shell reads it back. Words of plain ASCII letters, digits and `_@%+=:,./-` stay as they
/// are, all others go in single quotes; that is how the Go worker prints its command lines.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// The signals an abort sends, each with the time the program has to end after it. SIGKILL comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillSequence(pub Vec<(Signal, Duration)>);

/// What a running program says, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEvent<'a> {
    /// It runs; always first, and only if it could be started.
    Started { pid: i32 },
    /// One line of its output, without its end. At most 64 KiB; a longer line comes in pieces.
    Line(&'a str),
    /// It has ended well, and these hold its output: they are waited for while they work. At most once.
    LeftRunning(&'a [Stray]),
}

/// What became of a program, once nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub pid: i32,
    pub exit: Exit,
    pub usage: Usage,
    pub strays: Strays,
    /// A descendant held the output open after the program's end, did nothing, and was not waited for any longer.
    pub output_held: bool,
    /// What the program and its descendants had open for writing when they were told to end; some may have finished
    /// with it since. Nothing of a program that ended by itself.
    pub writing: Vec<OpenFile>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// 1-255.
    Code(i32),
    /// Killed by a signal we did not send; `oom` when the kernel did it for want of memory.
    Signal {
        signal: i32,
        oom: bool,
    },
    /// It ended after we asked it to, whatever its own exit status.
    Aborted(AbortReason),
    /// Its guard died without a word: how it ended is not known, and nothing of it is left.
    Lost,
}

/// What a program used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to the program's own exit.
    pub wall: Duration,
    /// User and system time of it and of every descendant that was waited for.
    pub cpu: Duration,
    /// Bytes; of the largest process, or of all together where the program had a cgroup of its own.
    pub peak_rss: u64,
}

/// A process that outlived its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    pub pid: i32,
    /// As `/proc/PID/comm` gives it.
    pub name: String,
}

/// What outlived the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    /// Ended by us.
    pub ended: Vec<Stray>,
    /// Still there: hung in the kernel, or another user's. The guard stays with them and tries on.
    pub unkillable: Vec<Stray>,
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `exec` said no.
    #[error("{}", .0.desc())]
    Exec(Errno),
    /// Not found on PATH.
    #[error("not found on PATH")]
    NotOnPath,
    /// A word of the command line cannot be passed on (it has a NUL byte).
    #[error("a NUL byte in {0}")]
    Nul(String),
    /// The guard itself could not be started: nothing to do with the program.
    #[error("cannot start a guard process")]
    Guard(#[source] std::io::Error),
    /// Aborted before anything ran.
    #[error("aborted before it started")]
    Aborted(AbortReason),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let spec = ProcessSpec {
            program: "/bin/sh".into(),
            argv0: None,
            args: vec![
                "-c".into(),
                "echo it's".into(),
                "".into(),
                "ü".into(),
                "a=b,c@d%e+f:g./-_".into(),
            ],
            env: Vec::new(),
            directory: None,
            kill_sequence: KillSequence(Vec::new()),
            label: String::new(),
        };
        assert_eq!(
            spec.to_string(),
            r#"/bin/sh -c 'echo it'"'"'s' '' 'ü' a=b,c@d%e+f:g./-_"#
        );
    }
}
