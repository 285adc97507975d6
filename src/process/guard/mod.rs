// SPDX-License-Identifier: GPL-3.0-or-later

//! The guard: a process of its own between the worker and a program, for that one program's life.
//!
//! ```text
//! fd 0 socket ─► Brief ─► Program ─► stage: Starting ─► Running ─┬─ Draining ──┬─► Sweeping ─► last word
//!                Order ────────────────────────────────────────► └─ Climbing ──┘   until ECHILD
//!                end of file: the worker is gone, however it went ─► Sweeping
//! fd 1 the program's output, handed on and let go       fd 2 the worker's stderr
//! ```
//!
//! One thread, no runtime, next to no memory: it must live while the machine has none. It blocks every
//! signal, has a session of its own and a name of its own, so that neither Ctrl+C nor a `pkill` meant
//! for the worker or the program ends it. It waits in one place ([`Guard::wait`]). As a child
//! subreaper it gets back whatever escapes from its program, and it exits only when `waitpid` says
//! that it has no child left.

mod footing;
mod oom;
mod program;
mod stage;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, chdir};

use self::footing::{FOR_EVER, Footing, holds, timeout, usage};
use self::oom::OomCounter;
use self::program::{ExecOutcome, Program};
use self::stage::{End, Stage};
use super::cgroup::Cgroup;
use super::ladder::{Climb, Rung};
use super::messages::{Brief, LastWord, Order, Said, Terms};
use super::procfs::{Reaped, now, reap_some};
use super::tree::{Sweep, walk};
use super::{Ladder, Stray, Strays};

/// The hidden first argument that makes this binary a guard.
pub const GUARD_ROLE: &str = "guard-role";
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
    ladder: Ladder,
    terms: Terms,
    program: Pid,
    /// `/proc/PID/fd` calls the output this.
    output: String,
    began: Duration,
    /// The program's own, where it could have one.
    cgroup: Option<Cgroup>,
    oom: Option<OomCounter>,
    stage: Stage,
    end: Option<End>,
    /// Told to end the program before it had ended by itself.
    asked: bool,
    /// Nobody listens any more: the worker is gone, or has had the last word.
    alone: bool,
}

impl Guard {
    /// `None` when the worker went before it said what to do.
    fn begin() -> io::Result<Option<Self>> {
        let Footing {
            mut socket,
            output,
            children,
            nice,
        } = Footing::take()?;
        let brief = match Brief::read(&mut socket) {
            Ok(brief) => brief,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let cgroup = brief.terms.cgroups.as_deref().and_then(Cgroup::make_own);
        if let (Some(group), Some(bytes)) = (&cgroup, brief.terms.memory) {
            group.limit_memory(bytes);
        }
        let mut guard = Self {
            socket,
            children,
            program: Pid::from_raw(0),
            output: format!("pipe:[{}]", fstat(&output)?.st_ino),
            began: now(),
            oom: OomCounter::start(cgroup.as_ref()),
            cgroup,
            stage: Stage::Running,
            end: None,
            asked: false,
            alone: false,
            ladder: brief.ladder.clone(),
            terms: brief.terms.clone(),
        };
        guard.start(&brief, nice, output.as_fd());
        // From here on none but the program and its descendants hold the output.
        drop(output);
        Ok(Some(guard))
    }

    fn start(&mut self, brief: &Brief, nice: i32, output: BorrowedFd<'_>) {
        match Program::start(brief, nice, output, self.cgroup.as_ref()) {
            Ok(program) => {
                self.program = program.pid;
                self.stage = Stage::Starting(program.exec);
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
                self.stage = Stage::NotStarted(Said::NotStarted { errno });
            }
        }
        // The worker may go before us; its directory's file system should not be held by a hopeless tree.
        chdir("/").ok();
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
        self.end = Some(End {
            status,
            wall: at.saturating_sub(self.began),
            oom: self.oom.as_ref().is_some_and(OomCounter::moved),
        });
        self.say(&Said::Exited(self.last_word(Vec::new())));
        if matches!(self.stage, Stage::Running) {
            self.stage = Stage::Draining {
                until: at + self.terms.drain,
            };
        }
    }

    fn hear_exec(&mut self) {
        let Stage::Starting(pipe) = &mut self.stage else { return };
        let Some(outcome) = pipe.outcome() else { return };
        self.stage = match outcome {
            ExecOutcome::Done => {
                let pid = self.program.as_raw();
                self.say(&Said::Started { pid });
                match self.end {
                    Some(_) => Stage::Draining {
                        until: now() + self.terms.drain,
                    },
                    None => Stage::Running,
                }
            }
            ExecOutcome::Failed(errno) => Stage::NotStarted(Said::NotStarted { errno: errno as i32 }),
            ExecOutcome::NotOnPath => Stage::NotStarted(Said::NotOnPath),
        };
    }

    fn hear_orders(&mut self) {
        let mut orders = [0; 16];
        while !self.alone {
            match recv(self.socket.as_raw_fd(), &mut orders, MsgFlags::MSG_DONTWAIT) {
                Ok(count) if count > 0 => {
                    for byte in &orders[..count] {
                        self.obey(Order::from_byte(*byte));
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Ok(_) | Err(_) => {
                    self.alone = true;
                    self.obey(Order::Force);
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        // An end that came first stands, whatever was ordered in the same instant.
        self.asked |= self.end.is_none();
        match (&self.stage, order) {
            (Stage::Sweeping { .. } | Stage::NotStarted(_), _) | (Stage::Climbing(_), Order::Climb) => {}
            (Stage::Running, Order::Climb) => self.stage = Stage::Climbing(Climb::new(&self.ladder, now())),
            (Stage::Starting(_) | Stage::Draining { .. }, Order::Climb) | (_, Order::Force) => self.begin_sweep(),
        }
    }

    fn begin_sweep(&mut self) {
        let mut sweep = Sweep::new(self.terms.patience());
        if self.end.is_none() {
            // Not reaped, so the number is its own.
            sweep.add_group(self.program.as_raw());
        }
        if let Some(cgroup) = &self.cgroup {
            sweep.add_cgroup(cgroup.clone());
        }
        self.stage = Stage::Sweeping {
            sweep: Box::new(sweep),
            outlived: self.end.is_some(),
            output_held: false,
        };
    }

    /// Does what is due, and answers how long nothing will be.
    fn advance(&mut self, reaped: Reaped) -> Duration {
        let at = now();
        if matches!(self.stage, Stage::Climbing(_)) {
            self.climb(at, reaped);
        }
        if matches!(self.stage, Stage::Draining { until } if until <= at) {
            self.begin_sweep();
        }
        match &mut self.stage {
            Stage::Starting(_) | Stage::NotStarted(_) | Stage::Running => FOR_EVER,
            Stage::Climbing(climb) => climb.at(at).wait(),
            Stage::Draining { until } => *until - at,
            Stage::Sweeping { .. } => self.sweep(reaped),
        }
    }

    /// The program's whole group is asked, for a wrapper that waits for its child would else be asked
    /// alone; so it is also the group that is waited for.
    fn climb(&mut self, at: Duration, reaped: Reaped) {
        // Among the unreaped dead of a fork bomb it takes too long to look; time will tell.
        let group_is_known = self.end.is_none() || reaped != Reaped::MaybeMore;
        if group_is_known && !self.group_lives() {
            return self.begin_sweep();
        }
        while let Stage::Climbing(climb) = &mut self.stage {
            match climb.at(at) {
                Rung::Wait(_) => return,
                Rung::Top => return self.begin_sweep(),
                Rung::Signal(_) if !group_is_known => {}
                Rung::Signal(signal) => {
                    let group = Pid::from_raw(-self.program.as_raw());
                    // Nobody in it any more is seen at the next call; not allowed, at the sweep.
                    kill(group, signal).ok();
                    // A stopped program hears nothing.
                    kill(group, Signal::SIGCONT).ok();
                }
            }
        }
    }

    /// Whether anybody is left in the program's group. Once the program itself is reaped its number may
    /// be a stranger's: then only a member of the tree is proof.
    fn group_lives(&self) -> bool {
        let group = self.program.as_raw();
        if self.end.is_none() {
            return true;
        }
        if kill(Pid::from_raw(-group), None) == Err(Errno::ESRCH) {
            return false;
        }
        let mut lives = false;
        walk(&|_| false, &mut |_, stat| {
            lives = stat.group == group;
            if lives {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        lives
    }

    fn sweep(&mut self, reaped: Reaped) -> Duration {
        let Stage::Sweeping {
            sweep,
            outlived,
            output_held,
        } = &mut self.stage
        else {
            return Duration::ZERO;
        };
        let pause = sweep.step(reaped, &|_| false);
        if pause.is_zero() && *outlived && !*output_held {
            // They are stopped, and not yet killed.
            *output_held = sweep.met().iter().any(|stray| holds(stray.pid, &self.output));
        }
        if !self.alone && sweep.overdue(now()) {
            let left = sweep.left().to_vec();
            self.say(&Said::Ended(self.last_word(left)));
            self.alone = true;
        }
        pause
    }

    fn conclude(&mut self) {
        let said = match &self.stage {
            Stage::NotStarted(said) => said.clone(),
            Stage::Starting(_)
            | Stage::Running
            | Stage::Climbing(_)
            | Stage::Draining { .. }
            | Stage::Sweeping { .. } => Said::Ended(self.last_word(Vec::new())),
        };
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        self.say(&said);
    }

    fn last_word(&self, unkillable: Vec<Stray>) -> LastWord {
        let (outlived, output_held) = self.stage.outlived();
        let ended = outlived
            .iter()
            .filter(|stray| !unkillable.contains(stray))
            .cloned()
            .collect();
        let wall = self
            .end
            .map_or_else(|| now().saturating_sub(self.began), |end| end.wall);
        LastWord {
            status: self.end.map(|end| end.status),
            asked: self.asked,
            oom: self.end.is_some_and(|end| end.oom),
            usage: usage(wall, self.cgroup.as_ref()),
            strays: Strays { ended, unkillable },
            output_held,
        }
    }

    /// A worker that cannot be told is gone, which the next look at the socket shows.
    fn say(&self, said: &Said) {
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
        if let Stage::Starting(pipe) = &self.stage {
            sources.push(PollFd::new(pipe.reader.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut sources, timeout(pause)).ok();
        // What it says is not of interest: the next round asks for every ended child.
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
    }
}
