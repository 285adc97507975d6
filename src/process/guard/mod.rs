// SPDX-License-Identifier: GPL-3.0-or-later

//! The guard: a process of its own between the worker and a program, for that one program's life.
//!
//! ```text
//! fd 0 socket ─► SpawnRequest ─► Program ─► phase: Starting ─► Running ─┬─ Lingering ─┬─► Sweeping ─► last word
//!                                                                ├─ Draining ──┤   until ECHILD
//!                GuardCommand ────────────────────────────────────────► └─ Terminating ──┘
//!                end of file: the worker is gone, however it went ─► Sweeping ─► EndNote
//! fd 1 the program's output, handed on and let go       fd 2 the worker's stderr
//! ```
//!
//! One thread, no runtime, next to no memory: it must live while the machine has none. It blocks every
//! signal, has a session of its own and a name of its own, so that neither Ctrl+C nor a `pkill` meant
//! for the worker or the program ends it. It waits in one place ([`Guard::wait`]). As a child
//! subreaper it gets back whatever escapes from its program, and it exits only when `waitpid` says
//! that it has no child left.

mod ending;
mod environment;
mod oom;
mod output_holders;
mod phase;
mod setup;
mod spawn;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, chdir};

use self::oom::OomCounter;
use self::output_holders::{HoldersWait, OutputHolders};
use self::phase::{Phase, ProgramExit};
use self::setup::{GuardSetup, timeout, usage};
use self::spawn::{ExecOutcome, SpawnedProgram};
use super::cgroup::Cgroup;
use super::messages::{ExitReport, GuardCommand, GuardMessage, SpawnOptions, SpawnRequest};
use super::open_files::OpenFiles;
use super::procfs::{Reaped, now, reap_some};
use super::{EndNote, KillSequence, Stray, Strays};
use crate::clock;

/// The hidden first argument that makes this binary a guard.
pub const GUARD_ROLE: &str = "guard-role";
/// What `comm` calls a guard: 15 bytes at most.
pub(super) const GUARD: &str = "flamenco-guard";
/// The exit code of a guard that never had a program.
const NO_BRIEF: u8 = 2;

/// Plays the guard: the whole life of this process. Only ever called by a binary that was started by
/// [`Launcher`](super::Launcher) with [`GUARD_ROLE`], and before anything else.
///
/// Exits with 0 when nothing of the program is left, which is then proved.
pub fn guard_main() -> ExitCode {
    match Guard::begin() {
        Ok(Some(guard)) => guard.watch(),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let said = writeln!(
                io::stderr(),
                "flamenco-guard is started by flamenco-worker only: {error}"
            );
            said.map_or(ExitCode::FAILURE, |()| ExitCode::from(NO_BRIEF))
        }
    }
}

/// A guard and its program.
struct Guard {
    socket: UnixStream,
    children: SignalFd,
    kill_sequence: KillSequence,
    options: SpawnOptions,
    note: Option<EndNote>,
    program: Pid,
    /// The one that the program began in.
    group: Pid,
    /// `/proc/PID/fd` calls the output this.
    output: String,
    began: Duration,
    /// The program's own, where it could have one.
    cgroup: Option<Cgroup>,
    oom: Option<OomCounter>,
    phase: Phase,
    end: Option<ProgramExit>,
    /// The worker was told what the program left running.
    left_is_said: bool,
    /// What the program had open when it was asked to end.
    writing: OpenFiles,
    /// Told to end the program before it had ended by itself.
    asked: bool,
    /// Nobody listens any more: the worker is gone, or has had the last word.
    alone: bool,
}

impl Guard {
    /// `None` when the worker went before it said what to do.
    fn begin() -> io::Result<Option<Self>> {
        let GuardSetup {
            mut socket,
            output,
            children,
            nice,
        } = GuardSetup::new()?;
        let brief = match SpawnRequest::read(&mut socket) {
            Ok(brief) => brief,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let cgroup = brief.options.cgroups.as_deref().and_then(Cgroup::make_own);
        if let (Some(group), Some(bytes)) = (&cgroup, brief.options.memory) {
            group.limit_memory(bytes);
        }
        let mut guard = Self {
            socket,
            children,
            program: Pid::from_raw(0),
            group: Pid::from_raw(0),
            output: format!("pipe:[{}]", fstat(&output)?.st_ino),
            began: now(),
            oom: OomCounter::start(cgroup.as_ref()),
            cgroup,
            phase: Phase::Running,
            end: None,
            left_is_said: false,
            writing: OpenFiles::default(),
            asked: false,
            alone: false,
            kill_sequence: brief.kill_sequence.clone(),
            options: brief.options.clone(),
            note: brief.note.clone(),
        };
        guard.start(&brief, nice, output.as_fd())?;
        // From here on none but the program and its descendants hold the output.
        drop(output);
        Ok(Some(guard))
    }

    /// An error is one over a program that may run: only the end of this guard ends it, too.
    fn start(&mut self, brief: &SpawnRequest, nice: i32, output: BorrowedFd<'_>) -> io::Result<()> {
        match SpawnedProgram::start(brief, nice, output, self.cgroup.as_ref()) {
            Ok(program) => {
                self.program = program.pid;
                self.group = program.group;
                self.phase = Phase::Starting(program.exec);
            }
            Err(error) => {
                let errno = error.raw_os_error().ok_or(error)?;
                self.phase = Phase::NotStarted(GuardMessage::NotForked { errno });
            }
        }
        // The worker may go before us; its directory's file system should not be held by a hopeless tree.
        chdir("/").ok();
        Ok(())
    }

    fn watch(mut self) -> ExitCode {
        loop {
            let reaped = self.reap();
            self.hear_exec();
            if reaped == Reaped::NoChild && !self.has_members() {
                self.conclude();
                return ExitCode::SUCCESS;
            }
            self.hear_orders();
            let pause = self.advance(reaped);
            self.wait(if reaped == Reaped::MaybeMore {
                Duration::ZERO
            } else {
                pause
            });
        }
    }

    /// Whoever is in the program's control group and not below us: a stranger's child by now.
    fn has_members(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::is_populated)
    }

    /// Takes those who have ended, at most so many that the rest of the loop has its turn.
    fn reap(&mut self) -> Reaped {
        reap_some(&mut |pid, status| {
            if pid == self.program.as_raw() {
                self.program_ended(status);
            }
        })
    }

    fn program_ended(&mut self, status: i32) {
        let at = now();
        let end = ProgramExit {
            status,
            wall: at.saturating_sub(self.began),
            oom: self.oom.as_ref().is_some_and(OomCounter::moved),
            at,
            time: clock::millis(),
            was_seen: self.worker_lives(),
        };
        self.end = Some(end);
        let next = self.after(end);
        let output_held = matches!(next, Phase::Lingering(_));
        self.say(&GuardMessage::Exited(ExitReport {
            output_held,
            ..self.last_word(Vec::new())
        }));
        if matches!(self.phase, Phase::Running) {
            self.phase = next;
        }
    }

    /// What follows the program's own end, as long as nobody orders anything.
    fn after(&self, end: ProgramExit) -> Phase {
        let now = now();
        let holders = end.is_success().then(|| OutputHolders::of(&self.output)).flatten();
        match holders {
            Some(holders) => Phase::Lingering(HoldersWait::new(&holders, self.options.linger, now)),
            None => Phase::Draining {
                until: now + self.options.drain,
            },
        }
    }

    fn hear_exec(&mut self) {
        let Phase::Starting(pipe) = &mut self.phase else { return };
        let Some(outcome) = pipe.outcome() else { return };
        self.phase = match outcome {
            ExecOutcome::Done => {
                let pid = self.program.as_raw();
                self.say(&GuardMessage::Started { pid });
                self.end.map_or(Phase::Running, |end| self.after(end))
            }
            ExecOutcome::Failed(errno) => Phase::NotStarted(GuardMessage::NotStarted { errno: errno as i32 }),
            ExecOutcome::NotOnPath => Phase::NotStarted(GuardMessage::NotOnPath),
        };
    }

    fn hear_orders(&mut self) {
        let mut orders = [0; 16];
        while !self.alone {
            match recv(self.socket.as_raw_fd(), &mut orders, MsgFlags::MSG_DONTWAIT) {
                Ok(count) if count > 0 => {
                    for byte in &orders[..count] {
                        self.obey(GuardCommand::from_byte(*byte));
                    }
                    self.say(&GuardMessage::CommandReceived);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Ok(_) | Err(_) => {
                    self.alone = true;
                    self.obey(GuardCommand::Kill);
                }
            }
        }
    }

    fn conclude(&mut self) {
        let said = match &self.phase {
            Phase::NotStarted(said) => said.clone(),
            Phase::Starting(_)
            | Phase::Running
            | Phase::Terminating { .. }
            | Phase::Lingering(_)
            | Phase::Draining { .. }
            | Phase::Sweeping { .. } => GuardMessage::Ended(self.last_word(Vec::new())),
        };
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        self.say(&said);
        if let (Some(note), GuardMessage::Ended(word)) = (&self.note, said) {
            self.leave(note, word);
        }
    }

    /// Waits until the worker has the end on disk, and notes it for the next one if this one goes before.
    fn leave(&self, note: &EndNote, word: ExitReport) {
        // What still held the output was ended for want of a worker, and may have been the better part of the program.
        let was_cut = self.alone && word.output_held;
        let taken = !self.alone && is_taken(&self.socket);
        let Some(end) = self.end.filter(|end| end.was_seen && !word.asked && !was_cut && !taken) else {
            return;
        };
        if let Err(error) = note.write(self.program.as_raw(), end.time, word) {
            let file = note.file.display();
            writeln!(
                io::stderr(),
                "flamenco-guard: cannot note in {file} how a program ended: {error}"
            )
            .ok();
        }
    }

    fn worker_lives(&self) -> bool {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        poll(&mut socket, PollTimeout::ZERO).ok();
        let seen = socket[0].revents().unwrap_or(PollFlags::empty());
        !self.alone && !seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
    }

    fn last_word(&self, unkillable: Vec<Stray>) -> ExitReport {
        let (outlived, output_held) = self.phase.outlived();
        let ended = outlived
            .iter()
            .filter(|stray| !unkillable.contains(stray))
            .cloned()
            .collect();
        let wall = self
            .end
            .map_or_else(|| now().saturating_sub(self.began), |end| end.wall);
        ExitReport {
            status: self.end.map(|end| end.status),
            asked: self.asked,
            oom: self.end.is_some_and(|end| end.oom),
            usage: usage(wall, self.cgroup.as_ref()),
            strays: Strays { ended, unkillable },
            output_held,
            writing: self.phase.writing(self.writing.clone()),
        }
    }

    /// A worker that cannot be told is gone, which the next look at the socket shows.
    fn say(&self, said: &GuardMessage) {
        if self.alone {
            return;
        }
        said.frame().and_then(|frame| (&self.socket).write_all(&frame)).ok();
    }

    /// The only place that waits.
    fn wait(&self, pause: Duration) {
        let mut sources = vec![PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        if !self.alone {
            sources.push(PollFd::new(self.socket.as_fd(), PollFlags::POLLIN));
        }
        if let Phase::Starting(pipe) = &self.phase {
            sources.push(PollFd::new(pipe.reader.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut sources, timeout(pause)).ok();
        // What it says is not of interest: the next round asks for every ended child.
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
    }
}

/// Whether the worker says so, before it is gone. Nothing else is of interest any more.
fn is_taken(mut socket: &UnixStream) -> bool {
    let mut byte = [0];
    while let Ok(1) = socket.read(&mut byte) {
        if GuardCommand::from_byte(byte[0]) == GuardCommand::Release {
            return true;
        }
    }
    false
}
