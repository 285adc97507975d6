// SPDX-License-Identifier: GPL-3.0-or-later

//! What a guard asks the kernel for before it has a program.

#![expect(unsafe_code, reason = "close_range and setpriority have no safe wrapper")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::libc;
use nix::poll::PollTimeout;
use nix::sys::prctl::{set_child_subreaper, set_name};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{dup2_stdin, dup2_stdout, setsid};

use super::oom_score::OomScore;
use crate::process::guard_name::GUARD;
use crate::process::mark::{self, MARK};
use crate::process::privacy::close_to_others;

/// The timeout of a wait for events only.
pub(super) const NO_TIMEOUT: Duration = Duration::MAX;

/// What the worker handed over, and what the kernel granted.
pub(super) struct GuardSetup {
    pub(super) socket: UnixStream,
    /// The program's output; the guard's own stdout is /dev/null from now on, and so is its stdin.
    pub(super) output: OwnedFd,
    pub(super) children: SignalFd,
    pub(super) priorities: Priorities,
}

/// What a program has that the guard has not.
#[derive(Debug)]
pub(super) struct Priorities {
    /// The worker's nice value.
    pub(super) nice: i32,
    pub(super) oom_score: OomScore,
}

impl GuardSetup {
    /// Puts this process out of reach of signals, of other processes of its user and of the worker's session, makes it a
    /// subreaper, and leaves no descriptor that a program could inherit. From here on it carries the mark, and so does all
    /// that comes of it.
    ///
    /// # Errors
    /// When stdin is no socket: then it was not the worker that started us.
    pub(super) fn new() -> io::Result<Self> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
        // The kernel refuses it to the leader of a group, which a guard that the worker started is not.
        setsid().ok();
        set_name(&CString::new(GUARD)?)?;
        set_child_subreaper(true)?;
        // For a later start: it will not be shown the guard's environment.
        mark::carry(mark::as_limit(&std::env::var_os(MARK).unwrap_or_default()));
        let priorities = Priorities {
            nice: raise_priority(),
            oom_score: OomScore::open(),
        };
        // Nothing of its own in /proc can be opened for writing after this.
        close_to_others();
        close_on_exec_from(3);
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        socket.local_addr()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            socket,
            output,
            children: SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), flags)?,
            priorities,
        })
    }
}

/// The timeout for poll, rounded up, so that what is due has come when it returns.
pub(super) fn timeout(pause: Duration) -> PollTimeout {
    if pause == NO_TIMEOUT {
        return PollTimeout::NONE;
    }
    let milliseconds = pause.as_micros().div_ceil(1000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

/// Marks every descriptor from `first` on as close-on-exec, those included that the worker inherited from its own parent
/// without that: the program gets none of them.
fn close_on_exec_from(first: u32) {
    // SAFETY: it only sets the close-on-exec flag of descriptors; none is closed.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Before Linux 5.11.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for fd in open.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if fd.unsigned_abs() >= first {
            // SAFETY: it only sets a flag; a descriptor that is closed by now is refused.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Puts us before all others on the processor, where we are allowed to, and returns the nice value we came with. Among a
/// thousand processes that do nothing but fork, the one that is to stop them is one of a thousand otherwise, and was seen
/// to take ten seconds to notice a command. It costs the others nothing, because a guard does next to nothing.
fn raise_priority() -> i32 {
    // SAFETY: integers only.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: integers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    // Between sessions the scheduler looks at this value instead, where it has automatic groups (sched(7)).
    std::fs::write("/proc/self/autogroup", "-20").ok();
    nice
}
