// SPDX-License-Identifier: GPL-3.0-or-later

//! A program for a task, whose life is seen from here to the microsecond and without polling: it and all it starts hold the
//! writing end of a named pipe. The first line in it says that the program is up; its end, that the last process is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::json;
use standin_manager::CommandSpec;
use tempfile::TempDir;

use crate::node::PATIENCE;

/// What the program does when it is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Ends on SIGTERM.
    Obeys,
    /// Ignores SIGTERM.
    Ignores,
    /// Ends on SIGTERM, and so do the 200 processes it has started.
    Tree,
    /// The same, each in a session of its own, which no signal to a group reaches.
    Sessions,
}

impl Nature {
    /// For bash; `$0` is the folder with the pipes.
    fn script(self) -> &'static str {
        match self {
            Self::Obeys => r#"exec 9>"$0/life"; echo up >&9; read -r _ <"$0/go""#,
            Self::Ignores => r#"trap '' TERM; exec 9>"$0/life"; echo up >&9; read -r _ <"$0/go""#,
            Self::Sessions => r#"exec 9>"$0/life"; for _ in {1..200}; do setsid sleep 1000 & done; echo up >&9; wait"#,
            Self::Tree => r#"exec 9>"$0/life"; for _ in {1..200}; do sleep 1000 & done; echo up >&9; wait"#,
        }
    }
}

/// A program that waits until it is let go, or ended. Dropped, whatever is left of it is killed.
pub(crate) struct Program {
    nature: Nature,
    folder: TempDir,
    life: File,
    go: File,
}

impl Program {
    pub(crate) fn new(nature: Nature) -> Result<Self, String> {
        Self::make(nature).map_err(|error| format!("cannot make named pipes: {error}"))
    }

    fn make(nature: Nature) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let (life, go) = (folder.path().join("life"), folder.path().join("go"));
        for pipe in [&life, &go] {
            mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        // A reader that does not wait for a writer, and a writer that does not wait for a reader.
        let life = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(life)?;
        let go = OpenOptions::new().read(true).write(true).open(go)?;
        Ok(Self {
            nature,
            folder,
            life,
            go,
        })
    }

    /// What a task must do to run it.
    pub(crate) fn command(&self) -> CommandSpec {
        let arguments = json!(["-c", self.nature.script(), self.folder.path()]);
        CommandSpec::new("exec", json!({ "exe": "bash", "args": arguments }))
    }

    /// Waits until it runs.
    pub(crate) fn up(&mut self) -> Result<(), String> {
        match self.read(PATIENCE) {
            Some(length) if length > 0 => Ok(()),
            Some(_) => Err("the program ended before it was up".to_owned()),
            None => Err(format!("waited {PATIENCE:?} in vain for the program to run")),
        }
    }

    /// Lets it come to its own end.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.go.write_all(b"go\n").map_err(|error| error.to_string())
    }

    /// Waits until its last process is gone; false if some are left after `patience`.
    pub(crate) fn gone(&mut self, patience: Duration) -> bool {
        self.read(patience) == Some(0)
    }

    /// How long it takes to be gone after SIGTERM, started and asked without any worker.
    pub(crate) fn alone(nature: Nature) -> Result<Duration, String> {
        let mut program = Self::new(nature)?;
        let mut process = Command::new("bash")
            .args(["-c", nature.script()])
            .arg(program.folder.path())
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        program.up()?;
        let group = i32::try_from(process.id()).map_err(|error| error.to_string())?;
        let begin = Instant::now();
        killpg(Pid::from_raw(group), Signal::SIGTERM).map_err(|error| error.to_string())?;
        let gone = program.gone(PATIENCE).then(|| begin.elapsed());
        process.wait().ok();
        gone.ok_or_else(|| "the program survived SIGTERM".to_owned())
    }

    /// Who holds the writing end: what is left of it.
    pub(crate) fn left(&self) -> Vec<Pid> {
        let pipe = self.folder.path().join("life");
        let pipe = fs::canonicalize(&pipe).unwrap_or(pipe);
        let holds = |process: &PathBuf| {
            fs::read_link(process.join("fd/9")).is_ok_and(|file| file == pipe) && writes(&process.join("fdinfo/9"))
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = processes.map(|entry| entry.path()).filter(holds);
        let pids = processes.filter_map(|process| process.file_name()?.to_str()?.parse().ok());
        pids.map(Pid::from_raw).collect()
    }

    /// The next bytes: 0 at the end, `None` if nothing came.
    fn read(&mut self, patience: Duration) -> Option<usize> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut files = [PollFd::new(self.life.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut files, timeout).ok().filter(|ready| *ready > 0);
        ready.and_then(|_| self.life.read(&mut [0; 64]).ok())
    }
}

/// Whether a descriptor is for writing only, as the reading end, which may have the same number here, is not (proc(5)).
fn writes(information: &Path) -> bool {
    let text = fs::read_to_string(information).unwrap_or_default();
    text.lines()
        .any(|line| line.starts_with("flags:") && line.ends_with('1'))
}

impl Drop for Program {
    fn drop(&mut self) {
        for pid in self.left() {
            // Gone already.
            kill(pid, Signal::SIGKILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_whole_tree_is_seen() {
        assert!(Program::alone(Nature::Tree).is_ok());
    }

    #[test]
    fn what_is_left_of_a_program_is_found_and_killed() {
        let mut program = Program::new(Nature::Ignores).unwrap();
        let mut process = Command::new("bash")
            .args(["-c", Nature::Ignores.script()])
            .arg(program.folder.path())
            .spawn()
            .unwrap();
        program.up().unwrap();
        assert!(!program.gone(Duration::from_millis(1)));
        assert_eq!(program.left(), [Pid::from_raw(i32::try_from(process.id()).unwrap())]);
        drop(program);
        assert!(!process.wait().unwrap().success());
    }
}
