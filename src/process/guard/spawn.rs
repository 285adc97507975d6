// SPDX-License-Identifier: GPL-3.0-or-later

//! How the program is forked, prepared and executed.
//!
//! ```text
//! guard ── fork ──► leader: setsid ── clone(CLONE_PARENT) ──► the program, a child of the guard
//!                   └─► its pid, by a pipe, and gone          in the leader's session and group
//! ```
//!
//! The program leads no process group, as when a shell or the Go worker starts it: `setsid` forks when it
//! does, and its parent would be the end of what it is to run.
//!
//! The standard library's `Command` is not used. It waits for the exec, which may hang for ever on a
//! dead file server while the guard must hear orders; and its exec runs a file without `#!` through
//! a shell, which the Go worker does not.

#![expect(
    unsafe_code,
    reason = "fork, clone, and what a child does between fork and exec, have no safe wrapper"
)]

use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::io;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdout, fork, getpid, getppid, setsid, write};

use super::environment::{candidates, environment, path_of};
use super::setup::Priorities;
use crate::process::cgroup::Cgroup;
use crate::process::channel::CHANNEL;
use crate::process::kill;
use crate::process::messages::SpawnRequest;
use crate::sandbox::{Confinement, confine};

/// The errors after which execvp tries the next directory. After EACCES it does so too, but that is its answer then.
const NOT_HERE: [Errno; 5] = [
    Errno::ENOENT,
    Errno::ENOTDIR,
    Errno::ESTALE,
    Errno::ENODEV,
    Errno::ETIMEDOUT,
];
/// The exit code of a shell's child when its exec fails; nothing looks at it here.
const EXEC_FAILED: i32 = 127;

/// A program that was forked, and is on its way through exec.
#[derive(Debug)]
pub(super) struct SpawnedProgram {
    pub(super) pid: Pid,
    /// The process group and the session in which it begins, without leading them.
    pub(super) group: Pid,
    pub(super) exec: ExecPipe,
}

/// The descriptors that a program gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandedOn<'a> {
    /// Its stdout and stderr.
    pub(super) output: BorrowedFd<'a>,
    /// Its end of a [`channel`](crate::process::channel), if it has one. It keeps its number.
    pub(super) channel: Option<BorrowedFd<'a>>,
}

/// A pipe that closes when the exec succeeds, and carries the errno when it fails. Reading never waits.
#[derive(Debug)]
pub(super) struct ExecPipe {
    pub(super) reader: PipeReader,
    /// The paths that were tried, if the program was looked for on PATH.
    searched: Vec<CString>,
}

/// What an [`ExecPipe`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExecOutcome {
    /// The program runs (or was killed on its way).
    Done,
    Failed(Errno),
    /// PATH has no such program.
    NotOnPath,
}

impl SpawnedProgram {
    /// Forks. The program gets what is handed on to it, and the worker's nice value if the request names none; its stdin
    /// is ours. It is in `cgroup` from before its first instruction, if that is allowed.
    ///
    /// # Errors
    /// The kernel's own: there are no more processes, descriptors or memory to be had. Nothing runs.
    pub(super) fn start(
        request: &SpawnRequest,
        priorities: &Priorities,
        handed_on: HandedOn<'_>,
        cgroup: Option<&Cgroup>,
    ) -> io::Result<Self> {
        let inherited = std::env::vars_os().map(|(name, value)| {
            let entry = [name.into_vec(), value.into_vec()].join(&b'=');
            // An environment has no NUL inside an entry: the kernel passed it with NULs between them.
            CString::new(entry).unwrap_or_default()
        });
        let channel = handed_on
            .channel
            .map(|channel| format!("{CHANNEL}={}", channel.as_raw_fd()));
        let mut changes = request.environment.clone();
        changes.extend(channel.and_then(|entry| CString::new(entry).ok()));
        let environment = environment(inherited.collect(), &changes);
        let searched = candidates(&request.program, path_of(&environment));
        let plan = ExecPlan {
            paths: if searched.is_empty() {
                std::slice::from_ref(&request.program)
            } else {
                &searched
            },
            argv: pointers(&request.argv),
            envp: pointers(&environment),
            directory: request.directory.as_deref(),
            nice: request.options.nice.unwrap_or(priorities.nice),
            ignore_hangup: request.options.ignore_hangup,
            guard: getpid(),
            cgroup: cgroup.and_then(|cgroup| fs::File::options().write(true).open(cgroup.procs()).ok()),
            confinement: request.confinement.clone().map(Confinement::with_guard),
        };
        let (reader, failure) = io::pipe()?;
        let (pid_reader, pid_writer) = io::pipe()?;
        set_nonblocking(&reader)?;
        request
            .options
            .oom_score_adj
            .inspect(|score| priorities.oom_score.set(*score));
        // SAFETY: the guard has one thread, so the child finds every lock free.
        let forked = unsafe { fork() };
        priorities.oom_score.reset();
        match forked? {
            ForkResult::Parent { child } => {
                drop((failure, pid_writer));
                Ok(Self {
                    pid: read_pid(pid_reader)?,
                    group: child,
                    exec: ExecPipe { reader, searched },
                })
            }
            ForkResult::Child => plan.become_leader(handed_on, failure, pid_writer),
        }
    }
}

/// Reads what the leader of the group says of the program: its pid, or a negative errno.
fn read_pid(mut pipe: PipeReader) -> io::Result<Pid> {
    let mut answer = [0; 4];
    pipe.read_exact(&mut answer)?;
    match i32::from_ne_bytes(answer) {
        pid @ 1.. => Ok(Pid::from_raw(pid)),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

impl ExecPipe {
    /// What became of the exec; `None` as long as it is under way.
    pub(super) fn outcome(&mut self) -> Option<ExecOutcome> {
        let mut errno = [0; 4];
        match self.reader.read_exact(&mut errno) {
            Ok(()) => Some(self.failed(Errno::from_raw(i32::from_ne_bytes(errno)))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(ExecOutcome::Done),
        }
    }

    /// After a search ENOENT has two meanings: there is no such file, or there is one whose interpreter is missing.
    fn failed(&self, errno: Errno) -> ExecOutcome {
        let exists =
            |path: &CString| fs::symlink_metadata(Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()))).is_ok();
        let nowhere = !self.searched.is_empty() && !self.searched.iter().any(exists);
        if errno == Errno::ENOENT && nowhere {
            return ExecOutcome::NotOnPath;
        }
        ExecOutcome::Failed(errno)
    }
}

/// Everything the child needs, made before the fork.
struct ExecPlan<'a> {
    paths: &'a [CString],
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    directory: Option<&'a CStr>,
    nice: i32,
    ignore_hangup: bool,
    guard: Pid,
    /// The control group's list of members.
    cgroup: Option<fs::File>,
    /// What it names is opened in the child: that may hang, and the guard must hear orders meanwhile.
    confinement: Option<Confinement>,
}

impl ExecPlan<'_> {
    /// Makes session and group, and a sibling of the leader in them. It is called in the child.
    fn become_leader(&self, handed_on: HandedOn<'_>, failure: PipeWriter, mut pid_writer: PipeWriter) -> ! {
        let answer = match setsid().and_then(|_| fork_sibling()) {
            Ok(0) => {
                drop(pid_writer);
                self.become_program(handed_on, failure)
            }
            Ok(pid) => pid,
            // Emulators of one program (qemu-user) know no CLONE_PARENT: the leader itself is the program.
            Err(Errno::EINVAL) => {
                pid_writer.write_all(&getpid().as_raw().to_ne_bytes()).ok();
                drop(pid_writer);
                self.become_program(handed_on, failure)
            }
            Err(errno) => -(errno as i32),
        };
        // A guard that does not get it takes the program for lost.
        pid_writer.write_all(&answer.to_ne_bytes()).ok();
        // SAFETY: _exit ends this process without running anything of the guard's.
        unsafe { libc::_exit(0) }
    }

    /// Prepares and executes, in the program's own process.
    fn become_program(&self, handed_on: HandedOn<'_>, mut failure: PipeWriter) -> ! {
        let errno = match self.prepare(handed_on) {
            Ok(()) => self.exec(),
            Err(errno) => errno,
        };
        // If this fails there is nobody left to tell.
        failure.write_all(&(errno as i32).to_ne_bytes()).ok();
        // SAFETY: _exit ends this process without running anything of the guard's.
        unsafe { libc::_exit(EXEC_FAILED) }
    }

    fn prepare(&self, handed_on: HandedOn<'_>) -> Result<(), Errno> {
        if let Some(cgroup) = &self.cgroup {
            // Where the kernel refuses, it is in our own group.
            write(cgroup, b"0").ok();
        }
        kill::with_parent()?;
        if getppid() != self.guard {
            // The guard died before it could take us along.
            return Err(Errno::ESRCH);
        }
        dup2_stdout(handed_on.output)?;
        dup2_stderr(handed_on.output)?;
        if let Some(channel) = handed_on.channel {
            fcntl(channel, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        if let Some(directory) = self.directory {
            chdir(directory)?;
        }
        // As far as that is allowed: a value below the worker's own takes a privilege.
        // SAFETY: three integers.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, self.nice) };
        self.reset_signals();
        if let Some(confinement) = &self.confinement {
            // The guard has one thread, and so has this copy of it, which may allocate as any process.
            confine(confinement).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        }
        Ok(())
    }

    /// Puts every signal at its default (SIGHUP stays ignored under nohup), and blocks none. It goes past the C library,
    /// which keeps two signals for itself and starts children with those ignored.
    fn reset_signals(&self) {
        for signal in 1..=libc::SIGRTMAX() {
            if signal != libc::SIGHUP || !self.ignore_hangup {
                // SAFETY: the kernel reads a sigaction of at most 64 bytes with an 8 byte mask; all of
                // it zero is SIG_DFL. SIGKILL and SIGSTOP are refused.
                unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, [0_u64; 8].as_ptr(), 0_usize, 8_usize) };
            }
        }
        if self.ignore_hangup {
            // SAFETY: SIG_IGN runs no code.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).ok();
    }

    /// Executes the program, and goes on along PATH where execvp does (exec(3)). It returns only when it failed.
    fn exec(&self) -> Errno {
        let mut answer = Errno::ENOENT;
        for path in self.paths {
            // SAFETY: both lists end in a null pointer, and point into strings that outlive the call.
            unsafe { libc::execve(path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
            let errno = Errno::last();
            if errno == Errno::EACCES {
                answer = errno;
            } else if !NOT_HERE.contains(&errno) {
                return errno;
            } else if self.paths.len() == 1 {
                answer = errno;
            }
        }
        answer
    }
}

/// Forks a child of our parent, in our own session and group; 0 in the child.
fn fork_sibling() -> Result<i32, Errno> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and a stack this is fork, in a process of one thread; all that is not given is 0.
    let answer = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = Errno::result(answer)?;
    Ok(i32::try_from(pid).unwrap_or_default())
}

fn pointers(words: &[CString]) -> Vec<*const c_char> {
    let ends = std::iter::once(std::ptr::null());
    words.iter().map(|word| word.as_ptr()).chain(ends).collect()
}

fn set_nonblocking(reader: &PipeReader) -> nix::Result<()> {
    nix::fcntl::fcntl(reader.as_fd(), nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}
