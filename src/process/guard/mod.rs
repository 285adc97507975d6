// SPDX-License-Identifier: GPL-3.0-or-later

//! The guard: a process of its own between the worker and a program, for that one program's life.
//!
//! ```text
//! fd 0 socket ─► SpawnRequest ─► program ─► phase: Starting ─► Running ─┬─ Lingering ───┬─► Sweeping ─► final message
//!                                                                       ├─ Draining ────┤   until ECHILD
//!                GuardCommand ────────────────────────────────────────► └─ Terminating ─┘
//!                 beside Starting to Draining: frozen, with a clock that stands still
//!                end of file: the worker is gone, for whatever reason ─► Sweeping ─► EndNote
//! fd 1 the program's output, handed on and let go       fd 2 the worker's stderr
//! ```
//!
//! It has one thread, no runtime and next to no memory: it must live while the machine has none. It blocks every signal,
//! has a session of its own and a name of its own, so that neither Ctrl+C nor a `pkill` meant for the worker or the
//! program ends it. It waits in one place ([`Guard::wait`]). As a child subreaper it gets back whatever escapes from its
//! program, and it exits only when `waitpid` says that it has no child left.

mod environment;
mod freezer;
mod oom;
mod oom_score;
mod output_holders;
mod phase;
mod report;
mod setup;
mod spawn;
mod termination;
mod usage;

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, chdir};

use self::freezer::Freezer;
use self::oom::OomCounter;
use self::output_holders::{HoldersWait, OutputHolders};
use self::phase::{Phase, ProgramExit};
use self::setup::{GuardSetup, Priorities, timeout};
use self::spawn::{ExecOutcome, HandedOn, SpawnedProgram};
use super::cgroup::Cgroup;
use super::channel::{self, Received};
use super::end_note::EndNote;
use super::exit_report::ExitReport;
use super::kill_sequence::KillSequence;
use super::messages::{FinalMessage, GuardCommand, GuardMessage, SpawnOptions, SpawnRequest};
use super::open_files::OpenFiles;
use super::procfs::{Reaped, reap_some};
use crate::clock;

/// The hidden first argument that makes this binary a guard.
pub(crate) const GUARD_ROLE: &str = "guard-role";
/// The exit code of a guard that never had a program.
const NO_REQUEST: u8 = 2;

/// Is a guard, for the whole life of this process. Call it only in a binary that [`Launcher`](super::Launcher) started
/// with [`GUARD_ROLE`], and before anything else.
///
/// The exit code is 0 when nothing of the program is left, which is then proved.
pub(crate) fn guard_main() -> ExitCode {
    match Guard::begin() {
        Ok(Some(guard)) => guard.watch(),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let written = writeln!(
                io::stderr(),
                "flamenco-guard is started by flamenco-worker only: {error}"
            );
            written.map_or(ExitCode::FAILURE, |()| ExitCode::from(NO_REQUEST))
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
    /// The process group that the program began in.
    group: Pid,
    /// The name of the output in `/proc/PID/fd`.
    output: String,
    /// When the guard began, on the clock of its freezer.
    began: Duration,
    freezer: Freezer,
    /// The program's own control group, where it could have one.
    cgroup: Option<Cgroup>,
    oom: Option<OomCounter>,
    phase: Phase,
    exit: Option<ProgramExit>,
    /// The worker was told what the program left running.
    has_told_left_running: bool,
    /// What the program had open for writing when it was asked to end.
    writing: OpenFiles,
    /// The guard was told to end the program before that had ended by itself.
    was_asked: bool,
    /// Nobody listens any more: the worker is gone, or has had the final message.
    is_alone: bool,
}

impl Guard {
    /// Starts the program. Returns `None` when the worker went before it said what to do.
    fn begin() -> io::Result<Option<Self>> {
        let GuardSetup {
            mut socket,
            output,
            children,
            priorities,
        } = GuardSetup::new()?;
        let begun = channel::receive(&socket).and_then(|received| Ok((received, SpawnRequest::read(&mut socket)?)));
        let (Received { channel, ruleset }, mut request) = match begun {
            Ok(begun) => begun,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        request.hold_to(ruleset);
        let cgroup = request.options.cgroups.as_deref().and_then(Cgroup::make_own);
        if let (Some(group), Some(bytes)) = (&cgroup, request.options.memory) {
            group.limit_memory(bytes);
        }
        let freezer = Freezer::default();
        let mut guard = Self {
            socket,
            children,
            program: Pid::from_raw(0),
            group: Pid::from_raw(0),
            output: format!("pipe:[{}]", fstat(&output)?.st_ino),
            began: freezer.clock().now(),
            freezer,
            oom: OomCounter::start(cgroup.as_ref()),
            cgroup,
            phase: Phase::Running,
            exit: None,
            has_told_left_running: false,
            writing: OpenFiles::default(),
            was_asked: false,
            is_alone: false,
            kill_sequence: request.kill_sequence.clone(),
            options: request.options.clone(),
            note: request.note.clone(),
        };
        let handed_on = HandedOn {
            output: output.as_fd(),
            channel: channel.as_ref().map(AsFd::as_fd),
        };
        guard.start(&request, &priorities, handed_on)?;
        // From here on only the program and its descendants hold the output, and the channel.
        drop((output, channel));
        Ok(Some(guard))
    }

    /// # Errors
    /// When it is not known whether a program runs: then only the end of this guard ends it, too.
    fn start(&mut self, request: &SpawnRequest, priorities: &Priorities, handed_on: HandedOn<'_>) -> io::Result<()> {
        match SpawnedProgram::start(request, priorities, handed_on, self.cgroup.as_ref()) {
            Ok(program) => {
                self.program = program.pid;
                self.group = program.group;
                self.phase = Phase::Starting(program.exec);
            }
            Err(error) => {
                let errno = error.raw_os_error().ok_or(error)?;
                self.phase = Phase::NotStarted(FinalMessage::NotForked { errno });
            }
        }
        // The worker may go before us; its directory's file system should not be held by a hopeless tree.
        chdir("/").ok();
        Ok(())
    }

    /// The time of all its limits, which stands still while the program does.
    fn now(&self) -> Duration {
        self.freezer.clock().now()
    }

    fn watch(mut self) -> ExitCode {
        loop {
            let reaped = self.reap();
            self.check_exec();
            if reaped == Reaped::NoChild && !self.has_members() {
                self.conclude();
                return ExitCode::SUCCESS;
            }
            self.read_commands();
            let pause = self.advance(reaped);
            self.wait(if reaped == Reaped::MaybeMore {
                Duration::ZERO
            } else {
                pause
            });
        }
    }

    /// Whether a process is in the program's control group and not below us: it is a stranger's child by now.
    fn has_members(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::is_populated)
    }

    /// Takes children that have ended, at most so many that the rest of the loop has its turn.
    fn reap(&mut self) -> Reaped {
        reap_some(&mut |pid, status| {
            self.freezer.look_again();
            if pid == self.program.as_raw() {
                self.program_ended(status);
            }
        })
    }

    fn program_ended(&mut self, status: i32) {
        let at = self.now();
        let exit = ProgramExit {
            status,
            wall: at.saturating_sub(self.began),
            frozen: self.freezer.clock().frozen(),
            oom: self.oom.as_ref().is_some_and(OomCounter::has_moved),
            at,
            time: clock::unix_millis(),
            was_seen: self.worker_lives(),
        };
        self.exit = Some(exit);
        let next = self.phase_after(exit);
        let output_held = matches!(next, Phase::Lingering(_));
        self.send(&GuardMessage::Exited(ExitReport {
            output_held,
            ..self.exit_report(Vec::new())
        }));
        if matches!(self.phase, Phase::Running) {
            self.phase = next;
        }
    }

    /// What follows the program's own end, as long as there is no command.
    fn phase_after(&self, exit: ProgramExit) -> Phase {
        let now = self.now();
        let holders = exit.is_success().then(|| OutputHolders::of(&self.output)).flatten();
        match holders {
            Some(holders) => Phase::Lingering(HoldersWait::new(&holders, self.options.linger, now)),
            None => Phase::Draining {
                until: now + self.options.drain,
            },
        }
    }

    /// Sees whether the exec is over.
    fn check_exec(&mut self) {
        let Phase::Starting(pipe) = &mut self.phase else { return };
        let Some(outcome) = pipe.outcome() else { return };
        self.phase = match outcome {
            ExecOutcome::Done => {
                let pid = self.program.as_raw();
                self.send(&GuardMessage::Started { pid });
                self.exit.map_or(Phase::Running, |exit| self.phase_after(exit))
            }
            ExecOutcome::Failed(errno) => Phase::NotStarted(FinalMessage::NotStarted { errno: errno as i32 }),
            ExecOutcome::NotOnPath => Phase::NotStarted(FinalMessage::NotOnPath),
        };
    }

    fn read_commands(&mut self) {
        let mut commands = [0; 16];
        while !self.is_alone {
            match recv(self.socket.as_raw_fd(), &mut commands, MsgFlags::MSG_DONTWAIT) {
                Ok(count) if count > 0 => {
                    for command in commands[..count].iter().copied().filter_map(GuardCommand::from_byte) {
                        self.handle_command(command);
                    }
                    self.send(&GuardMessage::CommandReceived);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Ok(_) | Err(_) => {
                    self.is_alone = true;
                    self.handle_command(GuardCommand::Kill);
                }
            }
        }
    }

    /// The only place that waits.
    fn wait(&self, pause: Duration) {
        let mut sources = vec![PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        if !self.is_alone {
            sources.push(PollFd::new(self.socket.as_fd(), PollFlags::POLLIN));
        }
        if let Phase::Starting(pipe) = &self.phase {
            sources.push(PollFd::new(pipe.reader.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut sources, timeout(pause)).ok();
        // What the signals say is of no interest: the next round asks for every ended child.
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
    }
}
