// SPDX-License-Identifier: GPL-3.0-or-later
//! The one file that starts programs, and that looks for those that were left behind.
//!
//! ```text
//! demo ─┬─► cargo, blender, ffmpeg     probes: waited for, with a deadline
//!       └─► demo (leash) ═exec═► flamenco-worker ─► renders, samples ─► what samples start
//! ```

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill, killpg},
    },
    unistd::{Pid, getppid, setsid},
};
use test_bed::{Process, equip, mark_of, processes};

use crate::{
    interrupt::{End, Interrupt, failed},
    samples::role::{self, Role},
};

/// The hidden first word of the role that [`leash`] plays.
pub(crate) const LEASH: &str = "demo-leash";
/// How often a probe is looked at while it runs.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a program that was waited for.
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) how: String,
    /// Standard output and error in their order.
    pub(crate) output: String,
}

/// A program to run to its end, before there is a worker to run it.
pub(crate) struct Probe<'a> {
    pub(crate) command: Command,
    /// Where its output waits to be read: a file, since a full pipe would stop it.
    pub(crate) notes: &'a Path,
    pub(crate) deadline: Duration,
}

impl Probe<'_> {
    /// Runs it. It is killed with all its children at the deadline and when the demo is interrupted.
    ///
    /// # Errors
    /// It cannot be started, or the demo was interrupted. A program that fails is no error.
    pub(crate) fn run(mut self, interrupt: &mut Interrupt) -> Result<Ran, End> {
        let name = self.command.get_program().display().to_string();
        let notes = File::create(self.notes).map_err(failed("writing down what a program says"))?;
        let errors = notes.try_clone().map_err(failed("writing down what a program says"))?;
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(notes)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(failed(&format!("starting {name}")))?;
        let end = Instant::now() + self.deadline;
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status.to_string()),
                Ok(None) => {}
                Err(error) => break Err(End::Failed(format!("waiting for {name}: {error}"))),
            }
            if let Err(end) = interrupt.rest(LOOK) {
                break Err(end);
            }
            if Instant::now() > end {
                break Ok(format!("no end after {:?}", self.deadline));
            }
        };
        let success = matches!(child.try_wait(), Ok(Some(status)) if status.success());
        end_group(child);
        Ok(Ran {
            success,
            how: ended?,
            output: read_text(self.notes),
        })
    }
}

fn end_group(mut child: Child) {
    if let Ok(None) = child.try_wait() {
        // It may just have gone.
        killpg(pid_of(&child), Signal::SIGKILL).ok();
        // Reaped is all we want.
        child.wait().ok();
    }
}

/// A file's text, whatever bytes it holds; empty if there is none.
pub(crate) fn read_text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The process id in the form that signals take.
pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// The first executable file of this name on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    env::split_paths(&env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}

/// How a worker is to be started.
#[derive(Clone, Debug)]
pub(crate) struct WorkerStart {
    pub(crate) program: PathBuf,
    pub(crate) manager: String,
    /// Its working directory; its home is a folder in there, and so is its configuration.
    pub(crate) place: PathBuf,
    pub(crate) name: String,
    /// Where all it says goes.
    pub(crate) log: PathBuf,
    pub(crate) restart_code: i32,
}

impl WorkerStart {
    pub(crate) fn home(&self) -> PathBuf {
        self.place.join("home")
    }

    /// Starts it in a session of its own, so that Ctrl+C in the terminal reaches the demo alone, and on a leash: it is asked
    /// to end (SIGTERM) should the demo go without a word. The leash is this program again, which becomes the worker; the
    /// process id stays the same. The kernel watches the *thread* that calls this, so that one must live as long.
    ///
    /// # Errors
    /// The log cannot be opened, or this program cannot be started a second time. That the worker cannot be started shows
    /// as an exit code of the leash, and in the log.
    pub(crate) fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(env::current_exe()?);
        command
            .arg(LEASH)
            .arg(std::process::id().to_string())
            .arg(&self.program);
        for (name, _) in env::vars_os().filter(|(name, _)| is_none_of_its_business(name)) {
            command.env_remove(name);
        }
        equip(&mut command, &self.place, &self.log, &self.name, &self.manager)?;
        command
            .args(["-restart-exit-code", &self.restart_code.to_string()])
            // What a worker that is killed leaves there goes with the rest.
            .env("TMPDIR", &self.place)
            .spawn()
    }
}

/// Settings of somebody's real worker, and proxies: this Manager is on this machine.
fn is_none_of_its_business(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    name.starts_with("flamenco_") || matches!(name.as_str(), "http_proxy" | "https_proxy" | "all_proxy")
}

/// The hidden role: becomes the program named by the words after the parent's process id.
pub(crate) fn leash(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let parent = words.next();
    let Some(program) = words.next() else {
        return ExitCode::from(LEASH_FAILED);
    };
    let parent_lives = || parent.is_some_and(|pid| *pid == *getppid().to_string());
    if setsid().is_ok() && prctl::set_pdeathsig(Signal::SIGTERM).is_ok() && parent_lives() {
        use io::Write;
        let error = Command::new(&program).args(words).exec();
        // Nobody else to tell.
        writeln!(io::stderr(), "cannot start {}: {error}", program.display()).ok();
    }
    ExitCode::from(LEASH_FAILED)
}

/// As a shell says that a program cannot be run.
const LEASH_FAILED: u8 = 126;

/// How a program leaves its parent's house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dress {
    AsItIs,
    /// Without input and output, in the root directory.
    Daemon,
    /// Without an environment.
    Bare,
}

/// Starts this program in another of the samples' roles.
///
/// # Errors
/// It cannot be started.
pub(crate) fn again(role: Role, folder: &Path, dress: Dress) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role::ROLE).arg(role.word()).arg(folder);
    match dress {
        Dress::AsItIs => {}
        Dress::Daemon => {
            let (input, output, errors) = (Stdio::null(), Stdio::null(), Stdio::null());
            command.stdin(input).stdout(output).stderr(errors).current_dir("/");
        }
        Dress::Bare => {
            command.env_clear();
        }
    }
    command.spawn()
}

/// Everything that runs with this home in its environment, and the guards of its worker: whatever the worker started, pid and
/// name. Root sees the worker, too.
pub(crate) fn running_in(home: &Path) -> Vec<(Pid, String)> {
    let variable = format!("FLAMENCO_HOME={}", home.display());
    let mark = mark_of(home).unwrap_or_default();
    named(|process| process.has_variable(&variable) || process.bears_mark(&mark))
}

/// Everything that has this folder as an argument: whoever plays a sample's role, even without an environment.
pub(crate) fn playing(folder: &Path) -> Vec<(Pid, String)> {
    let folder = folder.to_string_lossy();
    named(|process| process.has_argument(&folder))
}

fn named(wanted: impl Fn(&Process) -> bool) -> Vec<(Pid, String)> {
    let processes = processes().into_iter().filter(wanted);
    let named = processes.map(|Process { pid, .. }| {
        let name = read_text(Path::new(&format!("/proc/{pid}/comm")));
        (Pid::from_raw(pid), name.trim().to_owned())
    });
    named.collect()
}

/// Ends all of these that nobody else ended.
pub(crate) fn sweep(left: &[(Pid, String)]) {
    for (pid, _) in left {
        // Gone meanwhile.
        kill(*pid, Signal::SIGKILL).ok();
    }
}

/// `exit code 47`, `signal 9`.
pub(crate) fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
