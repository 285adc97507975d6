// SPDX-License-Identifier: GPL-3.0-or-later

//! How programs are started on this node: each through a guard of its own.

#![expect(unsafe_code, reason = "sigaction has no safe wrapper")]

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigHandler, Signal, signal};
use tokio::sync::oneshot;

use super::cgroup::DelegatedGroup;
use super::guard::GUARD_ROLE;
use super::mark::MARK;
use super::marked::{end_escaped, end_marked};
use super::messages::{SpawnOptions, encode_request};
use super::process_run::ProcessRun;
use super::reaper::{Children, GuardEnd, Reaper, SharedChildren};
use super::title::guard_title;
use super::{EndNote, Finished, ProcessEvent, ProcessSpec, StartError, Stray, Strays};
use crate::abort::Abort;
use crate::timings::Timings;

/// What systemd tells the worker and nobody else (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3),
/// systemd.exec(5)): a program that believed it would answer in our name.
const NOT_FOR_PROGRAMS: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
];

/// The largest pipe that needs no privilege (`/proc/sys/fs/pipe-max-size`): how far a program may be
/// ahead of us. It is 64 KiB where that is refused.
const PIPE_SIZE: i32 = 1024 * 1024;

/// What is the same for all programs of a node.
#[derive(Debug, Clone)]
pub struct LauncherOptions {
    /// The program that plays the guard: `/proc/self/exe`, unless that is no worker (as in tests).
    pub guard: PathBuf,
    /// Tells this worker's programs from another's: the id of its home.
    pub mark: String,
    /// -1000 to 1000, for the programs (proc_pid_oom_score_adj(5)). As far as we are allowed to.
    pub oom_score_adj: Option<i32>,
    /// -20 to 19, for the programs. As far as we are allowed to.
    pub nice: Option<i32>,
    /// In bytes: how much memory all of a program may use together. As far as its group can be limited.
    pub memory: Option<u64>,
    pub timings: Timings,
}

/// How programs are started on this node. One for the whole worker; clones are the same launcher.
#[derive(Debug, Clone)]
pub struct Launcher(Rc<LauncherState>);

#[derive(Debug)]
struct LauncherState {
    options: LauncherOptions,
    spawn_options: SpawnOptions,
    children: SharedChildren,
    /// Runs that are over, whose guards wait to be told that this is on disk.
    noted: RefCell<Vec<ProcessRun>>,
}

/// A guard that was started, seen from here.
pub(super) struct GuardHandle {
    pub(super) pid: i32,
    pub(super) children: SharedChildren,
    pub(super) socket: UnixStream,
    pub(super) output: OwnedFd,
    pub(super) end: oneshot::Receiver<GuardEnd>,
}

impl Launcher {
    /// Makes this process a child subreaper, and SIGCHLD do what it is for (a parent may have had it
    /// ignored, and then nobody could be waited for). Call it once, inside the runtime, and before
    /// anybody handles SIGHUP: if that is ignored now, as under nohup, programs will ignore it too.
    ///
    /// # Errors
    /// When the kernel refuses, which it does in no known circumstance.
    pub fn new(options: LauncherOptions) -> io::Result<(Self, Reaper)> {
        let place = DelegatedGroup::find(&options.mark);
        if let Some(place) = &place {
            tracing::info!(groups = place.prefix(), "each program has a control group of its own");
        }
        let counted = place.as_ref().is_some_and(DelegatedGroup::count_memory);
        if options.memory.is_some() && !counted {
            tracing::warn!(
                "the memory of programs cannot be limited, `memory` of [node] has no effect: that takes the memory \
                 controller of cgroup v2, delegated to this worker (Delegate=yes in its unit)"
            );
        }
        Self::with(options, place.as_ref())
    }

    /// The same for who must not move itself or divide a group: no control groups.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_groups(options: LauncherOptions) -> io::Result<(Self, Reaper)> {
        Self::with(options, None)
    }

    fn with(options: LauncherOptions, place: Option<&DelegatedGroup>) -> io::Result<(Self, Reaper)> {
        set_child_subreaper(true)?;
        // SAFETY: SIG_DFL runs no code.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        let timings = &options.timings;
        let spawn_options = SpawnOptions {
            oom_score_adj: options.oom_score_adj,
            nice: options.nice,
            ignore_hangup: hangup_is_ignored(),
            cgroups: place.map(DelegatedGroup::prefix),
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
        let node = LauncherState {
            options,
            spawn_options,
            children,
            noted: RefCell::default(),
        };
        Ok((Self(Rc::new(node)), reaper))
    }

    /// Runs one program and everything it starts, to the very end: when this returns, nothing of it is
    /// left, unless [`Strays::unkillable`] says so.
    ///
    /// `hear` gets the program's output while it runs and must not block. After an abort the kill sequence of
    /// the spec is climbed; [`AbortReason::Force`](crate::abort::AbortReason) cuts it short. When the
    /// returned future is dropped the guard ends the tree at once, and nobody waits for it.
    ///
    /// # Errors
    /// When the program could not be started at all.
    pub async fn run(
        &self,
        spec: &ProcessSpec,
        abort: &mut Abort,
        hear: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        self.run_noted(spec, None, abort, hear).await
    }

    /// The same. From the program's end until [`release`](Self::release) its guard waits, to `note` how that was should
    /// this process be killed meanwhile.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_noted(
        &self,
        spec: &ProcessSpec,
        note: Option<EndNote>,
        abort: &mut Abort,
        hear: &mut dyn FnMut(ProcessEvent<'_>),
    ) -> Result<Finished, StartError> {
        let brief = encode_request(spec, &self.0.spawn_options, note.as_ref())?;
        if let Some(reason) = abort.reason() {
            return Err(StartError::Aborted(reason));
        }
        let guard = self.start_guard(spec).map_err(StartError::Guard)?;
        let timings = &self.0.options.timings;
        let mut session = ProcessRun::new(guard, spec, note.is_some(), timings).map_err(StartError::Guard)?;
        let mut finished = session.run(&brief, abort, hear).await?;
        if let Some(guard) = session.waiting_guard() {
            self.0.children.borrow_mut().waits(guard);
            self.0.noted.borrow_mut().push(session);
        }
        // Another program's may be where it should be.
        if !self.0.children.borrow().has_programs() {
            finished.strays.ended.extend(end_escaped(&self.0.options.mark));
        }
        Ok(finished)
    }

    /// How the programs ended that were run is on disk, or of no interest any more.
    pub async fn release(&self) {
        for session in self.0.noted.take() {
            session.release().await;
        }
    }

    /// Ends whoever bears our mark, for as long as `patience`: call it with the home's lock held, before anything is
    /// run. Who cannot be ended counts among the [`Launcher::survivors`] from now on.
    pub async fn end_predecessors(&self, patience: Duration) -> Strays {
        let strays = end_marked(&self.0.options.mark, patience).await;
        self.0.children.borrow_mut().inherit(&strays.unkillable);
        strays
    }

    /// Who lives below the worker that should not: the guard of a tree that cannot be killed or that nobody waits
    /// for any more, and what a lost guard left; and whoever an earlier life left and could not be ended. Empty means: fit for a new task. Programs whose
    /// [`Launcher::run`] goes on do not count.
    pub fn survivors(&self) -> Vec<Stray> {
        self.0.children.borrow_mut().survivors()
    }

    /// Nothing is awaited between the spawn and the adoption, so the reaper cannot come first.
    fn start_guard(&self, spec: &ProcessSpec) -> io::Result<GuardHandle> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let (output, writer) = io::pipe()?;
        // A larger pipe is a courtesy: the program waits for us less often.
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
        Ok(GuardHandle {
            pid,
            children: Rc::clone(&self.0.children),
            socket,
            output: output.into(),
            end,
        })
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
