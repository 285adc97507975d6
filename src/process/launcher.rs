// SPDX-License-Identifier: GPL-3.0-or-later

//! How programs are started on this node: each through a guard of its own.

#![expect(unsafe_code, reason = "sigaction has no safe wrapper")]

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::cgroup::DelegatedGroup;
use super::children::{Children, SharedChildren};
use super::end_note::EndNote;
use super::finished::{Finished, ProcessEvent};
use super::guard::GUARD_ROLE;
use super::guard_name::guard_title;
use super::mark::MARK;
use super::messages::{SpawnOptions, encode_request};
use super::predecessors::{end_escaped, end_marked};
use super::process_run::{GuardLink, HandedRun, OutputReader, ProcessRun, RunLimits, RunPause};
use super::reaper::Reaper;
use super::spec::{ProcessSpec, StartError};
use super::stray::{Stray, Strays};
use crate::abort::Abort;
use crate::handover;
use crate::sandbox::Around;
use crate::timings::Timings;

/// The variables in which systemd speaks to the worker alone (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3),
/// systemd.exec(5)): a program that believed them would answer in our name.
const NOT_FOR_PROGRAMS: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
    // What we were handed over an exec is not theirs either.
    handover::VARIABLE,
    handover::FOUND_CONFIGURATION,
];

/// How far a program may be ahead of us, in bytes: the largest pipe that needs no privilege
/// (`/proc/sys/fs/pipe-max-size`). The pipe has 64 KiB where that is refused.
const PIPE_SIZE: i32 = 1024 * 1024;

/// What is the same for all programs of a node.
#[derive(Debug, Clone)]
pub(crate) struct LauncherOptions {
    /// The program that plays the guard: `/proc/self/exe`, unless that is no worker (as in tests).
    pub guard: PathBuf,
    /// What tells this worker's programs from another's: the id of its home.
    pub mark: String,
    /// The programs' `oom_score_adj`, -1000 to 1000 (proc_pid_oom_score_adj(5)), as far as we may set it.
    pub oom_score_adj: Option<i32>,
    /// The programs' nice value, -20 to 19, as far as we may set it.
    pub nice: Option<i32>,
    /// How much memory all of a program may use together, in bytes, where its group can be limited.
    pub memory: Option<u64>,
    /// How long to wait for what.
    pub timings: Timings,
}

/// How far a program was attended to.
#[derive(Debug)]
pub(crate) enum RunEnd {
    /// To its end.
    Finished(Finished),
    /// It runs, and whoever has this can go on.
    HandedOver(HandedRun),
}

/// A guard that waits to be told what to run.
#[derive(Debug)]
pub(crate) struct ReadyGuard {
    link: GuardLink,
    output: OutputReader,
}

/// How programs are started on this node. One for the whole worker; clones are the same launcher.
#[derive(Debug, Clone)]
pub(crate) struct Launcher(Rc<LauncherState>);

#[derive(Debug)]
struct LauncherState {
    options: LauncherOptions,
    spawn_options: SpawnOptions,
    children: SharedChildren,
    /// Runs that are over, whose guards wait to be told that their end is on disk.
    noted: RefCell<Vec<ProcessRun>>,
}

impl Launcher {
    /// Makes this process a child subreaper, and gives SIGCHLD its default handler (a parent may have had it ignored, and
    /// then no child could be waited for). Call it once, inside the runtime, and before anything handles SIGHUP: if that
    /// is ignored now, as under nohup, programs will ignore it too.
    ///
    /// # Errors
    /// When the kernel refuses, which it does in no known circumstance.
    pub(crate) fn new(options: LauncherOptions) -> io::Result<(Self, Reaper)> {
        let delegated = DelegatedGroup::find(&options.mark);
        if let Some(delegated) = &delegated {
            tracing::info!(
                groups = delegated.prefix(),
                "each program has a control group of its own"
            );
        }
        let is_counted = delegated.as_ref().is_some_and(DelegatedGroup::count_memory);
        if options.memory.is_some() && !is_counted {
            tracing::warn!(
                "the memory of programs cannot be limited, `memory` of [node] has no effect: that takes the memory \
                 controller of cgroup v2, delegated to this worker (Delegate=yes in its unit)"
            );
        }
        Self::with(options, delegated.as_ref())
    }

    /// Makes a launcher as [`new`](Self::new) does, for a process that must not move itself or divide its control group:
    /// programs have no control groups of their own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn without_groups(options: LauncherOptions) -> io::Result<(Self, Reaper)> {
        Self::with(options, None)
    }

    fn with(options: LauncherOptions, delegated: Option<&DelegatedGroup>) -> io::Result<(Self, Reaper)> {
        set_child_subreaper(true)?;
        // SAFETY: SIG_DFL runs no code.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        let timings = &options.timings;
        let spawn_options = SpawnOptions {
            oom_score_adj: options.oom_score_adj,
            nice: options.nice,
            ignore_hangup: hangup_is_ignored(),
            cgroups: delegated.map(DelegatedGroup::prefix),
            memory: options.memory,
            drain: timings.output_drain,
            linger: timings.linger,
            unkillable: timings.unkillable,
        };
        let children = Rc::new(RefCell::new(Children::new(
            options.mark.clone(),
            &spawn_options,
            timings.guard_silence,
        )));
        let reaper = Reaper::new(Rc::clone(&children))?;
        let state = LauncherState {
            options,
            spawn_options,
            children,
            noted: RefCell::default(),
        };
        Ok((Self(Rc::new(state)), reaper))
    }

    /// Runs one program and everything it starts, to the very end: when this returns, nothing of it is left, unless
    /// [`Strays::unkillable`] says so.
    ///
    /// `on_event` gets the program's output while it runs and must not block. An abort begins the kill sequence of the
    /// spec; [`AbortReason::Force`](crate::abort::AbortReason) cuts it short. When the returned future is dropped the
    /// guard ends the tree at once, and nothing waits for it.
    ///
    /// # Errors
    /// When the program could not be started at all.
    pub(crate) async fn run(
        &self,
        spec: &ProcessSpec,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        let guard = self.ready(spec).map_err(StartError::Guard)?;
        let mut run = self.begin(guard, (spec, None), None, abort).await?;
        let finished = run.run(abort, on_event).await?;
        Ok(self.with_escaped(finished))
    }

    /// Starts a guard for a program, of which its name and its label are known by now. One that comes to nothing is to be
    /// [`dismissed`](Self::dismiss). Nothing is awaited between the spawn and the adoption, so the reaper cannot come first.
    ///
    /// # Errors
    /// The kernel's own: there are no more processes, descriptors or memory to be had.
    pub(crate) fn ready(&self, spec: &ProcessSpec) -> io::Result<ReadyGuard> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let (output, writer) = io::pipe()?;
        // With a larger pipe the program waits for us less often; it is no loss where that is refused.
        fcntl(output.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_SIZE)).ok();
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts a process")]
        let mut command = Command::new(&self.0.options.guard);
        command.arg0(guard_title(spec)).arg(GUARD_ROLE);
        for name in NOT_FOR_PROGRAMS {
            command.env_remove(name);
        }
        command.env(MARK, &self.0.options.mark);
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(writer)
            .stderr(Stdio::inherit());
        let pid = command.spawn()?.id().cast_signed();
        let end = self.0.children.borrow_mut().adopt(pid);
        let link = GuardLink::new(pid, Rc::clone(&self.0.children), socket, end)?;
        let output = OutputReader::new(output.into(), self.0.options.timings.progress)?;
        Ok(ReadyGuard { link, output })
    }

    /// Has a guard leave that is not needed, and waits for it: it would count as a survivor.
    pub(crate) async fn dismiss(&self, guard: ReadyGuard) {
        guard.link.dismiss(self.0.options.timings.guard_silence).await;
    }

    /// Has a guard run its program, as [`run`](Self::run) does. With a `note`, it waits from the program's end until
    /// [`release`](Self::release), and notes how that was should this process be killed meanwhile. A wish to hand the task
    /// over ends this, while the program goes on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn run_noted(
        &self,
        guard: ReadyGuard,
        (spec, note): (&ProcessSpec, Option<EndNote>),
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<RunEnd, StartError> {
        let run = self.begin(guard, (spec, note.as_ref()), None, abort).await?;
        self.see_through(run, abort, on_event).await
    }

    /// Goes on with a program that another process, or an earlier life of this one, has started and handed over.
    ///
    /// # Errors
    /// When what was handed over cannot be used. Then its guard ends the program.
    pub(crate) async fn take_over(
        &self,
        handed: HandedRun,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<RunEnd, StartError> {
        let run = ProcessRun::take_over(handed, &self.0.children, &self.0.options.timings);
        self.see_through(run.map_err(StartError::Guard)?, abort, on_event).await
    }

    /// Tells a guard what to run. It leaves where that cannot be said.
    async fn begin(
        &self,
        guard: ReadyGuard,
        (spec, note): (&ProcessSpec, Option<&EndNote>),
        channel: Option<BorrowedFd<'_>>,
        abort: &mut Abort,
    ) -> Result<ProcessRun, StartError> {
        let around = spec.confinement.as_ref().and_then(|allowed| allowed.around.as_ref());
        let told = || {
            let request = encode_request(spec, &self.0.spawn_options, note)?;
            if let Some(reason) = abort.reason() {
                return Err(StartError::Aborted(reason));
            }
            let sent = guard.link.send_descriptors(channel, around.map(Around::ruleset));
            sent.map(|()| request).map_err(StartError::Guard)
        };
        let request = match told() {
            Ok(request) => request,
            Err(error) => {
                self.dismiss(guard).await;
                return Err(error);
            }
        };
        let ReadyGuard { link, output } = guard;
        let limits = RunLimits::new(&self.0.options.timings, spec.kill_sequence.length());
        let mut run = ProcessRun::new(link, output, note.is_some(), limits);
        run.begin(&request, abort).await?;
        Ok(run)
    }

    async fn see_through(
        &self,
        mut run: ProcessRun,
        abort: &mut Abort,
        on_event: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<RunEnd, StartError> {
        let finished = match run.run_or_hand_over(abort, on_event).await? {
            RunPause::Over(finished) => finished,
            RunPause::ToHandOver => {
                let handed = run.hand_over().map_err(StartError::Guard)?;
                let lost = || StartError::Guard(io::Error::other("it cannot be handed over"));
                return handed.map(RunEnd::HandedOver).ok_or_else(lost);
            }
        };
        if let Some(guard) = run.waiting_guard() {
            self.0.children.borrow_mut().waits(guard);
            self.0.noted.borrow_mut().push(run);
        }
        Ok(RunEnd::Finished(self.with_escaped(finished)))
    }

    /// Ends what has escaped from a program that is over, and names it with the rest that it has left.
    pub(super) fn with_escaped(&self, mut finished: Finished) -> Finished {
        // What another program has in a namespace of its own may be where it should be.
        if !self.0.children.borrow().has_programs() {
            finished.strays.ended.extend(end_escaped(&self.0.options.mark));
        }
        finished
    }

    /// Begins a run that is attended to by a [`KeptProgram`](super::KeptProgram).
    ///
    /// # Errors
    /// When no guard could be started, or it is not to be run any more.
    pub(super) async fn begin_kept(
        &self,
        spec: &ProcessSpec,
        channel: BorrowedFd<'_>,
        abort: &mut Abort,
    ) -> Result<ProcessRun, StartError> {
        let guard = self.ready(spec).map_err(StartError::Guard)?;
        self.begin(guard, (spec, None), Some(channel), abort).await
    }

    /// Lets go of the guards that wait: how their programs ended is on disk, or of no interest any more.
    pub(crate) async fn release(&self) {
        for run in self.0.noted.take() {
            run.release().await;
        }
    }

    /// Ends every process that bears our mark, within `limit`. Call it with the home's lock held, before anything is run.
    /// Those that cannot be ended count among the [`Launcher::survivors`] from now on.
    pub(crate) async fn end_predecessors(&self, limit: Duration) -> Strays {
        let strays = end_marked(&self.0.options.mark, limit).await;
        self.0.children.borrow_mut().inherit(&strays.unkillable);
        strays
    }

    /// What an earlier life of this process could not end counts among the [`Launcher::survivors`] from now on.
    pub(crate) fn inherit(&self, survivors: &[Stray]) {
        self.0.children.borrow_mut().inherit(survivors);
    }

    /// What is left of programs that are over, for [`inherit`](Self::inherit).
    pub(crate) fn left_over(&self) -> Vec<Stray> {
        self.0.children.borrow().left_over()
    }

    /// The processes below the worker that should not be there: the guard of a tree that cannot be killed or that nobody
    /// waits for any more, what a lost guard left, and what an earlier life left that could not be ended. An empty list
    /// means: fit for a new task. Programs whose [`Launcher::run`] goes on do not count.
    pub(crate) fn survivors(&self) -> Vec<Stray> {
        self.0.children.borrow().survivors()
    }
}

/// Whether this process ignores SIGHUP now: bit 0 of SigIgn (proc_pid_status(5)).
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
