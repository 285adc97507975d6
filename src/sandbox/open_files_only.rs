// SPDX-License-Identifier: GPL-3.0-or-later

//! The narrowest confinement there is, for a process of ours that reads what came from elsewhere: it has what it has opened,
//! and its memory.
//!
//! Each of three would do on its own, as far as it goes: no descriptor can be had any more (limits), no file, port or process
//! can be reached (Landlock), and only a few system calls are left (a filter).

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};

use super::confinement::{Confinement, Paths, confine};
use super::rules::Network;
use super::system_calls::{install, numbers_are_ours};

/// What is left: to read and write what is open, memory, the time, the ways to end. Everything else is refused with EPERM.
const CALLS: [i64; 25] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Holds the calling thread to what it has open, and to its memory, for ever. The limits are those of all its process. `helpers`
/// starts those threads that there are to be: each is held to the same by what it is given, which it has to call first.
///
/// A kernel that knows only some of it enforces that, and so does one that a service manager has told to refuse the rest: then
/// there is a filter already. The limits hold in any case.
///
/// # Errors
/// The kernel's own, which it gives in no known circumstance; and what `helpers` says.
pub(crate) fn confine_to_open_files<T>(helpers: impl FnOnce(fn() -> io::Result<()>) -> io::Result<T>) -> io::Result<T> {
    // This needs a descriptor for a moment.
    unless_forbidden(confine(&Confinement {
        read: Some(Paths::default()),
        write: Some(Paths::default()),
        execute: Some(Paths::default()),
        network: Network::None,
        ..Confinement::default()
    }))?;
    // They inherit that.
    let helpers = helpers(leave_few_calls)?;
    for resource in [
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_NPROC,
        Resource::RLIMIT_CORE,
        Resource::RLIMIT_MSGQUEUE,
        Resource::RLIMIT_MEMLOCK,
    ] {
        setrlimit(resource, 0, 0)?;
    }
    leave_few_calls()?;
    Ok(helpers)
}

fn leave_few_calls() -> io::Result<()> {
    filter().map_or(Ok(()), |filter| unless_forbidden(install(&filter)))
}

fn unless_forbidden(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// `None`: the library knows nothing of this kind of machine.
fn filter() -> Option<BpfProgram> {
    let machine: TargetArch = std::env::consts::ARCH.try_into().ok()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let argument = |place, how, value| -> Option<Vec<SeccompRule>> {
        let condition = SeccompCondition::new(place, Dword, how, value).ok()?;
        Some(vec![SeccompRule::new(vec![condition]).ok()?])
    };
    // Memory is never made code.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, argument(2, MaskedEq(executable), 0)?);
    }
    // The standard library looks whether a descriptor is open, where it looks for mistakes.
    rules.insert(
        libc::SYS_fcntl,
        argument(1, Eq, u64::from(libc::F_GETFD.unsigned_abs()))?,
    );
    // To end with a signal of its own (abort(3)).
    rules.insert(libc::SYS_tgkill, argument(0, Eq, u64::from(std::process::id()))?);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, machine).ok()?;
    let compiled: BpfProgram = filter.try_into().ok()?;
    Some([numbers_are_ours(machine), compiled].concat())
}

#[cfg(test)]
#[path = "open_files_only_tests.rs"]
mod tests;
